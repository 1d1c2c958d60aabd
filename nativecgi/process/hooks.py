"""The functions that run around the freeze point."""

from collections.abc import Callable
from typing import TypeVar

Hook = TypeVar("Hook", bound=Callable[[], object])

_before_freeze: list[Callable[[], object]] = []
_after_thaw: list[Callable[[], object]] = []


def before_freeze(hook: Hook) -> Hook:
    """Run `hook` before the program is frozen: close what cannot be frozen, fill caches.

    This is a decorator. The hook that was registered last runs first. In a program that is not
    frozen, the hooks run too, so that it behaves in the same way.
    """
    _before_freeze.append(hook)
    return hook


def after_thaw(hook: Hook) -> Hook:
    """Run `hook` in every new process, before its request is read: open what the process needs.

    This is a decorator. The hook that was registered first runs first. Whatever was computed before
    the freeze point is the same in all processes: every request would share an identifier, a key or
    a time taken at import. Take it here, or in the handler.
    """
    _after_thaw.append(hook)
    return hook


def run_before_freeze() -> None:
    """Run the `before_freeze` hooks, in reverse order."""
    for hook in reversed(_before_freeze):
        hook()


def run_after_thaw() -> None:
    """Run the `after_thaw` hooks, in order."""
    for hook in _after_thaw:
        hook()
