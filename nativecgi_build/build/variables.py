"""Notes which variables an application reads: the build runs this file in one that it tries.

Only what the project's own code reads counts, or a library that reads settings on its behalf. What
other libraries look for, such as NO_COLOR, may be frozen.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

# Libraries that take a project's settings from the environment.
_READERS = (
    *("decouple", "dynaconf", "environ", "environs", "pydantic_settings"),
    *("flask.config", "starlette.config"),
)
# One that puts there what a file such as .env says.
_SETTERS = ("dotenv",)
# What these set themselves, and what all processes may share.
_SHARED = {"DJANGO_SETTINGS_MODULE", "FLASK_DEBUG", "PYTHONPATH", "PYTHON_DOTENV_DISABLED"}
_OWN_FILES = {os.__file__, "<frozen os>", "<frozen _collections_abc>"}
_INSTALLED = {"site-packages", "dist-packages"}


def watch(folder: str) -> Callable[[], dict[str, str]]:
    """Begin to note; returns a function that tells of each variable where it was read."""
    kind: Any = type(os.environ)
    own = Path(folder)
    found: dict[str, str] = {}
    get, put = kind.__getitem__, kind.__setitem__

    def note(name: object, place: str) -> None:
        if place and isinstance(name, str) and name not in _SHARED:
            found.setdefault(name, place)

    def get_noted(self: Any, name: Any) -> Any:
        caller = _caller(sys._getframe(1))
        if caller and (_is_own(caller, own) or _is_of(caller, _READERS)):
            note(name, _place(caller, own))
        return get(self, name)

    def set_noted(self: Any, name: Any, value: Any) -> None:
        caller = _caller(sys._getframe(1))
        if caller and _is_of(caller, _SETTERS):
            note(name, _place(caller, own))
        put(self, name, value)

    kind.__getitem__, kind.__setitem__ = get_noted, set_noted
    return lambda: dict(found)


def _caller(frame: FrameType | None) -> FrameType | None:
    """What called a method of os.environ, or os.getenv."""
    while frame and frame.f_code.co_filename in _OWN_FILES:
        frame = frame.f_back
    return frame


def _place(frame: FrameType | None, folder: Path) -> str:
    """The project's line that a call came from, as file:line; empty where there is none."""
    while frame and not _is_own(frame, folder):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{Path(frame.f_code.co_filename).relative_to(folder)}:{frame.f_lineno}"


def _is_of(frame: FrameType, modules: tuple[str, ...]) -> bool:
    name = frame.f_globals.get("__name__", "")
    return any(name == it or name.startswith(f"{it}.") for it in modules)


def _is_own(frame: FrameType, folder: Path) -> bool:
    path = Path(frame.f_code.co_filename)
    return path.is_relative_to(folder) and not _INSTALLED.intersection(path.parts)
