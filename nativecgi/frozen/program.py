"""Whether this process is a program that was built, and where its files lie until it is frozen."""

import os
import sys


def folder() -> str:
    """The folder of the program's files; "" in plain Python, for which nothing was built."""
    if is_compiled():
        return os.path.dirname(sys.executable)
    gathered = sys.modules.get("nativecgi.frozen.gathered")
    return str(gathered.place) if gathered else ""


def is_compiled() -> bool:
    """Whether Nuitka has compiled it; else plain Python runs what was gathered (gathered.py)."""
    return "__compiled__" in globals()
