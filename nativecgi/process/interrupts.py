"""How a signal breaks off what the main thread is doing.

Python runs a signal's handler between two instructions, anywhere. What the handler raises there
ends a handler of requests. An event loop it would break: a callback that the loop has just taken
from its queue is lost, and who waits for that waits for ever. So whoever runs a loop takes the
exception instead, for the time.

And it can get lost: what is raised in a finalizer, or in a weak reference's callback, Python
ignores. So what must not be lost is remembered, for who is about to wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# What takes an exception and the frame that the signal has interrupted. It may raise it there.
Taker = Callable[[BaseException, FrameType | None], None]

_takers: list[Taker] = []
_remembered: BaseException | None = None


def interrupt(failure: BaseException, frame: FrameType | None) -> None:
    """Raise `failure`, or give it to who takes it: for a signal's handler."""
    if not _takers:
        raise failure
    _takers[-1](failure, frame)


def remember(failure: BaseException | None) -> None:
    """Have `remembered` return it from now on."""
    global _remembered
    _remembered = failure


def remembered() -> BaseException | None:
    """What should have ended the sending of an answer, if anything."""
    return _remembered


def is_taken() -> bool:
    """Whether somebody takes the exceptions now."""
    return bool(_takers)


@contextmanager
def taken_by(taker: Taker) -> Iterator[None]:
    """Have `taker` take the exceptions, within the context."""
    _takers.append(taker)
    try:
        yield
    finally:
        _takers.remove(taker)
