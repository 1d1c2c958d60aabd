"""A page with the name in the path: Flask, with a template of Jinja's."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["flask==3.1.3"]
# ///

from flask import Flask, render_template
from jinja2 import DictLoader

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Hello {{ name }}</title>
<h1>Hello {{ name }}</h1>
<ul>{% for letter in name %}<li>{{ letter }}</li>{% endfor %}</ul>
</html>"""

app = Flask(__name__)
app.jinja_loader = DictLoader({"page.html": PAGE})


@app.get("/<name>")
def show(name: str) -> str:
    """The page."""
    return render_template("page.html", name=name)


if __name__ == "__main__":
    from nativecgi import from_wsgi, run

    run(from_wsgi(app), warmup=["/Ann"])
