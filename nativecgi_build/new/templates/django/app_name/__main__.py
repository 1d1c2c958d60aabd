"""The project as a CGI program."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["django>=5.2,<6"]
# ///

# Django imports most of its modules by their names, some of them only when a request needs them.
# nuitka-project: --include-package=django

from app_name.wsgi import application
from nativecgi import from_wsgi, run

if __name__ == "__main__":
    run(from_wsgi(application), warmup=["/"])
