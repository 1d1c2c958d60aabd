"""The pinboard as a CGI program."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["flask==3.1.2"]
# ///

from nativecgi import from_wsgi, run
from pinboard import app

if __name__ == "__main__":
    run(from_wsgi(app))
