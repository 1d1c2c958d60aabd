"""The application as a CGI program."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["fastapi==0.165.0", "jinja2==3.1.6", "python-multipart==0.0.34"]
# ///

import os

from books import app
from nativecgi import before_freeze, run
from nativecgi.asgi import from_asgi


@before_freeze
def warm_up_with_an_empty_shelf() -> None:
    """In the build's environment; each process has that of its server."""
    os.environ.setdefault("BOOKS_DB", ":memory:")


if __name__ == "__main__":
    run(from_asgi(app), warmup=["/", "/books", "/openapi.json", "/static/books.css"])
