"""What each process reads from its environment, so that it is in no program's file.

BOOKSHELF_KEY is the path of a file with the secret key, BOOKSHELF_DB that of the database, and
BOOKSHELF_HOSTS are the names that the server is known by.
"""

import os
from pathlib import Path

from django.conf import settings
from django.db import connection

from nativecgi import after_thaw


@after_thaw
def configure() -> None:
    """A process without a key, or without a database, answers nothing."""
    settings.SECRET_KEY = Path(os.environ["BOOKSHELF_KEY"]).read_text()
    settings.ALLOWED_HOSTS = os.environ.get("BOOKSHELF_HOSTS", "localhost").split()
    connection.settings_dict["NAME"] = os.environ["BOOKSHELF_DB"]
    connection.close()  # the warm-up's, to a database in memory
