"""The edge: what is read from the process and written to it happens here."""

import _thread
import atexit
import os
import sys
import threading
from typing import NoReturn

from nativecgi.cgi import exchange, log
from nativecgi.response import Handler
from nativecgi.streams import flush_streams, keep_stdout

_STDIN = 0

_USAGE = (
    "This is a CGI program: a web server runs it, once for every request. To try it without one:\n"
    "  REQUEST_METHOD=GET {0}\n"
)


def serve(handler: Handler, env: dict[str, str]) -> NoReturn:
    """Answer the one request of this process, whose environment is `env`, and leave it.

    Exits with 0 where the answer was written, 1 where it was not, 2 where there is no request.
    """
    if "REQUEST_METHOD" not in env:
        log(_USAGE.format(sys.argv[0] if sys.argv else "PROGRAM"))
        leave(2)
    # A client's `Proxy:` field must not become the proxy of the requests we make (httpoxy).
    if env.pop("HTTP_PROXY", None) is not None:
        del os.environ["HTTP_PROXY"]
    stdout = keep_stdout()
    status = 1
    try:
        _write(exchange(handler, env, _STDIN), stdout)
        status = 0
    except OSError as error:
        log(f"nativecgi: the answer could not be written: {error}\n")
    finally:
        leave(status)


def leave(status: int) -> NoReturn:
    """End the process as the interpreter would, less its dismantling of every object.

    Threads that are no daemons are waited for and atexit's functions are run.
    """
    if _thread._count():
        threading._shutdown()  # type: ignore[attr-defined]  # what Py_FinalizeEx calls
    atexit._run_exitfuncs()
    flush_streams()
    os._exit(status)


def _write(output: bytes, stdout: int) -> None:
    """Write all of it: a pipe may take it in pieces."""
    rest = memoryview(output)
    while rest:
        rest = rest[os.write(stdout, rest) :]
