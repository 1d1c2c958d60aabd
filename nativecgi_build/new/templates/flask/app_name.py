"""A Flask application."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["flask>=3,<4"]
# ///

from flask import Flask, render_template_string

from nativecgi import from_wsgi, run

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<title>project-name</title>
<h1>Hello {{ name }}</h1>
<p><a href="{{ url_for('hello', name='Ann') }}">Hello Ann</a>
"""

app = Flask(__name__)


@app.get("/")
@app.get("/<name>")
def hello(name: str = "world") -> str:
    return render_template_string(PAGE, name=name)


if __name__ == "__main__":
    run(from_wsgi(app), warmup=["/"])
