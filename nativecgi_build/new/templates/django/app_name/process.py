"""What each process reads from its environment, so that it is in no program's file.

The server sets DJANGO_SECRET_KEY, and in DJANGO_ALLOWED_HOSTS the names that it is known by.
"""

import os
import secrets

from django.conf import settings

from nativecgi import after_thaw


@after_thaw
def configure() -> None:
    # Without a key each process has one of its own: what it signs, no other accepts.
    settings.SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
    if hosts := os.environ.get("DJANGO_ALLOWED_HOSTS"):
        settings.ALLOWED_HOSTS = hosts.split()
