"""What is to be done around the freeze point."""

from collections.abc import Callable
from typing import TypeVar

Hook = TypeVar("Hook", bound=Callable[[], object])

_before_freeze: list[Callable[[], object]] = []
_after_thaw: list[Callable[[], object]] = []


def before_freeze(hook: Hook) -> Hook:
    """Run `hook` before the program is frozen: close what cannot be frozen, fill what can.

    A decorator. The last registered runs first. In a program that is not frozen the hooks
    run too, so that it is the same program.
    """
    _before_freeze.append(hook)
    return hook


def after_thaw(hook: Hook) -> Hook:
    """Run `hook` in every new process, before its request is read: open what it needs.

    A decorator. The first registered runs first. Whatever was computed before the freeze point
    is the same in all processes: an identifier, a key or a time taken at import is shared by
    every request ever served. Take it here, or in the handler.
    """
    _after_thaw.append(hook)
    return hook


def run_before_freeze() -> None:
    """Run the hooks for the freeze point, in reverse order."""
    for hook in reversed(_before_freeze):
        hook()


def run_after_thaw() -> None:
    """Run the hooks for a new process, in order."""
    for hook in _after_thaw:
        hook()
