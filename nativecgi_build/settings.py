"""What a project says of its programs: the table [tool.nativecgi] of its pyproject.toml."""

import difflib
import hashlib
import os
import platform
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

FILE = "pyproject.toml"


class SettingsError(Exception):
    """A table [tool.nativecgi] that cannot be used, and why."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table. Paths in it are relative to the folder of its file."""

    apps: list[str] = []  # files and folders of apps, or patterns such as "apps/*"
    scripts: list[str] = []  # CGI scripts, or patterns
    wsgi: dict[str, str] | str = ""  # MODULE:NAME of an application, or programs' names with each
    asgi: dict[str, str] | str = ""
    requirements: list[str] | str = ""  # of all apps: a list, or the name of a file
    python: str = ""  # which versions programs are built with, such as ">=3.12"
    warmup: list[str] = []  # paths that applications and scripts are asked for at the build
    limits: dict[str, int] = {}  # of applications: fields of nativecgi.Limits
    output: str = "dist"  # where the programs go
    cache: str = ""  # where compilations are kept; else in the user's cache


class Settings(Table, frozen=True):
    """The table, and the project that it is of."""

    folder: Path = Path()  # of the file
    is_package: bool = False  # whether the project has modules for its apps to import

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


def user_cache() -> Path:
    """The folder that all projects of a user share (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else Path.home() / ".cache", "nativecgi")


def settings_of(folder: Path) -> Settings:
    """The settings of the project that a folder belongs to, or defaults for the folder itself.

    Raises SettingsError.
    """
    for parent in (folder, *folder.parents):
        content = read_file(parent / FILE)
        project, table = content.get("project"), content.get("tool", {}).get("nativecgi")
        if project is None and table is None:
            continue
        found = _checked(table or {}, parent / FILE)
        is_package = isinstance(project, dict) and project.get("name") != "nativecgi"
        fields = msgspec.structs.asdict(found)
        return Settings(**fields, folder=parent, is_package=is_package)
    return Settings(folder=folder)


def projects_in(folder: Path) -> list[Settings]:
    """The settings of the projects that lie in a folder. Raises SettingsError."""
    files = sorted(folder.glob(f"*/{FILE}"))
    found = [it for it in files if "nativecgi" in read_file(it).get("tool", {})]
    return [settings_of(file.parent) for file in found]


def read_file(file: Path) -> dict[str, Any]:
    """What a pyproject.toml says; nothing where there is none. Raises SettingsError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None


def _checked(table: object, file: Path) -> Table:
    known = Table.__struct_fields__
    if isinstance(table, dict):
        for name in table.keys() - set(known):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may have {', '.join(known)}"
            raise SettingsError(f"{file}: [tool.nativecgi] has no {name!r}: {hint}")
    try:
        found = msgspec.convert(table, Table)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: [tool.nativecgi]: {error}") from None
    try:
        is_met = SpecifierSet(found.python).contains(platform.python_version(), prereleases=True)
    except InvalidSpecifier as error:
        raise SettingsError(f"{file}: [tool.nativecgi] python: {error}") from None
    if not is_met:
        raise SettingsError(
            f"{file}: programs are built with Python {found.python}, and this is "
            f"{platform.python_version()}: install nativecgi with such a Python, or run it with "
            "uvx --python VERSION nativecgi"
        )
    return found
