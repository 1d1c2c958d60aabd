"""The pinboard as a CGI program."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["flask==3.1.3"]
# ///

import os

from nativecgi import before_freeze, from_wsgi, run
from pinboard import app


@before_freeze
def warm_up_with_an_empty_board() -> None:
    """In the build's environment; each process has that of its server."""
    os.environ.setdefault("PINBOARD_DB", ":memory:")


if __name__ == "__main__":
    run(from_wsgi(app), warmup=["/", "/static/pinboard.css"])
