"""Which files a file of requirements consists of: itself, those it names, and those they name.

It is read as pip reads it: https://pip.pypa.io/en/stable/reference/requirements-file-format/. What
is on another machine is not looked at: its address stands for it.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
NESTED = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?<=-[rc]))(?P<name>\S.*)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=)")
# name @ file:///... (PEP 508), or a path; with options or extras behind it.
_URL = re.compile(r"(?:^|\s)(?P<url>file:\S+)")
_MADE = {"__pycache__", "build", "dist"}


def files_of(listed: Path) -> list[Path]:
    """The file of requirements itself, the files of requirements and of constraints that it names.

    And what it has installed from this machine: wheels, archives, and the files of a folder. Each
    path comes once, whether there is such a file or not.
    """
    found: dict[Path, None] = {}
    _follow(listed, found)
    return list(found)


def files_named(text: str, folder: Path) -> list[Path]:
    """The same of a text that is in no file; paths in it begin at `folder`."""
    found: dict[Path, None] = {}
    _follow_text(text, folder, found)
    return list(found)


def _follow(listed: Path, found: dict[Path, None]) -> None:
    listed = Path(os.path.normpath(listed))
    if listed in found:
        return  # files may name each other
    found[listed] = None
    try:
        text = listed.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return  # pip says so
    _follow_text(text, listed.parent, found)


def _follow_text(text: str, folder: Path, found: dict[Path, None]) -> None:
    for line in _lines(text):
        if nested := NESTED.fullmatch(line):
            name = nested["name"].strip("'\"")
            if "://" not in name:
                _follow(folder / name, found)
        else:
            # Of a path that is not in a URL pip says that it begins where it is run.
            for path in _local(_EDITABLE.sub("", line), folder):
                found.update(dict.fromkeys(path for path in _contents(path)))


def _lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\n", "", text).splitlines():
        line = _VARIABLE.sub(
            lambda it: os.environ.get(it[1], it[0]), _COMMENT.sub("", line)
        ).strip()
        if line:
            yield line


def _local(requirement: str, folder: Path) -> Iterator[Path]:
    """Where on this machine a requirement is installed from, if it is."""
    if url := _URL.search(requirement):
        yield Path(unquote(urlsplit(url["url"]).path))
    elif requirement.startswith((".", "/")):
        path = requirement.split(" ")[0].partition("[")[0]
        yield from (Path(os.path.normpath(base / path)) for base in {folder, Path.cwd()})


def _contents(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path).parts
        if file.is_file() and not any(map(_is_made, inside)):
            yield file


def _is_made(name: str) -> bool:
    """Whether it is a name of what Python, or an installation, makes in a folder."""
    return name.startswith(".") or name.endswith(".egg-info") or name in _MADE
