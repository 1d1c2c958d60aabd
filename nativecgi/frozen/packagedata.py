"""Keeps what lies beside a compiled program, such as templates, for when it is frozen.

In an image that folder is there no more. Its files are kept in memory, and code that opens one gets
a descriptor of a copy in memory (memfd_create(2)): Python, and libraries in C such as OpenSSL. The
program has functions in C for that, which take the place of the C library's
(nuitka_plugins/datafiles.c); here is what these are given. Other programs cannot open the files:
importlib.resources.as_file writes one to a temporary file. Nothing in the folder can be written to.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from nativecgi.frozen import learned, program
from nativecgi.frozen.bytecode import CODE, INDEX

# In place of a path's slashes, so that it is not in one piece (datafiles.h).
_SLASH = "\1"
# What the build has put there for other modules of this folder.
_BUILD_S = (INDEX, CODE, learned.LIST)


def keep_data() -> None:
    """Keep the files beside the program, except the program and its libraries."""
    if not (folder := program.folder()):
        return
    kept = Kept(folder, os.readlink("/proc/self/exe"))
    if kept.contents:
        install(kept)


def install(kept: "Kept") -> None:
    """Have all code in this process find the files."""
    kept.serve(import_module("_nativecgi_datafiles").keep)
    if resources := sys.modules.get("importlib.resources"):
        path, nuitka_s = sys.modules["pathlib"].Path, type(resources.files(__package__))
        for kind in (path, nuitka_s):
            resources.as_file.register(kind, kept.as_file)


class Kept:
    """The data files of a folder, read when this is made. `program` is none of them."""

    def __init__(self, folder: str, program: str = "") -> None:
        # The freezer changes the folder's name in memory, where it is in one piece. So it is no
        # part of a key: the hash of a string is computed once. And there are paths in pieces,
        # as pathlib has them, that keep the old name.
        self._folder = folder
        self._pieces = folder.split(os.sep)
        self.contents: dict[str, bytes] = {}
        self._times: dict[str, int] = {}
        for path in _data_files(folder, program):
            with open(path, "rb") as file:
                self.contents[self._name(path)] = file.read()
            self._find(path)

    def _find(self, path: str) -> None:
        """Keep what is known of a file or folder, and of those it is in."""
        name = self._name(path)
        if name in self._times:
            return
        self._times[name] = os.stat(path).st_mtime_ns
        if name != os.curdir:
            self._find(os.path.dirname(path))

    def _name(self, path: object) -> str:
        """The path within the folder; empty if it is elsewhere, or none."""
        if isinstance(path, int) or path is None:
            return ""
        text = os.fsdecode(path)  # type: ignore[arg-type]  # raises TypeError, as open would
        if not text.startswith((self._folder, os.sep.join(self._pieces))):
            return ""
        rest = text[len(self._folder) :]  # the two are of one length
        return os.path.normpath(os.curdir + rest) if rest[:1] in ("", os.sep) else ""

    def serve(self, keep: Callable[[bytes, bytes, list[Any]], None]) -> None:
        """Hand the files to what serves them (datafiles_module.c)."""
        numbers = {name: number for number, name in enumerate(self._times, 1)}
        files = [
            (os.fsencode(name), self.contents.get(name), modified, numbers[name])
            for name, modified in self._times.items()
        ]
        pieces = _SLASH.join(self._pieces)
        keep(os.fsencode(self._folder), os.fsencode(pieces), sorted(files))

    @contextmanager
    def as_file(self, path: Any) -> Iterator[Any]:
        """As the function of importlib.resources: a kept file is written to a temporary one.

        Whoever asks for it may give the path to another program, which does not have the files.
        """
        content = self.contents.get(self._name(path))
        copy = None if content is None else _temporary_file(content, f"-{path.name}")
        try:
            yield path if copy is None else sys.modules["pathlib"].Path(copy)
        finally:
            if copy is not None:
                with suppress(FileNotFoundError):
                    os.unlink(copy)


def _temporary_file(content: bytes, suffix: str) -> str | None:
    """The path of a new file of this process's own; None where none can be made."""
    folder = os.environ.get("TMPDIR", "/tmp")
    path = os.path.join(folder, os.urandom(16).hex() + suffix)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return None  # code in this process can open it all the same
    with open(descriptor, "wb") as file:
        file.write(content)
    return path


def _data_files(folder: str, program: str) -> Iterator[str]:
    for parent, _folders, files in os.walk(folder):
        for file in files:
            path = os.path.join(parent, file)
            is_kept = file.endswith(".so") or ".so." in file or file in _BUILD_S
            if not is_kept and os.path.realpath(path) != program:
                yield path
