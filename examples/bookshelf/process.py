"""What each process reads from its environment, so that it is in no program's file.

BOOKSHELF_KEY is the path of a file with the secret key, BOOKSHELF_DB that of the database, and
BOOKSHELF_HOSTS are the names that the server is known by.
"""

import os
from pathlib import Path

from django.conf import settings
from django.db import connection

from nativecgi import after_thaw

warmed_up = None  # the connection that the warm-up had


@after_thaw
def configure() -> None:
    """A process without a key, or without a database, answers 500."""
    settings.SECRET_KEY = Path(os.environ["BOOKSHELF_KEY"]).read_text()
    settings.ALLOWED_HOSTS = os.environ.get("BOOKSHELF_HOSTS", "localhost").split()
    connection.settings_dict["NAME"] = os.environ["BOOKSHELF_DB"]
    # To close it would be to free a database in memory: to write to pages that processes share.
    global warmed_up
    warmed_up, connection.connection = connection.connection, None
