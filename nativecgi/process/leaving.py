"""The end of a process: as the interpreter's, but that no object is taken apart."""

import _thread
import atexit
import os
import threading
from typing import NoReturn

from nativecgi.process.streams import flush_streams


def leave(status: int) -> NoReturn:
    """End the process as the interpreter would, but without destroying every object.

    Threads that are no daemons are waited for and atexit's functions are run.
    """
    finish()
    flush_streams()
    os._exit(status)


def finish() -> None:
    """Wait for threads that are no daemons, and run atexit's functions."""
    if _thread._count():
        threading._shutdown()  # type: ignore[attr-defined]  # what Py_FinalizeEx calls
    atexit._run_exitfuncs()
