"""Imports, before a program is frozen, what the build has seen a request import.

An application imports some modules only when it answers, and a process that does so has to run
them. Here they are only imported: no request is answered for it.
"""

import os
from contextlib import suppress
from importlib import import_module

from nativecgi.frozen import program

# Beside the program, if the build has learned any: the names of the modules, a line each.
LIST = "learned.list"


def import_learned() -> None:
    """Import them, in the order in which the request did."""
    if not (folder := program.folder()):
        return
    try:
        with open(os.path.join(folder, LIST), "rb") as file:
            names = file.read().decode().split()
    except FileNotFoundError:
        return  # nothing was learned, or it is frozen by hand
    for name in names:
        # The app will see by itself that a module is not there, or fails.
        with suppress(Exception):
            import_module(name)
