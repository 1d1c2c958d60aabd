"""What a project says of its programs: the table [tool.nativecgi] of its pyproject.toml."""

import difflib
import hashlib
import os
import platform
import re
import sys
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from nativecgi.message.limits import Limits

FILE = "pyproject.toml"


class SettingsError(Exception):
    """A table [tool.nativecgi] that cannot be used, and why; a second line says what to do."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table, and where it stands. Paths in it are relative to the folder of its file."""

    apps: list[str] = []  # files and folders of apps, or patterns such as "apps/*"
    scripts: list[str] = []  # CGI scripts, or patterns
    # Existing applications, MODULE:NAME: one, or several by the names of their programs.
    wsgi: str | dict[str, str] = {}
    asgi: str | dict[str, str] = {}
    requirements: str | list[str] = []  # of all apps: a file, or what would be in one
    warmup: list[str] = []  # paths that scripts and applications are asked for at the build
    limits: dict[str, int] = {}  # of applications: fields of nativecgi.Limits
    data: list[str] = []  # files and folders that go into the programs of scripts and applications
    python: str = ""  # the Python to build with: a version such as "3.13", or a path
    output: str = "dist"  # where the programs go
    cache: str = ""  # where compilations are kept; else in the user's cache, see `kept`
    folder: Path = Path()  # of the project; not in the table

    @property
    def outputs(self) -> Path:
        """The folder where the programs go."""
        return self.folder / self.output

    @property
    def kept(self) -> Path:
        """The folder of what makes the next build fast."""
        return self.folder / self.cache if self.cache else user_cache()

    def work(self, name: str, origin: str) -> Path:
        """The folder of what is kept of one app, by its name and by where it comes from."""
        if self.cache:
            return self.kept / "apps" / name
        return self.kept / "apps" / f"{name}-{hashlib.sha256(origin.encode()).hexdigest()[:12]}"


_KEYS = {*Settings.__struct_fields__} - {"folder"}


def user_cache() -> Path:
    """The folder that all projects of a user share (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else Path.home() / ".cache", "nativecgi")


def settings_of(folder: Path) -> Settings:
    """The settings of the project that a folder belongs to, or defaults for the folder itself.

    Raises SettingsError.
    """
    for parent in (folder, *folder.parents):
        if (table := _table(parent / FILE)) is not None:
            return _read(table, parent)
    return Settings(folder=folder)


def projects_below(folder: Path) -> list[Settings]:
    """The settings of a folder's child folders that have some; none where it has its own.

    Raises SettingsError.
    """
    if any(_table(parent / FILE) is not None for parent in (folder, *folder.parents)):
        return []
    children = sorted(it for it in folder.iterdir() if it.is_dir() and not it.name.startswith("."))
    tables = ((child, _table(child / FILE)) for child in children)
    return [_read(table, child) for child, table in tables if table is not None]


def check_python(settings: Settings) -> None:
    """Raise SettingsError where the project asks for another Python than the one that runs."""
    wanted, found = settings.python, platform.python_version()
    if "/" in wanted:
        path = settings.folder / Path(wanted).expanduser()
        if not path.exists():
            raise SettingsError(f"there is no {path}, which `python` in {FILE} names")
        if path.resolve() != Path(sys.executable).resolve():
            raise SettingsError(
                f"this project is built with {path}, and this is {sys.executable}\n"
                f"install nativecgi there: {path} -m pip install nativecgi"
            )
    elif not _versions(wanted).contains(found, prereleases=True):
        raise SettingsError(
            f"this project is built with Python {wanted}, and this is Python {found}\n"
            f"type: uvx --python '{wanted}' nativecgi build"
        )


def _versions(text: str) -> SpecifierSet:
    """The versions of Python that `python` means: 3.13 is any 3.13.x."""
    return SpecifierSet(f"=={text}.*" if re.fullmatch(r"[\d.]+", text) else text)


def _read(table: dict[str, Any], folder: Path) -> Settings:
    where = f"{folder / FILE}, [tool.nativecgi]"
    _check_names(table, _KEYS, where)
    try:
        found = msgspec.convert(table, Settings)
        msgspec.convert(found.limits, Limits)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}") from None
    _check_names(found.limits, Limits.__struct_fields__, f"{where}, limits")
    if negative := [name for name, number in found.limits.items() if number < 0]:
        raise SettingsError(f"{where}: the limit {negative[0]} is below 0")
    if wrong := [it for it in found.warmup if not it.startswith("/")]:
        raise SettingsError(f"{where}: the path {wrong[0]!r} does not begin with /")
    try:
        if "/" not in found.python:
            _versions(found.python)
    except InvalidSpecifier:
        raise SettingsError(
            f"{where}: python is {found.python!r}\nwrite a version such as '3.13', or a path"
        ) from None
    return msgspec.structs.replace(found, folder=folder)


def _check_names(names: Iterable[str], known: Collection[str], where: str) -> None:
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, 1)
            way_out = (
                f"write {nearest[0]!r}" if nearest else f"known are {', '.join(sorted(known))}"
            )
            raise SettingsError(f"{where}: there is no key {name!r}\n{way_out}")


def _table(file: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    table = content.get("tool", {}).get("nativecgi")
    if table is not None and not isinstance(table, dict):
        raise SettingsError(f"{file}: [tool.nativecgi] is not a table")
    return table
