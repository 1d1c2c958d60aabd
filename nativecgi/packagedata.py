"""Keeps what lies beside a compiled program, such as templates, for when it is frozen.

In an image that folder is there no more. Its files are kept in memory, and the functions by which
Python finds and reads files know them: open, and of os stat, lstat, access, listdir and scandir. On
these rest os.path, os.walk, glob, pathlib, importlib.resources, pkgutil and the loaders of
templates. A file that is opened has a descriptor (memfd_create(2)), as a web framework expects that
sends it. Nothing in the folder can be written to.
"""

import builtins
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from nativecgi.bytecode import CODE, INDEX

# As they are now: in `os.stat` Nuitka would see the name, and look it up at each use.
_open: Callable[..., IO[Any]] = vars(builtins)["open"]
_stat: Callable[..., os.stat_result] = vars(os)["stat"]
_access: Callable[..., bool] = vars(os)["access"]
_lstat: Callable[..., os.stat_result] = vars(os)["lstat"]
_listdir: Callable[..., list[Any]] = vars(os)["listdir"]
_scandir: Callable[..., Any] = vars(os)["scandir"]

# What tells which functions of os take an argument that not all platforms know.
_ABLE = (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd,
         os.supports_follow_symlinks)  # fmt: skip


def keep_data() -> None:
    """Keep the files beside the program, but for itself and its libraries."""
    if "__compiled__" not in globals():
        return
    kept = Kept(os.path.dirname(sys.executable), os.readlink("/proc/self/exe"))
    if kept.contents:
        _install(kept)


def _install(kept: "Kept") -> None:
    # Set so as compiled code sees it, too: what Nuitka compiles has the built-in open by itself.
    builtins.open = io.open = kept.open  # type: ignore[assignment]
    for name in ("stat", "lstat", "access", "listdir", "scandir"):
        old, new = getattr(os, name), getattr(kept, name)
        for able in _ABLE:
            if old in able:
                able.add(new)
        setattr(os, name, new)


class Kept:
    """The data files of a folder, read when this is made. `program` is none of them."""

    def __init__(self, folder: str, program: str = "") -> None:
        # The freezer changes the folder's name in memory, where it is in one piece. So it is no
        # part of a key: the hash of a string is computed once. And there are paths in pieces,
        # as pathlib has them, that keep the old name.
        self._folder = folder
        self._pieces = folder.split(os.sep)
        self.contents: dict[str, bytes] = {}
        self._found: dict[str, os.stat_result] = {}
        self._names: dict[str, list[str]] = {}
        for path in _data_files(folder, program):
            with _open(path, "rb") as file:
                self.contents[self._name(path)] = file.read()
            self._find(path)

    def _find(self, path: str) -> None:
        """Keep what is known of a file or folder, and of those it is in."""
        name = self._name(path)
        if name in self._found:
            return
        number = len(self._found) + 1
        self._found[name] = _without_owner(_stat(path), number)
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

    def open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[str, int], int] | None = None,
    ) -> IO[Any]:
        """As the built-in function."""
        name = self._name(file)
        if opener is None and name in self.contents and not set("wax+") & set(mode):
            opener = self._opener(name)
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def _opener(self, name: str) -> Callable[[str, int], int]:
        def open_in_memory(_path: str, _flags: int) -> int:
            descriptor = os.memfd_create("data")
            rest = memoryview(self.contents[name])
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.lseek(descriptor, 0, os.SEEK_SET)
            modified = self._found[name].st_mtime_ns
            os.utime(descriptor, ns=(modified, modified))
            return descriptor

        return open_in_memory

    def stat(
        self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        """As the function of os."""
        found = self._found.get(self._name(path))
        if found is not None:
            return found
        return _stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def access(
        self,
        path: Any,
        mode: int,
        *,
        dir_fd: int | None = None,
        effective_ids: bool = False,
        follow_symlinks: bool = True,
    ) -> bool:
        """As the function of os."""
        found = self._found.get(self._name(path))
        if found is not None:
            return found.st_mode & mode == mode
        return _access(
            path, mode, dir_fd=dir_fd, effective_ids=effective_ids, follow_symlinks=follow_symlinks
        )

    def lstat(self, path: Any, *, dir_fd: int | None = None) -> os.stat_result:
        """As the function of os; there are no symbolic links in the folder."""
        found = self._found.get(self._name(path))
        return _lstat(path, dir_fd=dir_fd) if found is None else found

    def listdir(self, path: Any = None) -> list[Any]:
        """As the function of os."""
        names = self._names.get(self._name(path))
        if names is None:
            return _listdir(path)
        return list(map(os.fsencode, names)) if isinstance(path, bytes) else list(names)

    def scandir(self, path: Any = None) -> Any:
        """As the function of os."""
        if self._name(path) not in self._names:
            return _scandir(path)
        folder = os.fspath(path)
        return _Entries([_Entry(folder, name, self.stat) for name in self.listdir(folder)])


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

    def __init__(self, folder: Any, name: Any, stat: Callable[[Any], os.stat_result]) -> None:
        self.name = name
        self.path = os.path.join(folder, name)
        self._stat = stat

    def __fspath__(self) -> Any:
        return self.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        return self._stat(self.path)

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


def _data_files(folder: str, program: str) -> Iterator[str]:
    for parent, _folders, files in os.walk(folder):
        for file in files:
            path = os.path.join(parent, file)
            is_kept = file.endswith(".so") or ".so." in file or file in (INDEX, CODE)
            if not is_kept and os.path.realpath(path) != program:
                yield path


def _without_owner(found: os.stat_result, number: int) -> os.stat_result:
    """What a file is, but for what it has of the machine it was found on; its inode is a number."""
    mode = stat.S_IFMT(found.st_mode) | (0o555 if stat.S_ISDIR(found.st_mode) else 0o444)
    numbers = (mode, number, 0, 1, 0, 0, found.st_size)
    seconds, nanoseconds = found.st_mtime, found.st_mtime_ns
    return os.stat_result((*numbers, *[int(seconds)] * 3, *[seconds] * 3, *[nanoseconds] * 3))
