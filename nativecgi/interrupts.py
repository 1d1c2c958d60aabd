"""How a signal breaks off what the main thread is doing.

Python runs a signal's handler between two instructions, anywhere. What the handler raises there
ends a handler of requests. An event loop it would break: a callback that the loop has just taken
from its queue is lost, and who waits for that waits for ever. So whoever runs a loop takes the
exception instead, for the time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# What takes an exception and the frame that the signal has interrupted. It may raise it there.
Taker = Callable[[BaseException, FrameType | None], None]

_takers: list[Taker] = []


def interrupt(failure: BaseException, frame: FrameType | None) -> None:
    """Raise `failure`, or give it to who takes it: for a signal's handler."""
    if not _takers:
        raise failure
    _takers[-1](failure, frame)


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
