"""What a program was made from: which files those are, and whether they are still what they were.

A file's digest is taken before a step of the build reads it. What is saved during the step then
differs from its digest, and is never taken for what the program was made from.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import msgspec

# The digest of a path with nothing there: a file that was looked for in vain is a source as well.
MISSING = ""
# No file has this digest: it is that of one which changed before it could be taken.
CHANGED = "changed"

# Of what changes by itself nothing can be built again for.
_VOLATILE = ("/proc", "/sys", "/dev", "/run")
_TEMPORARY = ("/tmp", "/var/tmp", tempfile.gettempdir())  # as folders whose names are listed
_BYTECODE = "__pycache__"

Digests = dict[str, str]


class Opened(msgspec.Struct):
    """What a program has opened on its way to its freeze point, by absolute paths."""

    read: list[str] = []
    written: list[str] = []
    listed: list[str] = []  # folders


def digest(path: Path) -> str:
    """The digest of a file's content, of the names in a folder, or MISSING."""
    try:
        if path.is_dir():
            names = sorted(os.fsencode(it.name) for it in path.iterdir() if it.name != _BYTECODE)
            return hashlib.sha256(b"\0".join([b"folder", *names])).hexdigest()
        if not path.is_file():
            return MISSING
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return MISSING  # to this build it is as if it was not there


def digests(paths: Iterable[Path | str]) -> Digests:
    """The digests of files by their paths."""
    return {str(path): digest(Path(path)) for path in paths}


def changed(recorded: Mapping[str, str]) -> list[str]:
    """The paths, of those recorded with their digests, at which there is something else now."""
    return [path for path, before in recorded.items() if digest(Path(path)) != before]


class Baseline:
    """What was there before a step of the build, which tells afterwards what it has read."""

    def __init__(self, known: Iterable[Path | str], folder: Path) -> None:
        """Take the digests of what is known to be read; `folder` is one to write to."""
        mark = folder / "started"
        mark.touch()
        self._started = mark.stat().st_mtime_ns  # by the file system's clock, which is coarse
        self._known = digests(known)

    def recorded(self, paths: Iterable[Path | str]) -> Digests:
        """The digests that files had before the step.

        Of a file that nobody expected to be read, and that was written to since, it is CHANGED.
        """
        return {path: self._recorded(path) for path in map(str, paths)}

    def _recorded(self, path: str) -> str:
        if path in self._known:
            return self._known[path]
        try:
            status = Path(path).stat()
        except OSError:
            return MISSING
        # Modification is not enough: a file that was moved here keeps its time. A folder has a new
        # one when Python makes its __pycache__, which is no change.
        touched = max(status.st_mtime_ns, status.st_ctime_ns)
        is_older = touched < self._started or stat.S_ISDIR(status.st_mode)
        return digest(Path(path)) if is_older else CHANGED


def compiled_from(report: Path, prefixes: Mapping[str, Path]) -> list[Path]:
    """The files that Nuitka compiled or included, by its report in XML.

    `prefixes` are the folders that it has names for, such as ${cwd}.
    """
    root = ElementTree.parse(report).getroot()
    parts = (*root.iter("module"), *root.iter("included_dll"), *root.iter("data_file"))
    found = (part.get("source_path") or part.get("source") or "" for part in parts)
    paths = {_path(text, prefixes) for text in found if text}
    # With multiprocessing there are modules that Nuitka has made up, and a package may be but a
    # folder.
    return sorted(filter(Path.is_file, paths))


def _path(text: str, prefixes: Mapping[str, Path]) -> Path:
    name, _, rest = text.partition("/")
    return prefixes[name] / rest if name in prefixes else Path(text).expanduser()


def read_by(opened: Opened, scratch: Path) -> list[str]:
    """What a program was made from by reading it on its way to its freeze point.

    That is neither what it has made itself, some of it in the folder `scratch`, nor what changes
    by itself. Of bytecode it is the source.
    """
    read = {_source(path) for path in {*opened.read, *opened.listed} - {*opened.written}}
    return sorted(it for it in read if not _is_volatile(it, scratch))


def _source(text: str) -> str:
    """The path of the module that a path in a __pycache__ is the bytecode of; or the path."""
    path = Path(text)
    if path.parent.name != _BYTECODE:
        return text
    return str(path.parent.parent / f"{path.name.partition('.')[0]}.py")


def _is_volatile(text: str, scratch: Path) -> bool:
    path = Path(text)
    return text in _TEMPORARY or any(path.is_relative_to(it) for it in (*_VOLATILE, scratch))
