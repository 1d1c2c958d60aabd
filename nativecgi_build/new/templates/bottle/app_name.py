"""A Bottle application."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["bottle>=0.13,<0.14"]
# ///

from bottle import Bottle, template

from nativecgi import from_wsgi, run

app = Bottle()


@app.get("/")
@app.get("/<name>")
def hello(name: str = "world") -> str:
    return template(
        "<!DOCTYPE html>\n<title>project-name</title>\n<h1>Hello {{name}}</h1>\n", name=name
    )


if __name__ == "__main__":
    run(from_wsgi(app), warmup=["/"])
