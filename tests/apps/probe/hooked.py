"""Hooks that write down in which order they run; and one that imports something."""

import sys

from nativecgi import after_thaw, before_freeze

order: list[str] = []


@before_freeze
def first_registered_before() -> None:
    order.append("before 1")


@before_freeze
def last_registered_before() -> None:
    order.append("before 2")


@after_thaw
def first_registered_after() -> None:
    order.append("after 1")


@after_thaw
def last_registered_after() -> None:
    order.append("after 2")


# Whether a process finds imported what this hook imports.
is_imported: list[bool] = []


@after_thaw
def import_late() -> None:
    is_imported.append("colorsys" in sys.modules)
    import colorsys  # noqa: F401
