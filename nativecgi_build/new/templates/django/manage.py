"""Django's commands: python manage.py startapp, for example."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "app_name.settings")
    execute_from_command_line(sys.argv)
