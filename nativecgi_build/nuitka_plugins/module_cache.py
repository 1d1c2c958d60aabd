"""Keeps what was made from the source of modules: their bytecode, and what they import.

All programs of a user share it, so it is made once for each version of a module. What was not used
for a month is removed.
"""

import hashlib
import marshal
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nativecgi_build.nuitka_plugins.imports import Import

_DAY = 24 * 60 * 60
_MONTH = 30 * _DAY


class Module(NamedTuple):
    """What was made from a module's source."""

    code: bytes  # marshal's, of a code object
    imports: list[Import]


class ModuleCache:
    """Modules by their sources, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def module(self, source: str, made_by: str, make: Callable[[], Module]) -> Module:
        """What `make` makes from a source, or has made before.

        `made_by` says all else that it depends on.
        """
        name = hashlib.sha256(f"{made_by}\n{source}".encode(errors="surrogatepass")).hexdigest()
        path = self._folder / name
        kept = _read(path)
        if kept is None:
            _write(path, kept := make())
        return kept

    def prune(self) -> None:
        """Remove what was not used for a month."""
        now = time.time()
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                if now - entry.stat().st_mtime > _MONTH:
                    os.unlink(entry.path)


def _read(path: Path) -> Module | None:
    try:
        code, listed = marshal.loads(path.read_bytes())
        found = Module(code, [Import(*it) for it in listed])
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)
    except (OSError, EOFError, ValueError, TypeError):
        return None  # not made yet, or broken off
    return found


def _write(path: Path, module: Module) -> None:
    """Write it so that another build sees all of it or nothing."""
    content = marshal.dumps((module.code, [tuple(it) for it in module.imports]))
    with suppress(OSError):  # a full disk is no reason not to build
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
