"""WebSocket sessions under websocketd, which starts a program for each connection.

websocketd (github.com/joewalnes/websocketd) speaks the protocol with the client. A line of the
program's standard input is a message from it, and a line of standard output is one to it.
"""

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Generic, NoReturn, TypeVar

from nativecgi.gateways.cgi import forget_proxy
from nativecgi.message.limits import Limits
from nativecgi.message.request import Request
from nativecgi.message.response import Response, error
from nativecgi.process.hooks import run_after_thaw
from nativecgi.process.leaving import leave
from nativecgi.process.report import log, report
from nativecgi.process.streams import keep_stdout

Message = TypeVar("Message", str, bytes)

_STDIN = 0
_MAX_MESSAGE = 1024 * 1024  # bytes; a longer one ends the session
_TOO_LONG = f"a message has more than {_MAX_MESSAGE} bytes"
_CHUNK = 64 * 1024  # bytes that a binary message has at most
_GRACE = 1.0  # seconds that a session has for each message, and its end, when the client has gone
# Seconds that websocketd is given to read the log: what is left of it when a program ends is lost.
_READ = 0.1


class ClosedError(Exception):
    """The client has disconnected."""


class TooLongError(Exception):
    """The client has sent a message of more than one mebibyte."""


class Connection(ABC, Generic[Message]):
    """A connection to a client, in the style of the library `websockets`.

    `async for message in websocket` ends when the client disconnects.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = 0  # messages

    @abstractmethod
    async def recv(self) -> Message:
        """The next message; raises ClosedError when the client has disconnected."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Send a message, and wait until there is room for more: a slow client delays the session.

        Raises ClosedError if the client has disconnected.
        """

    async def __aiter__(self) -> AsyncIterator[Message]:
        """The messages, to the last."""
        with suppress(ClosedError):
            while True:
                yield await self.recv()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as failure:
            raise ClosedError("the client has gone") from failure


class WebSocket(Connection[str]):
    """A connection whose messages are text.

    websocketd takes each line for a message: a text with line breaks arrives as several messages,
    in both directions.
    """

    async def recv(self) -> str:
        """The next message; raises ClosedError when the client has disconnected.

        Raises TooLongError, from then on always, if a message has more than one mebibyte.
        """
        try:
            line = await self._reader.readline()
        except ValueError:
            failure = TooLongError(_TOO_LONG)
            self._reader.set_exception(failure)  # what follows would be the rest of it
            raise failure from None
        if not line.endswith(b"\n"):  # a message that breaks off is none
            raise ClosedError("the client has gone")
        self.received += 1
        return line[:-1].decode("utf-8", "replace")

    async def send(self, message: str) -> None:
        """See Connection.send."""
        await self._write(message.encode("utf-8", "replace") + b"\n")


class BinaryWebSocket(Connection[bytes]):
    """A connection whose messages are bytes, under `websocketd --binary`.

    The boundaries between messages are lost: what is received may be parts of messages, or several.
    """

    async def recv(self) -> bytes:
        """The next bytes; raises ClosedError when the client has disconnected."""
        data = await self._reader.read(_CHUNK)
        if not data:
            raise ClosedError("the client has gone")
        self.received += 1
        return data

    async def send(self, message: bytes) -> None:
        """See Connection.send."""
        await self._write(message)


Session = Callable[[Request, WebSocket], Awaitable[None]]
BinarySession = Callable[[Request, BinaryWebSocket], Awaitable[None]]


def upgrade_required(_request: Request) -> Response:
    """The answer of a program for WebSockets to a plain request: 426."""
    return error(426, "This is a WebSocket: run the program under websocketd.")


def hold(
    session: Callable[[Request, Any], Awaitable[None]],
    env: MutableMapping[str, str],
    limits: Limits | None,
    kind: type[WebSocket] | type[BinaryWebSocket],
) -> NoReturn:
    """Hold the session of this process, whose environment is `env`, and end the process."""
    forget_proxy(env)
    stdout = keep_stdout()
    status = 1
    try:
        run_after_thaw()
        asyncio.run(_hold(session, Request(env, program_limits=limits), stdout, kind))
        status = 0
    except BaseException as failure:
        status = _failed(failure, env)
    finally:
        leave(status)


def _failed(failure: BaseException, env: Mapping[str, str]) -> int:
    """Log what a session has raised, be it in a group of tasks; returns the exit status."""
    _ends, rest = BaseExceptionGroup("", [failure]).split((ClosedError, asyncio.CancelledError))
    if rest is None:
        return 0
    if rest.split(TooLongError)[1] is None:
        log(f"nativecgi: {env.get('SCRIPT_NAME', '')}: {_TOO_LONG}\n")
    else:
        log(report(failure, env))
    time.sleep(_READ)
    return 1


async def _hold(
    session: Callable[[Request, Any], Awaitable[None]],
    request: Request,
    stdout: int,
    kind: type[WebSocket] | type[BinaryWebSocket],
) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(_MAX_MESSAGE)
    protocol = _Input(reader)
    stdin = open(_STDIN, "rb", buffering=0, closefd=False)  # noqa: SIM115
    await loop.connect_read_pipe(lambda: protocol, stdin)
    websocket = kind(reader, await _writer(stdout))
    held = asyncio.ensure_future(session(request, websocket))
    stopped = loop.create_future()
    # The second of two signals, as websocketd sends them, does not break off the session's end.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.cancel)
    await asyncio.wait({held, stopped, protocol.ended}, return_when=asyncio.FIRST_COMPLETED)
    # What the client has sent before it went is still to be read.
    received = -1
    while not (held.done() or stopped.done() or received == websocket.received):
        received = websocket.received
        await asyncio.wait({held, stopped}, timeout=_GRACE, return_when=asyncio.FIRST_COMPLETED)
    held.cancel()
    await held


class _Input(asyncio.StreamReaderProtocol):
    """Tells when the input ends, be it read or not."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, failure: Exception | None) -> None:
        super().connection_lost(failure)
        self.ended.cancel()


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    stdout = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stdout
    )
    transport.set_write_buffer_limits(high=0)  # what is sent is in the pipe, not in our memory
    return asyncio.StreamWriter(transport, protocol, reader, loop)
