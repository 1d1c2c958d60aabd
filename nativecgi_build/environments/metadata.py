"""What an app's file says of itself: the block `# /// script` of PEP 723."""

import re
import tomllib
from pathlib import Path

import msgspec

# As PEP 723 has it.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


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

    dependencies: list[str] | None = None  # which may be none
    requires_python: str = ""
    tool: Tools = Tools()


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
    # Python itself reports what cannot be decoded, when it runs the file.
    return file.read_text(encoding="utf-8", errors="replace")
