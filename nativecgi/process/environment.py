"""The arguments and variables of a process; and os.environ, which is made only when asked for.

A request looks for a dozen of the variables, so all are taken apart at once: in C where that has
been built in (environment.c).
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

Block = bytes | bytearray | memoryview

# What os.environ is to be made of: a block, and how many arguments are in it.
_unread: tuple[Block, int] = b"", 0


def parse(block: Block, count: int) -> tuple[list[str], dict[str, str]]:
    """The arguments and the variables in a block of strings, each with a NUL behind it.

    The first `count` are arguments. The others are variables, NAME=value, of which the first of a
    name counts, as for getenv(3). What is no variable, for want of a name or a "=", is left out.
    """
    strings = bytes(block).decode("utf-8", "surrogateescape").split("\0")[:-1]
    variables: dict[str, str] = {}
    for string in strings[count:]:
        name, separator, value = string.partition("=")
        if separator and name:
            variables.setdefault(name, value)
    return strings[:count], variables


_parse = parse
with suppress(ImportError):
    _parse = import_module("_nativecgi_environment").parse


class _Unread:
    """A process's variables as os.environ keeps them, until it stores them itself."""

    def __get__(self, _environ: "_Environ | None", _owner: type) -> dict[bytes, bytes]:
        _arguments, variables = _parse(*_unread)
        data = {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
        for environ in (os.environ, os.environb):
            environ.__dict__["_data"] = data
        return data


class _Environ(os._Environ):  # type: ignore[type-arg]
    # No data descriptor: an attribute of the object itself comes before it.
    _data = _Unread()


def give_up() -> None:
    """Empty os.environ and os.environb, until they are renewed."""
    renew(b"", 0)
    for environ in (os.environ, os.environb):
        environ.__dict__.pop("_data", None)
        environ.__class__ = _Environ


def replace(first: Mapping[str, str], others: Mapping[str, str]) -> None:
    """Have os.environ and os.environb hold these variables, once they are asked.

    What no environment can hold is left out: a name that is empty or has a "=" in it, and a NUL.
    """
    give_up()
    strings = (
        f"{name}={value}\0"
        for name, value in {**others, **first}.items()
        if name and "=" not in name and "\0" not in name + value
    )
    renew(os.fsencode("".join(strings)), 0)


def renew(block: Block, count: int) -> tuple[list[str], dict[str, str]]:
    """Parse the block of a new process, which os.environ and os.environb read once they are asked.

    They have been given up before. What is set in the one is not in the others.
    """
    global _unread
    _unread = block, count
    return _parse(block, count)
