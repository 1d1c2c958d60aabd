"""The CGI gateway (RFC 3875): a process answers one request, which its environment holds."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from types import FrameType
from typing import NoReturn

from nativecgi.gateways.exchange import exchange
from nativecgi.message.limits import Limits
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response
from nativecgi.process import deadline
from nativecgi.process.hooks import run_after_thaw
from nativecgi.process.interrupts import interrupt, is_taken, remember
from nativecgi.process.leaving import leave
from nativecgi.process.letterbox import ANSWER, BEGUN
from nativecgi.process.letterbox import memory as letterbox
from nativecgi.process.report import log, report
from nativecgi.process.streams import keep_stdout
from nativecgi.transfer.body import Source
from nativecgi.transfer.send import (
    DisconnectedError,
    Sink,
    Streamed,
    close_source,
    finish,
    transmit,
)

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
    source: Source,
    sink: int | Sink,
    limits: Limits | None,
    begin: Callable[[], object],
) -> int:
    """Answer the request that `env` and `source` hold, and write the answer to `sink`.

    `begin` is called before the handler, and what it raises is answered, too. Returns the exit
    status.
    """
    letterbox[ANSWER] = sink if isinstance(sink, int) and sink < BEGUN else 0
    forget_proxy(env)

    def handle(request: Request) -> Response:
        begin()
        return handler(request)

    output: bytes | Streamed = b""
    try:
        output = exchange(handle, env, source, limits)
        letterbox[ANSWER] = BEGUN
        if isinstance(output, bytes):
            finish(output, sink)
        else:
            _send(output, sink)
    except BaseException as failure:
        is_sent = isinstance(output, Streamed) and output.is_sent
        log(_account(failure, env, is_sent))
        return 0 if is_sent else 1
    return 0


def _account(failure: BaseException, env: Mapping[str, str], is_sent: bool) -> str:
    """What the log gets of a failure that came while the answer was sent, or thereafter."""
    if not isinstance(failure, DisconnectedError):
        return report(
            failure, env, " (after the answer)" if is_sent else " (the answer is incomplete)"
        )
    if is_sent:
        return f"nativecgi: {failure}, after the answer\n"
    return f"nativecgi: the answer could not be written: {failure}\n"


def _send(output: Streamed, sink: int | Sink) -> None:
    """Send an answer and close what it comes from, whenever a signal comes.

    A server that tells a program by SIGTERM that the client has gone gives it the time to close
    what it has open. The signal can come between any two instructions, before the inner `finally`
    has begun as well; but what it raises it raises once.
    """
    own = signal.getsignal(signal.SIGTERM)
    terminate = _Termination()
    remember(None)
    try:
        try:
            signal.signal(signal.SIGTERM, terminate)
            transmit(output, sink)
        finally:
            terminate.is_closing = True
            close_source(output)
    finally:
        close_source(output)
        deadline.stop()
        remember(None)
        if signal.getsignal(signal.SIGTERM) is terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if own is None else own)


class _Termination:
    """A handler of SIGTERM: the first breaks off the sending, and none the closing."""

    def __init__(self) -> None:
        self.is_closing = False
        self._has_come = False

    def __call__(self, _signal: int, frame: FrameType | None) -> None:
        if self._has_come:
            return
        self._has_come = True
        failure = DisconnectedError("terminated by the server")
        remember(failure)
        # An event loop is not broken off, but told: it has tasks that may want to know.
        if not self.is_closing or is_taken():
            interrupt(failure, frame)


def forget_proxy(env: MutableMapping[str, str]) -> None:
    """A client's `Proxy:` field must not become the proxy of the requests we make (httpoxy)."""
    if "HTTP_PROXY" in env:
        del env["HTTP_PROXY"]
        os.environ.pop("HTTP_PROXY", None)  # a request of a warm-up has it in `env` alone
