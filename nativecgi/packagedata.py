"""Keeps what lies beside a compiled program, such as templates, for when it is frozen.

In an image that folder is there no more. Its files are kept in memory, and code that opens one gets
a descriptor of a copy in memory (memfd_create(2)): Python, and libraries in C such as OpenSSL. The
program has functions in C for that, which take the place of the C library's
(nuitka_plugins/datafiles.c). Here is what these are given, and what Python needs besides: to read
the folder (os.listdir, os.scandir), and a file for other programs (importlib.resources.as_file).
Nothing in the folder can be written to.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from importlib import import_module
from typing import Any

from nativecgi.bytecode import CODE, INDEX

# As they are now: in `os.stat` Nuitka would see the name, and look it up at each use.
_listdir: Callable[..., list[Any]] = vars(os)["listdir"]
_scandir: Callable[..., Any] = vars(os)["scandir"]
# A name for a path's slash, with which the path is not in one piece (datafiles.h).
_SLASH = "\1"


def keep_data() -> None:
    """Keep the files beside the program, but for itself and its libraries."""
    if "__compiled__" not in globals():
        return
    kept = Kept(os.path.dirname(sys.executable), os.readlink("/proc/self/exe"))
    if kept.contents:
        install(kept)


def install(kept: "Kept") -> None:
    """Have all code in this process find the files."""
    kept.serve(import_module("_nativecgi_datafiles").keep)
    for name in ("listdir", "scandir"):
        old, new = getattr(os, name), getattr(kept, name)
        if old in os.supports_fd:
            os.supports_fd.add(new)
        setattr(os, name, new)
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
        self._names: dict[str, list[str]] = {}
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
            parent, base = os.path.split(path)
            self._find(parent)
            self._names.setdefault(self._name(parent), []).append(base)

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

    def listdir(self, path: Any = None) -> list[Any]:
        """As the function of os."""
        names = self._names.get(self._name(path))
        if names is None:
            self._refuse_file(path)
            return _listdir(path)
        return list(map(os.fsencode, names)) if isinstance(path, bytes) else list(names)

    def scandir(self, path: Any = None) -> Any:
        """As the function of os."""
        if self._name(path) not in self._names:
            self._refuse_file(path)
            return _scandir(path)
        folder = os.fspath(path)
        return _Entries([_Entry(folder, name) for name in self.listdir(folder)])

    def _refuse_file(self, path: Any) -> None:
        if self._name(path) in self.contents:
            raise NotADirectoryError(ENOTDIR, "Not a directory", path)

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


class _Entries:
    """What os.scandir returns: an iterator to be closed."""

    def __init__(self, entries: "list[_Entry]") -> None:
        self._rest = iter(entries)

    def __iter__(self) -> "_Entries":
        return self

    def __next__(self) -> "_Entry":
        return next(self._rest)

    def __enter__(self) -> "_Entries":
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def close(self) -> None:
        self._rest = iter(())


class _Entry:
    """As os.DirEntry, of which only os makes any."""

    def __init__(self, folder: Any, name: Any) -> None:
        self.name = name
        self.path = os.path.join(folder, name)

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        return stat.S_ISDIR(self.stat().st_mode)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        return stat.S_ISREG(self.stat().st_mode)

    def is_symlink(self) -> bool:
        return False

    def is_junction(self) -> bool:
        return False

    def inode(self) -> int:
        return self.stat().st_ino


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
            is_kept = file.endswith(".so") or ".so." in file or file in (INDEX, CODE)
            if not is_kept and os.path.realpath(path) != program:
                yield path
