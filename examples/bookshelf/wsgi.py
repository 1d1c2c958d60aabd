"""The project as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshelf.settings")

application = get_wsgi_application()

from bookshelf import process  # noqa: E402, F401  # its hook; it needs the settings
