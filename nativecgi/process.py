"""The edge: what is read from the process and written to it happens here."""

import _thread
import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from nativecgi import deadline
from nativecgi.cgi import exchange, log, report
from nativecgi.limits import Limits
from nativecgi.response import Handler
from nativecgi.send import DisconnectedError, Streamed, send, write
from nativecgi.streams import flush_streams, keep_stdout

_STDIN = 0

_USAGE = (
    "This is a CGI program: a web server runs it, once for every request. To try it without one:\n"
    "  REQUEST_METHOD=GET {0}\n"
)


def serve(handler: Handler, env: dict[str, str], limits: Limits | None = None) -> NoReturn:
    """Answer the one request of this process, whose environment is `env`, and leave it.

    Exits with 0 where the answer was written, 1 where it was not or not all of it, 2 where there
    is no request.
    """
    if "REQUEST_METHOD" not in env:
        log(_USAGE.format(sys.argv[0] if sys.argv else "PROGRAM"))
        leave(2)
    forget_proxy(env)
    leave(answer(handler, env, _STDIN, keep_stdout(), limits))


def answer(
    handler: Handler, env: dict[str, str], stdin: int, stdout: int, limits: Limits | None = None
) -> int:
    """Answer the request that `env` and the descriptor `stdin` hold, on the descriptor `stdout`.

    Returns the exit status.
    """
    try:
        output = exchange(handler, env, stdin, limits)
        if isinstance(output, bytes):
            write(output, stdout)
        else:
            _send(output, stdout)
    except DisconnectedError as error:
        log(f"nativecgi: the answer could not be written: {error}\n")
    except BaseException as failure:
        log(report(failure, env, note=" (the answer is incomplete)"))
    else:
        return 0
    return 1


def _send(output: Streamed, stdout: int) -> None:
    # A server that tells a program in this way that the client has gone gives it the time to
    # close what it has open.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        send(output, stdout)
    finally:
        deadline.stop()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def forget_proxy(env: dict[str, str]) -> None:
    """A client's `Proxy:` field must not become the proxy of the requests we make (httpoxy)."""
    if env.pop("HTTP_PROXY", None) is not None:
        del os.environ["HTTP_PROXY"]


def leave(status: int) -> NoReturn:
    """End the process as the interpreter would, less its dismantling of every object.

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


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another must not break off the closing
    raise DisconnectedError("terminated by the server")
