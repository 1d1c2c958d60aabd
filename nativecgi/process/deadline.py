"""The end of a handler that takes too long."""

import faulthandler
import signal
from types import FrameType

from nativecgi.process.failures import related
from nativecgi.process.interrupts import interrupt

# Seconds until a handler that does not let itself be interrupted is ended with its process.
_GRACE = 1
_STDERR = 2


class TimeLimitError(BaseException):
    """A handler has run for longer than it may. No Exception, so that it is not caught as one."""


def start(seconds: float) -> None:
    """Raise TimeLimitError in the main thread after so many seconds.

    Python raises it between two of its own instructions. Where it does not come to one, or the
    handler goes on all the same, a thread of C ends the process (status 1) a second later, with
    the tracebacks of all threads in the error log.
    """
    signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + _GRACE, exit=True, file=_STDERR)


def stop() -> float:
    """Leave the handler all the time that it wants from now on; returns the seconds it had left."""
    left, _interval = signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
    return left


def is_due_to_limit(failure: BaseException) -> bool:
    """Whether it is a TimeLimitError, or has come of one: in a group of tasks, or by `from`."""
    return any(isinstance(it, TimeLimitError) for it in related(failure))


def _raise(_signal: int, frame: FrameType | None) -> None:
    interrupt(TimeLimitError("the handler has run for longer than it may"), frame)
