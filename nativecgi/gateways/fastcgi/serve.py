"""The FastCGI gateway: a process answers the requests of a connection, one after the other."""

import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO, cast

from nativecgi.gateways.cgi import respond
from nativecgi.gateways.fastcgi.connection import Abort, Connection, Event, Params, Reply, Stdin
from nativecgi.gateways.fastcgi.records import ProtocolError
from nativecgi.gateways.fastcgi.stderr import Stderr
from nativecgi.message.limits import Limits
from nativecgi.message.response import Handler
from nativecgi.process import environment
from nativecgi.process.report import log
from nativecgi.process.streams import redirected, write_own_stderr
from nativecgi.transfer.send import DisconnectedError

_RECEIVED = 64 * 1024  # bytes at a time


def serve(
    connection: socket.socket,
    handler: Handler,
    own: Mapping[str, str],
    limits: Limits | None,
    begin: Callable[[], object],
    *,
    is_only: bool,
) -> None:
    """Answer the requests of a connection to a server, or just one if it `is_only`; then close it.

    `own` are the variables of this process, which a request's come before. `begin` is called
    before the handler.
    """
    with connection:
        wire = Wire(connection)
        try:
            while (request := wire.next_request()) is not None:
                _answer(wire, request, handler, own, limits, begin)
                if is_only or wire.is_over:
                    return
        except ProtocolError as failure:
            log(f"nativecgi: the server's connection is closed: {failure}\n")
        except (OSError, DisconnectedError):
            pass  # the server has gone, and nobody waits for an answer


def _answer(
    wire: "Wire",
    request: Params,
    handler: Handler,
    own: Mapping[str, str],
    limits: Limits | None,
    begin: Callable[[], object],
) -> None:
    environment.replace(request.env, own)
    errors = Stderr(wire.log)
    with redirected(cast(TextIO, errors)):
        status = respond(handler, {**own, **request.env}, wire.read, wire, limits, begin)
        errors.flush()
    wire.end(status)


class Wire:
    """A connection to a server: requests and their bodies come from it, and answers go to it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._protocol = Connection()
        self._events: deque[Event] = deque()
        self._piece = memoryview(b"")  # of the body, not read yet
        self._is_body_over = False
        self._last: bytes | None = None  # the end of the answer, if there is one

    @property
    def is_over(self) -> bool:
        """Whether the server expects the connection to be closed."""
        return self._protocol.is_over

    def next_request(self) -> Params | None:
        """The next request; None if the server has closed the connection, or no more may follow.

        Raises ProtocolError and OSError.
        """
        self._events.clear()  # of the request before
        self._piece, self._is_body_over, self._last = memoryview(b""), False, None
        while not self.is_over:
            event = self._next_event()
            if event is None:
                return None
            if isinstance(event, Params):
                return event
        return None

    def read(self, buffer: memoryview) -> int:
        """Fill `buffer` with what comes next of the body; returns how many bytes, 0 at its end.

        Raises OSError if the server does not send the rest.
        """
        while not self._piece:
            if self._is_body_over:
                return 0
            self._next_piece()
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def write(self, data: bytes) -> None:
        """Send a piece of the answer. Raises DisconnectedError."""
        self._send(self._protocol.stdout(data))

    def finish(self, data: bytes) -> None:
        """Keep the last piece of the answer, which goes with the request's end."""
        self._last = data

    def log(self, text: str) -> None:
        """Send text for the server's log, or if it has gone, write it to this process's own."""
        try:
            self._send(self._protocol.stderr(text.encode("utf-8", "backslashreplace")))
        except DisconnectedError:
            write_own_stderr(text)

    def end(self, status: int) -> None:
        """End the request, which a CGI program would have ended with the exit status `status`.

        An answer that broke off has no end: the server must not take it for a whole one. What is
        still to come of the body is read, since to close a connection in which there is something
        left may cost the server the answer. Raises DisconnectedError.
        """
        if self._last is None:
            raise DisconnectedError("the answer is incomplete")
        with suppress(OSError):
            while not self._is_body_over:
                self._next_piece()
        self._send(self._protocol.end(self._last, status))

    def _next_piece(self) -> None:
        try:
            event = self._next_event()
        except ProtocolError as failure:
            raise OSError(str(failure)) from failure
        if event is None or isinstance(event, Abort):
            raise OSError("the server does not send the rest of the body")
        if isinstance(event, Stdin):
            self._piece = memoryview(event.content)
            self._is_body_over = not event.content

    def _next_event(self) -> Event | None:
        """What the server says next; what is to be replied has been. None: it has gone."""
        while True:
            while self._events:
                event = self._events.popleft()
                if not isinstance(event, Reply):
                    return event
                self._socket.sendall(event.data)
            data = self._socket.recv(_RECEIVED)
            if not data:
                return None
            self._events.extend(self._protocol.receive(data))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise DisconnectedError(str(error)) from error
