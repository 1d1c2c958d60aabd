"""Notes which files a process opens: the build runs this file in an app that it rehearses.

It is run by its path, in the app's own Python, before anything of the app's: so it imports little.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Whoever imports a module has the import system list folders: nobody has asked for their names.
_IMPORT_SYSTEM = "<frozen importlib"

Status = tuple[int, int, int]

_read: set[str] = set()
_written: set[str] = set()
_listed: set[str] = set()
_databases: dict[str, Status] = {}


def _absolute(path: object) -> str | None:
    if path is None:
        return os.getcwd()
    if isinstance(path, str | bytes | os.PathLike):
        return os.path.abspath(os.fsdecode(path))
    return None  # a descriptor: it was opened before


def _note_open(path: object, _mode: object, flags: object) -> None:
    if name := _absolute(path):
        (_written if isinstance(flags, int) and flags & _WRITING else _read).add(name)


def _note_listing(path: object) -> None:
    caller = sys._getframe(1).f_back  # behind this frame and the hook's
    is_import = caller is not None and caller.f_code.co_filename.startswith(_IMPORT_SYSTEM)
    if not is_import and (name := _absolute(path)):
        _listed.add(name)


def _note_database(path: object) -> None:
    if isinstance(path, str) and path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0]
    name = _absolute(path)
    if name and os.path.isfile(name):
        _databases.setdefault(name, _status(name))


def _status(path: str) -> Status:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


# The events of https://docs.python.org/3/library/audit_events.html by which files are found.
_NOTES: dict[str, Callable[..., None]] = {
    "open": _note_open,
    "os.listdir": _note_listing,
    "os.scandir": _note_listing,
    "sqlite3.connect": _note_database,
}


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if note := _NOTES.get(event):
        # What the hook raises, the program would get: it may be in a folder that was removed.
        with suppress(OSError):
            note(*arguments)


def opened() -> dict[str, list[str]]:
    """The absolute paths of what was opened so far: read, written, and listed (folders).

    A database counts as read if it is as it was when SQLite opened it. A path that is no text is
    left out.
    """
    databases = {it for it, status in _databases.items() if _is_there(it) and _status(it) == status}
    return {
        "read": _text(_read | databases),
        "written": _text(_written),
        "listed": _text(_listed),
    }


def _is_there(path: str) -> bool:
    return os.path.isfile(path)


def _text(paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if path.isprintable())


sys.addaudithook(_hook)
