"""A page with the name in the path: Django in one file, with a template of its own."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["django==5.2.19"]
# ///

from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.shortcuts import render
from django.template import context_processors
from django.template.backends.django import DjangoTemplates
from django.template.loaders import cached, locmem
from django.urls import path

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Hello {{ name }}</title>
<h1>Hello {{ name }}</h1>
<ul>{% for letter in name %}<li>{{ letter }}</li>{% endfor %}</ul>
</html>"""

# What startproject chooses, but what needs a database.
MIDDLEWARE = (
    *(SecurityMiddleware, CommonMiddleware),
    *(CsrfViewMiddleware, XFrameOptionsMiddleware),
)


def name_of(thing: Any) -> str:
    """What the settings call it: a compiler sees imports, and not what only strings name."""
    return f"{thing.__module__}.{thing.__qualname__}"


PAGES = (name_of(locmem.Loader), {"page.html": PAGE})

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="signs nothing here",
    MIDDLEWARE=[name_of(each) for each in MIDDLEWARE],
    TEMPLATES=[
        {
            "BACKEND": name_of(DjangoTemplates),
            "OPTIONS": {
                "context_processors": [name_of(context_processors.request)],
                "loaders": [(name_of(cached.Loader), [PAGES])],
            },
        }
    ],
)


def show(request: HttpRequest, name: str) -> HttpResponse:
    """The page."""
    return render(request, "page.html", {"name": name})


urlpatterns = [path("<name>", show)]

app = get_wsgi_application()

if __name__ == "__main__":
    from nativecgi import from_wsgi, run

    run(from_wsgi(app), warmup=["/Ann"])
