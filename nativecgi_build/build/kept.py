"""What the cache has of a project's apps: finds a program in it, and removes it."""

import fcntl
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.pipeline import COMPILED, FAST
from nativecgi_build.build.placing import is_copy
from nativecgi_build.build.records import Built, Compiled, read_record
from nativecgi_build.settings import Settings, user_cache
from nativecgi_build.sources import digest

# What the cache consists of; in a folder that a project has named for it may be other things.
FOLDERS = ("apps", "ccache", "nuitka")
_HASH = re.compile(r"-[0-9a-f]{12}$")


class Kept(msgspec.Struct, frozen=True):
    """What is kept of one app."""

    name: str
    folder: Path
    source: Path | None = None  # of the app; None where nothing was compiled
    compiled: float = 0.0  # when that was last

    def frozen(self) -> list[Path]:
        """Its programs as they were frozen last: compiled, and not (--fast)."""
        programs = (folder / f"{self.name}.frozen" for folder in _works(self.folder))
        return [program for program in programs if program.is_file()]


def _works(folder: Path) -> tuple[Path, ...]:
    return folder, folder / FAST


def kept(settings: Settings) -> Iterator[Kept]:
    """All that the cache has of apps, of this project and of others that share it."""
    folder = settings.kept / "apps"
    for work in sorted(folder.iterdir()) if folder.is_dir() else ():
        if work.is_dir():
            name = work.name if settings.cache else _HASH.sub("", work.name)
            files = [it / COMPILED for it in _works(work) if (it / COMPILED).is_file()]
            latest = max(files, key=_modified, default=None)
            record = read_record(latest, Compiled) if latest else None
            if latest and record and record.source:
                yield Kept(name, work, Path(record.source), _modified(latest))
            else:
                yield Kept(name, work)


def _modified(file: Path) -> float:
    return file.stat().st_mtime


def parts_of(program: str, settings: Settings) -> tuple[str, Built]:
    """What a program is made of that was built here, and what it is called.

    It is named by its path or by its name. Raises BuildError.
    """
    path = Path(program)
    if not path.is_file() and "/" not in program:
        path = settings.outputs / program
    known = [(it.name, frozen) for it in kept(settings) for frozen in it.frozen()]
    if path.is_file():
        known = [it for it in known if _is_same(it[1], path)]
    else:
        known = [it for it in known if it[0] == program]
    records = [(name, read_record(it.parent / "frozen.json", Built)) for name, it in known]
    found = [(name, built) for name, built in records if built]
    if not found:
        raise BuildError(
            f"{program} is no program that was built here and is frozen\n"
            "build it, and name it by its path: nativecgi explain dist/NAME"
        )
    return found[-1]


def _is_same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    return is_copy(one, other) or digest(one) == digest(other)


def clean(settings: Settings, *, everything: bool) -> list[Path]:
    """Remove what was built of the project, or the whole cache; returns what was removed.

    Of the programs in its folder those are removed that are what was built last. Raises BuildError
    where one is being built.
    """
    removed: list[Path] = []
    for it in kept(settings):
        is_of_project = _is_of(it, settings)
        if is_of_project:
            removed += _programs(it, settings)
        if is_of_project or everything:
            _remove(it)
            removed.append(it.folder)
    shared = {settings.kept, user_cache()} if everything else set()
    for folder in (cache / name for cache in sorted(shared) for name in FOLDERS):
        if folder.is_dir():
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


def _is_of(it: Kept, settings: Settings) -> bool:
    """Whether it is of an app of the project."""
    if settings.cache:
        return True
    return it.source is not None and it.source.is_relative_to(settings.folder)


def _programs(it: Kept, settings: Settings) -> Iterator[Path]:
    """Remove the app's program where it was placed, in one of its two forms."""
    program = settings.outputs / it.name
    folder = program.with_name(f"{it.name}.dist")
    if program.is_symlink() and folder.is_dir() and program.readlink().parts[0] == folder.name:
        program.unlink()
        shutil.rmtree(folder)
        yield program
    elif program.is_file() and any(is_copy(frozen, program) for frozen in it.frozen()):
        program.unlink()
        yield program


def _remove(it: Kept) -> None:
    lock = it.folder / "lock"
    lock.touch()
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildError(f"{it.name} is being built\nwait until that is done") from None
        shutil.rmtree(it.folder)
