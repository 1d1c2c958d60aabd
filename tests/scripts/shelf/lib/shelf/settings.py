SECRET_KEY = "of a test" * 6
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shelf.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "shelf.books"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
# Relative to the folder that a server starts programs in, which is their own.
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shelf.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
TIME_ZONE = "Europe/Warsaw"
