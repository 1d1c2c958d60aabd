"""What a project says of its programs: the table [tool.nativecgi] of its pyproject.toml."""

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

FILE = "pyproject.toml"


class SettingsError(Exception):
    """A table [tool.nativecgi] that cannot be used, and why."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table, and where it stands. Paths in it are relative to the folder of its file."""

    apps: list[str] = []  # files and folders of apps, or patterns such as "apps/*"
    requirements: str | list[str] = []  # of all apps: a file, or what would be in one
    output: str = "dist"  # where the programs go
    cache: str = ""  # where compilations are kept; else in the user's cache, see `cache`
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
            try:
                found = msgspec.convert(table, Settings)
            except msgspec.ValidationError as error:
                raise SettingsError(f"{parent / FILE}, [tool.nativecgi]: {error}") from None
            return msgspec.structs.replace(found, folder=parent)
    return Settings(folder=folder)


def _table(file: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    table = content.get("tool", {}).get("nativecgi")
    if table is not None and not isinstance(table, dict):
        raise SettingsError(f"{file}: [tool.nativecgi] is not a table")
    return table
