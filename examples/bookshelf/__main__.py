"""The bookshelf as a CGI program."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["django==5.2.19", "whitenoise==6.12.0"]
# ///

# Of Django nearly all may be imported by a string, and some of it not before a request asks for it.
# nuitka-project: --include-package=django

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.db import connection

from bookshelf.wsgi import application
from nativecgi import Request, from_wsgi, run


def warmup() -> Iterator[Request]:
    """Requests that have no effects: they see empty tables, in memory, and each process its own."""
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            editor.create_model(model)
    for language, _name in settings.LANGUAGES:
        for path in ("/", "/admin/login/"):
            yield Request({"PATH_INFO": path, "HTTP_ACCEPT_LANGUAGE": language})


if __name__ == "__main__":
    run(from_wsgi(application), warmup=warmup())
