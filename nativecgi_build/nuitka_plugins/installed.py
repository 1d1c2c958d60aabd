"""Which packages of a program were installed, and are not the app's own."""

import os
from collections.abc import Iterator


def installed(path: list[str]) -> set[str]:
    """The names of what is installed in the folders of a module search path."""
    return {_name_of(entry) for entry in _entries(path)}


def linked(path: list[str]) -> set[str]:
    """Of these the names of the project's own, which its environment has links to."""
    return {_name_of(entry) for entry in _entries(path) if os.path.islink(entry)}


def _entries(path: list[str]) -> Iterator[str]:
    for folder in path:
        if os.path.basename(folder) == "site-packages" and os.path.isdir(folder):
            yield from (os.path.join(folder, name) for name in os.listdir(folder))


def _name_of(entry: str) -> str:
    return os.path.basename(entry).partition(".")[0]
