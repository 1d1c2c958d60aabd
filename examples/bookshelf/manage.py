"""Commands to run beside the program: `python -m bookshelf.manage migrate`, and other commands.

The program itself has no commands: a web server may give it words of the query as arguments.
"""

import os
import sys

import django
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshelf.settings")
    django.setup()
    from bookshelf.process import configure

    configure()
    execute_from_command_line(sys.argv)
