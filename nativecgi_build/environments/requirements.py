"""What an app requires, and where that is said: the first of these that is there counts.

[tool.nativecgi] requirements of the project, PEP 723 in the app's file, requirements.txt beside it,
and of the project uv.lock, pylock.toml, requirements.txt or [project] dependencies.
"""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from nativecgi_build.environments.requirements_files import files_named, files_of
from nativecgi_build.settings import FILE, Settings, read_file

# As PEP 723 has it.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_LISTED = "requirements.txt"


class EnvironmentFailed(Exception):
    """What an app requires cannot be read, had or met, and why."""


class Section(msgspec.Struct, frozen=True):
    """What a script's file says for its build (project.py), in a table [tool.nativecgi]."""

    data: list[str] = []  # files and folders beside it that go into its program
    tries: list[str] = msgspec.field(default_factory=list, name="try")  # paths to ask it for


class Tools(msgspec.Struct, frozen=True):
    """What the app's file says to tools."""

    nativecgi: Section = Section()


class Metadata(msgspec.Struct, frozen=True, rename="kebab"):
    """What the app's file says of it; of PEP 723 all else is for other tools."""

    dependencies: list[str] | None = None
    requires_python: str = ""
    tool: Tools = Tools()


class Requirements(msgspec.Struct, frozen=True):
    """What is to be installed for an app."""

    text: str  # as in a file of requirements
    said_by: str  # what says so, for a reader
    file: Path | None = None  # where the text stands, if it is in a file that an installer reads
    files: tuple[Path, ...] = ()  # all files that have a say in it
    requires_python: str = ""


def required(source: Path, settings: Settings) -> Requirements:
    """What the app in a file, or in the folder of a package, requires.

    The text is empty where nothing says anything, or where nothing is required. Raises
    EnvironmentFailed.
    """
    metadata = script_metadata(source / "__main__.py" if source.is_dir() else source)
    found = next(_said(source, metadata, settings), Requirements("", ""))
    return msgspec.structs.replace(
        found, requires_python=metadata.requires_python or found.requires_python
    )


def _said(source: Path, metadata: Metadata, settings: Settings) -> Iterator[Requirements]:
    project = settings.folder / FILE
    if isinstance(settings.requirements, str) and settings.requirements:
        yield _in_file(settings.folder / settings.requirements)
    elif settings.requirements:
        text = "\n".join(settings.requirements)
        yield Requirements(text, f"[tool.nativecgi] of {project}", files=(project,))
    if metadata.dependencies is not None:
        text = "\n".join(metadata.dependencies)
        yield Requirements(text, str(source), files=tuple(files_named(text, Path.cwd())))
    beside = (source if source.is_dir() else source.parent) / _LISTED
    if beside.is_file():
        yield _in_file(beside)
    if not source.is_relative_to(settings.folder):
        return
    table = read_file(project).get("project", {})
    python = str(table.get("requires-python", ""))
    for found in _of_project(settings.folder, table):
        yield msgspec.structs.replace(found, requires_python=python)


def _of_project(folder: Path, table: dict[str, Any]) -> Iterator[Requirements]:
    if table.get("name") == "nativecgi":  # this checkout: its apps say themselves what they need
        return
    if (folder / "uv.lock").is_file() and table:
        yield _exported(folder)
    for name in ("pylock.toml", _LISTED):
        if (folder / name).is_file():
            if name != _LISTED and not shutil.which("uv"):
                raise EnvironmentFailed(f"{folder / name} needs uv: pip install uv")
            yield _in_file(folder / name)
    if dependencies := table.get("dependencies"):
        text = "\n".join(map(str, dependencies))
        file = folder / FILE
        yield Requirements(
            text, f"[project] of {file}", files=(file, *files_named(text, Path.cwd()))
        )


def _in_file(file: Path) -> Requirements:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFailed(f"{file} cannot be read: {error}") from None
    return Requirements(text, str(file), file, tuple(files_of(file)))


def _exported(folder: Path) -> Requirements:
    """What uv.lock has, but for the project itself and its groups of development."""
    uv, lock = shutil.which("uv"), folder / "uv.lock"
    if uv is None:
        raise EnvironmentFailed(f"{lock} needs uv, which is not installed: pip install uv")
    command = [uv, "export", "--frozen", "--quiet", "--no-emit-project", "--no-default-groups"]
    command += ["--no-hashes", "--format", "requirements-txt"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise EnvironmentFailed(f"uv could not read {lock}:\n{result.stderr.strip()}")
    return Requirements(result.stdout, str(lock), files=(lock, folder / FILE))


def script_metadata(file: Path) -> Metadata:
    """What a file says of itself; raises EnvironmentFailed where it does not keep to PEP 723."""
    blocks = [block for block in _BLOCK.finditer(_text(file)) if block["type"] == "script"]
    if not blocks:
        return Metadata()
    if len(blocks) > 1:
        raise EnvironmentFailed(f"{file} has more than one block '# /// script'")
    lines = blocks[0]["content"].splitlines()
    content = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
    try:
        return msgspec.convert(tomllib.loads(content), Metadata)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise EnvironmentFailed(f"in {file}, between '# /// script' and '# ///': {error}") from None


def _text(file: Path) -> str:
    # What cannot be decoded is told by Python itself, when it runs the file.
    return file.read_text(encoding="utf-8", errors="replace")
