"""A page with the name in the path: Django in one file, with a template of its own."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["django==5.2.19"]
# ///

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Hello {{ name }}</title>
<h1>Hello {{ name }}</h1>
<ul>{% for letter in name %}<li>{{ letter }}</li>{% endfor %}</ul>
</html>"""

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="signs nothing here",
    # What startproject chooses, but what needs a database.
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    (
                        "django.template.loaders.cached.Loader",
                        [("django.template.loaders.locmem.Loader", {"page.html": PAGE})],
                    )
                ]
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
