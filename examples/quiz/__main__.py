"""The quiz as a CGI program."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["bottle==0.13.4"]
# ///

from nativecgi import from_wsgi, run
from quiz import app

if __name__ == "__main__":
    run(from_wsgi(app), warmup=["/"])
