"""The project as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

from app_name import process  # noqa: F401  # it has a hook

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "app_name.settings")

application = get_wsgi_application()
