"""The project's settings. What each process reads from its environment is in process.py."""

import secrets

# For this process alone: it is in no file, and process.py replaces it.
SECRET_KEY = secrets.token_urlsafe(50)
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = ["app_name"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "app_name.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
# Open no database file here: before the freeze there is no server whose database it could be.
DATABASES: dict[str, dict[str, str]] = {}
USE_TZ = True

DEBUG = False
# nativecgi writes what fails to the server's error log, and answers with status 500.
DEBUG_PROPAGATE_EXCEPTIONS = True
