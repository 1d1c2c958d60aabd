"""The edge: what is read from the process and written to it happens here."""

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, MutableMapping
from types import FrameType
from typing import NoReturn

from nativecgi import deadline
from nativecgi.cgi import exchange, log, report
from nativecgi.hooks import run_after_thaw
from nativecgi.letterbox import ANSWER, BEGUN
from nativecgi.letterbox import memory as letterbox
from nativecgi.limits import Limits
from nativecgi.request import Request
from nativecgi.response import Handler, Response
from nativecgi.send import DisconnectedError, Streamed, send, write
from nativecgi.streams import flush_streams, keep_stdout

_STDIN = 0

_USAGE = (
    "This is a CGI program: a web server runs it, once for every request. To try it without one:\n"
    "  REQUEST_METHOD=GET {0}\n"
)


def serve(
    handler: Handler, env: MutableMapping[str, str], limits: Limits | None = None
) -> NoReturn:
    """Answer the one request of this process, whose environment is `env`, and leave it.

    The hooks for a new process are run first. Exits with 0 where the answer was written, 1 where
    it was not or not all of it, 2 where there is no request.
    """
    if "REQUEST_METHOD" not in env:
        log(_USAGE.format(sys.argv[0] if sys.argv else "PROGRAM"))
        leave(2)
    leave(respond(handler, env, _STDIN, keep_stdout(), limits, run_after_thaw))


def respond(
    handler: Handler,
    env: MutableMapping[str, str],
    stdin: int,
    stdout: int,
    limits: Limits | None,
    begin: Callable[[], object],
) -> int:
    """Answer the request that `env` and the descriptor `stdin` hold, on the descriptor `stdout`.

    `begin` is called before the handler, and what it raises is answered, too. Returns the exit
    status.
    """
    letterbox[ANSWER] = stdout if stdout < BEGUN else 0
    forget_proxy(env)

    def handle(request: Request) -> Response:
        begin()
        return handler(request)

    try:
        output = exchange(handle, env, stdin, limits)
        letterbox[ANSWER] = BEGUN
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


def forget_proxy(env: MutableMapping[str, str]) -> None:
    """A client's `Proxy:` field must not become the proxy of the requests we make (httpoxy)."""
    if "HTTP_PROXY" in env:
        del env["HTTP_PROXY"]
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
