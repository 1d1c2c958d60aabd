"""What a process does that crashes in C, be it that its stack overflows: see crash.c.

The client gets a page of status 500 where nothing was sent yet, and the error log a line and the
Python functions under way; then the process ends by the signal.
"""

import faulthandler
from importlib import import_module

from nativecgi.gateways.encode import encode
from nativecgi.message.response import error
from nativecgi.process.letterbox import ANSWER, memory

_STATUS = 500
_STDERR = 2
_NPH = "HTTP/1.1"


def arm() -> None:
    """Answer crashes from now on, in a program that has been built; plain Python has no crash.c."""
    try:
        module = import_module("_nativecgi_crash")
    except ImportError:
        return
    if not faulthandler.is_enabled():
        faulthandler.enable(_STDERR)
    answers = (
        encode(error(_STATUS), omit_body=omit_body, nph=nph)
        for nph in (None, _NPH)
        for omit_body in (False, True)
    )
    module.arm(memoryview(memory)[ANSWER : ANSWER + 1], *answers)
