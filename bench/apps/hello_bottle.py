"""A page with the name in the path: Bottle, with a template of its own."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["bottle==0.13.4"]
# ///

from bottle import Bottle, template

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Hello {{name}}</title>
<h1>Hello {{name}}</h1>
<ul>\\\\
% for letter in name:
<li>{{letter}}</li>\\\\
% end
</ul>
</html>"""

app = Bottle()


@app.get("/<name>")
def show(name: str) -> str:
    """The page."""
    return template(PAGE, name=name)


if __name__ == "__main__":
    from nativecgi import from_wsgi, run

    run(from_wsgi(app), warmup=["/Ann"])
