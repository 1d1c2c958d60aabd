"""The commands that a pool executes: a worker's, and its own when it starts anew."""

import os
import sys

from msgspec import Struct


class Command(Struct, frozen=True):
    """A file to execute, and the arguments that it gets, of which the first is its name."""

    file: str
    arguments: tuple[str, ...]


class Commands(Struct, frozen=True):
    """The two commands of a pool."""

    worker: Command
    manager: Command


def commands() -> Commands:
    """The commands of the program that this process runs."""
    # Plain Python's own arguments begin with the script.
    return of_program() if sys.orig_argv[1:] == sys.argv[1:] else of_plain_python()


def of_program() -> Commands:
    """The commands of a program that was built.

    Workers have the file that runs now, also where a new one has taken its place. The manager
    starts anew from the path that it was started by.
    """
    name = sys.argv[0] if sys.argv else "program"
    path = sys.executable or os.readlink("/proc/self/exe")
    return Commands(
        worker=Command("/proc/self/exe", (name,)),
        manager=Command(path, (name, *sys.argv[1:])),
    )


def of_plain_python() -> Commands:
    """The commands of a program that plain Python runs."""
    command = Command(sys.executable, tuple(sys.orig_argv))
    return Commands(worker=command, manager=command)
