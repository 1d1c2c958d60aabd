"""Processes that a traced program has put into the background, where nobody else would end them.

A daemon's parent has ended and its session is its own. Such a process goes to the nearest
ancestor that is a subreaper (prctl(2)), which the freezer is for as long as the program runs.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nativecgi_build.freezer import procfs
from nativecgi_build.freezer.procfs import Child

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def adopted() -> Iterator[None]:
    """Become the parent of daemons that descend from this process, and end them on leaving."""
    before = ctypes.c_int()
    _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        # The children of one that ends come here in its place.
        while children := list(_all()):
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value)


def running() -> list[Child]:
    """The daemons that are this process's now, and have not ended."""
    return [child for child in _all() if not child.is_zombie]


def _all() -> Iterator[Child]:
    """This process's children of other sessions, which it has not started, or traces, itself."""
    own = os.getsid(0)
    for child in procfs.children(os.getpid()):
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(child.pid) != own and not procfs.tracer(child.pid):
                yield child
