"""What can go wrong, by culprit: the program to be frozen, or the machine that freezes it.

Each has the exit status of `python -m nativecgi_build.freezer`.
"""

from typing import ClassVar


class FreezerError(Exception):
    """Nothing was written. The message says what is wrong and what to do."""

    status: ClassVar[int] = 1


class CannotFreeze(FreezerError):
    """The program's fault: it crashed, hung, or holds something that no image can hold."""


class WouldBeLost(CannotFreeze):
    """The program has reached its freeze point, and holds there what no image can hold.

    Examples are a thread and an open file. `has_descriptors` says whether open descriptors are
    among it.
    """

    status = 3

    def __init__(self, message: str, *, has_descriptors: bool) -> None:
        super().__init__(message)
        self.has_descriptors = has_descriptors


class Unsupported(FreezerError):
    """This machine's fault: its kernel, its C library or its settings do not allow it."""
