"""Makes the folder of a new project from one of the templates beside this file.

A template is a project named app_name in a folder named project-name, in whose files and paths
these two stand for what the user has chosen. What all have in common is in templates/common.
"""

import keyword
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")
COMMON = "common"
_MODULE, _PROJECT = "app_name", "project-name"
# Its own name would have git apply it to the template.
_RENAMED = {"gitignore": ".gitignore"}
_EXECUTABLE = ".cgi"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LONGEST = 64
_TAKEN = ("nativecgi", "nativecgi_build", "pytest", "test", "flask", "django", "fastapi", "bottle")


class CannotMake(Exception):
    """No project is made, and why."""


def templates() -> list[str]:
    """The names of the templates."""
    return sorted(it.name for it in TEMPLATES.iterdir() if it.is_dir() and it.name != COMMON)


def make(name: str, template: str, parent: Path) -> str:
    """Make a project in the folder `parent`, and return what to type next.

    Nothing is overwritten: its folder must be empty, if it is there. Raises CannotMake.
    """
    if template not in templates():
        raise CannotMake(f"there is no template {template!r}\nTake one of {', '.join(templates())}")
    module = module_name(name)
    folder = parent / name
    files = {_filled(place, name, module): file for place, file in _files(template)}
    try:
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise CannotMake(f"{folder} is not empty\nChoose another name, or remove it")
        for place, file in files.items():
            target = folder / _RENAMED.get(place, place)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = _filled(file.read_text(encoding="utf-8"), name, module)
            with target.open("x", encoding="utf-8") as written:
                written.write(text)
            if target.suffix == _EXECUTABLE:
                target.chmod(target.stat().st_mode | (target.stat().st_mode & 0o444) >> 2)
    except OSError as error:
        raise CannotMake(f"{error.filename}: {error.strerror}\nChoose another folder") from None
    return _NEXT.format(name=name, module=module)


_NEXT = """\
Made {name}/. Next:
  cd {name}
  nativecgi run --reload
  nativecgi build
  REQUEST_METHOD=GET ./dist/{module}"""


def module_name(name: str) -> str:
    """The name of a project's module: "my-app" has my_app. Raises CannotMake."""
    module = name.replace("-", "_")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise CannotMake(
            f"{name!r} cannot be the name of a project\n"
            f"Take up to {_LONGEST} letters, digits and dashes, the first of them a letter"
        )
    taken = {*sys.stdlib_module_names, *_TAKEN}
    if keyword.iskeyword(module) or module in taken or module.startswith("test_"):
        raise CannotMake(
            f"{name!r} cannot be the name of a project: another module has it\n"
            f"Take another, such as my-{name}"
        )
    return module


def _files(template: str) -> Iterator[tuple[str, Path]]:
    """The files of a template and their places; of two with one place the last one counts."""
    for root in (TEMPLATES / COMMON, TEMPLATES / template):
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(root)), file


def _filled(text: str, name: str, module: str) -> str:
    return text.replace(_MODULE, module).replace(_PROJECT, name)
