"""ASGI applications (ASGI 3.0, HTTP) as handlers: FastAPI's, Starlette's, Django's, ...

nativecgi itself does not import this: every program would have asyncio in it. The event loop is
made in the process that answers, since what it holds of the kernel (epoll, a pair of sockets)
cannot be frozen.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, MutableMapping
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from nativecgi.gateways.answer import OF_THE_CONNECTION
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response
from nativecgi.process.failures import related
from nativecgi.process.interrupts import remembered, taken_by
from nativecgi.process.report import log, report
from nativecgi.transfer.latebody import LateBody

T = TypeVar("T")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
_HTTP_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/2.0": "2", "HTTP/2": "2", "HTTP/3.0": "3", "HTTP/3": "3"}
_UNANSWERED = "the application has returned without a complete answer"
_PIECE = 64 * 1024  # bytes of a body that a message has at most
# Seconds that an application has to end when its client has gone: less than what is left of a
# process when its time limit is over (deadline.py).
_GRACE = 0.5


def from_asgi(app: ASGIApplication) -> Handler:
    """Make a handler of an ASGI application: `run(from_asgi(app))` is a program.

    Each request has a new event loop, with the application's lifespan around it. The process ends
    when the application has returned, and so after its background tasks. These have no time limit:
    the handler's limit ends with the answer.

    Header fields about the connection, such as Transfer-Encoding, are left out of the answer.

    An exception in the application is an exception in the handler, and so is a startup that fails.
    """

    def handle(request: Request) -> Response:
        conversation = _Conversation(app, request)
        try:
            return conversation.response()
        except BaseException:
            conversation.close()
            raise

    return handle


class ClientDisconnectedError(OSError):
    """`send` raises this when the client has disconnected (ASGI HTTP, "Disconnected Client")."""


class _Conversation:
    """A request to an application, which runs while a piece of its answer is waited for.

    It is the body of the answer: its pieces are taken, and then it is closed.
    """

    def __init__(self, app: ASGIApplication, request: Request) -> None:
        self._app = app
        self._request = request
        self._runner = asyncio.Runner()
        self._alarm = _Alarm(self._runner.get_loop())
        self._lifespan = _Lifespan(app)
        self._channel = _Channel(request)
        self._task: asyncio.Task[None] | None = None
        self._first: Message = {}
        self._is_closed = False
        self._interruption: BaseException | None = None  # that has to be raised yet
        self._interruptions: list[BaseException] = []

    def response(self) -> Response:
        """Run the application until it has sent a piece; raises what it raises."""
        self._run(self._lifespan.startup())
        scope = {**_scope(self._request), "state": self._lifespan.state.copy()}
        call = self._channel.call(self._app, scope)
        self._task = self._runner.get_loop().create_task(call)
        start = self._next_message()
        headers = _end_to_end(_field(name, value) for name, value in start.get("headers", ()))
        self._first = self._next_message()
        if self._first.get("more_body"):
            self._channel.keep_body(self._request.limits.max_form)
        elif not self._is_head() and "content-length" not in {name.lower() for name, _ in headers}:
            headers.append(("Content-Length", str(len(self._first.get("body", b"")))))
        return Response(self, start["status"], headers)

    def __iter__(self) -> Iterator[bytes]:
        message = self._first
        yield message.get("body", b"")
        while message.get("more_body"):
            message = self._next_message()
            yield message.get("body", b"")

    def close(self) -> None:
        """Let the application end: in its own time if it has answered, soon if it has not."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._task is not None:
                self._end(self._task)
        finally:
            self._shut_down()

    def _end(self, task: "asyncio.Task[None]") -> None:
        try:
            self._run(self._channel.end(task), is_over=not self._channel.is_complete)
        except BaseException:
            task.cancel()
            self._run(_ended(task), is_over=True)
            raise
        finally:
            self._report(task)

    def _shut_down(self) -> None:
        try:
            if (failure := self._run(self._lifespan.shutdown(), is_over=True)) is not None:
                log(report(failure, self._request.env, " (in the application's shutdown)"))
        finally:
            with taken_by(_ignore):
                self._alarm.close()
                self._runner.close()

    def _next_message(self) -> Message:
        return self._run(self._channel.next_message())

    def _run(self, work: Coroutine[Any, Any, T], *, is_over: bool = False) -> T:
        """Run the loop until `work` is done, or a signal breaks it off: that is raised here.

        Where all `is_over`, one that has come before is known.
        """
        loop = self._runner.get_loop()
        task = loop.create_task(work)
        task.add_done_callback(lambda _task: loop.stop())
        with taken_by(self._interrupt):
            if not is_over and (lost := remembered()) is not None:
                self._interruption = lost
                self._interruptions.append(lost)
            while not (task.done() or self._interruption):
                loop.run_forever()
        if self._interruption:
            failure, self._interruption = self._interruption, None
            if not task.cancel() and not task.cancelled():
                task.exception()  # it is known: asyncio need not log it
            raise failure
        return task.result()

    def _interrupt(self, failure: BaseException, frame: FrameType | None) -> None:
        """Stop the loop; if the application is running, interrupt it."""
        self._interruption = failure
        self._interruptions.append(failure)
        loop = self._runner.get_loop()
        loop.call_soon_threadsafe(loop.stop)
        if loop.is_running() and not _is_of_the_loop(frame):
            raise failure

    def _report(self, task: "asyncio.Task[None]") -> None:
        """Log a failure that came after the answer, or after the client had gone."""
        failure = task.exception() if task.done() and not task.cancelled() else None
        if failure and not self._channel.has_failed and not self._is_known(failure):
            log(report(failure, self._request.env, " (after the answer)"))

    def _is_known(self, failure: BaseException) -> bool:
        """Whether it comes of the client's leaving, or of a signal that is raised anyway."""
        known = set(map(id, self._interruptions))
        return any(
            isinstance(it, ClientDisconnectedError) or id(it) in known for it in related(failure)
        )

    def _is_head(self) -> bool:
        """Whether the answer may be without the body that its length would have been that of."""
        return self._request.env.get("REQUEST_METHOD") == "HEAD"


class _Alarm:
    """Wakes a loop when a signal comes.

    Python runs a signal's handler when the loop goes on, and one that comes in the moment before
    the loop sleeps does not wake it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop.add_reader(self._reader, os.read, self._reader, 4096)
        self._before = -1
        with suppress(ValueError):  # of a thread that is not the main one, which gets no signals
            self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def close(self) -> None:
        with suppress(ValueError):
            signal.set_wakeup_fd(self._before)
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        os.close(self._writer)


class _Channel:
    """What an application receives and sends (ASGI HTTP, "HTTP Connection Scope")."""

    def __init__(self, request: Request) -> None:
        self._body = LateBody(request.body)
        self._left = request.content_length  # bytes of the body; None where nobody knows
        self._is_read = False
        self._messages: asyncio.Queue[Message | BaseException] = asyncio.Queue()
        self._is_taken = asyncio.Event()  # what was sent has been written
        self._is_over = asyncio.Event()  # there is nothing more to be received
        self._is_started = self.is_complete = self._is_gone = False
        self.has_failed = False  # and the failure has been raised

    async def call(self, app: ASGIApplication, scope: Message) -> None:
        """Run the application; if no message follows, its exception does."""
        try:
            await app(scope, self.receive, self.send)
            self._messages.put_nowait(ValueError(_UNANSWERED))
        except BaseException as failure:
            self._messages.put_nowait(failure)
            raise

    async def receive(self) -> Message:
        """The next piece of the body, and after the body, the end of the request when it comes.

        It does not let other tasks run while it waits for the client.
        """
        if not (self._is_read or self._is_over.is_set()):
            try:
                return self._next_piece()
            except OSError:  # the client has gone
                self._is_over.set()
        await self._is_over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer, and of its body return when that has been written.

        Raises ClientDisconnectedError where the client has gone, and ValueError for a message that
        does not belong here.
        """
        if self._is_gone:
            raise ClientDisconnectedError("the client has gone")
        if self.is_complete:  # "any further messages on the channel will be ignored"
            return
        expected = "http.response.body" if self._is_started else "http.response.start"
        if message["type"] != expected:
            raise ValueError(f"{expected} is to be sent now, not {message['type']}")
        self._messages.put_nowait(message)
        if self._is_started:
            self.is_complete = not message.get("more_body")
            self._is_taken.clear()
            await self._is_taken.wait()
            if self._is_gone:
                raise ClientDisconnectedError("the client has gone")
        self._is_started = True

    async def next_message(self) -> Message:
        """The next one that is sent, those before it having been written.

        Raises what the application raises, and ValueError where it has just returned.
        """
        if self._messages.empty():
            self._is_taken.set()
        message = await self._messages.get()
        if isinstance(message, BaseException):
            self.has_failed = True
            raise message
        return message

    def keep_body(self, limit: int) -> None:
        """Put aside up to `limit` bytes of the request's body, before the answer begins."""
        self._body.keep(limit)

    async def end(self, task: "asyncio.Task[None]") -> None:
        """Make the application end: soon if it has not sent all of its answer."""
        self._is_gone = not self.is_complete
        self._is_over.set()
        self._is_taken.set()
        if self._is_gone:
            await asyncio.wait({task}, timeout=_GRACE)
            task.cancel()
        await asyncio.wait({task})

    def _next_piece(self) -> Message:
        size = _PIECE if self._left is None else min(self._left, _PIECE)
        piece = self._body.read(size) or b""
        if self._left is not None:
            self._left -= len(piece)
        self._is_read = not piece or self._left == 0
        return {"type": "http.request", "body": piece, "more_body": not self._is_read}


class _Lifespan:
    """The application's start-up and shutdown (ASGI, "Lifespan Protocol")."""

    def __init__(self, app: ASGIApplication) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._is_up = False
        self._failure: Exception | None = None

    async def startup(self) -> None:
        """Raises RuntimeError where the application says that it has failed."""
        task = asyncio.create_task(self._call())
        self._received.put_nowait({"type": "lifespan.startup"})
        message = await self._sent.get()
        if message is None:
            await task  # an application that raises an exception has no lifespan
        elif message["type"] == "lifespan.startup.failed":
            raise RuntimeError(f"the application's start-up failed: {message.get('message', '')}")
        else:
            self._is_up = True

    async def shutdown(self) -> Exception | None:
        """Shut the application down; returns the failure, if any."""
        if not self._is_up:
            return None
        self._received.put_nowait({"type": "lifespan.shutdown"})
        message = await self._sent.get()
        if message and message["type"] == "lifespan.shutdown.failed":
            return RuntimeError(message.get("message", ""))
        return self._failure

    async def _call(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSIONS.copy(), "state": self.state}
        try:
            await self._app(scope, self._received.get, self._sent.put)
        except Exception as failure:
            self._failure = failure
        finally:
            self._sent.put_nowait(None)


def _scope(request: Request) -> dict[str, Any]:
    """ASGI HTTP, "HTTP Connection Scope"."""
    env = request.env
    uri = env.get("REQUEST_URI", "")
    return {
        "type": "http",
        "asgi": _VERSIONS.copy(),
        "http_version": _HTTP_VERSIONS.get(env.get("SERVER_PROTOCOL", ""), "1.1"),
        "method": (env.get("REQUEST_METHOD") or "GET").upper(),
        "scheme": request.scheme,
        # The whole path: the application's part is behind the root path.
        "path": _bytes(request.script_name + request.path).decode("utf-8", "replace") or "/",
        # Where the server tells (it is not in RFC 3875), and not the address of a proxy's client.
        "raw_path": _bytes(uri.partition("?")[0]) if uri.startswith("/") else None,
        "query_string": _bytes(env.get("QUERY_STRING", "")),
        "root_path": _bytes(request.script_name).decode("utf-8", "replace"),
        "headers": [
            (_bytes(name.lower()), _bytes(value)) for name, value in request.headers.items()
        ],
        "client": _address(request.remote_addr, env.get("REMOTE_PORT", "")),
        "server": _address(env.get("SERVER_NAME", ""), env.get("SERVER_PORT", "")),
        "extensions": {},
    }


def _address(host: str, port: str) -> tuple[str, int] | None:
    number = int(port) if port.isascii() and port.isdigit() else 0
    return (host, number) if host else None


def _field(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1"), value.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _end_to_end(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields that are not about a connection (RFC 9110 7.6.1): CGI has none to the client."""
    fields = list(fields)
    dropped = set(OF_THE_CONNECTION)
    for name, value in fields:
        if name.lower() == "connection":
            dropped.update(option.strip().lower() for option in value.split(","))
    return [pair for pair in fields if pair[0].lower() not in dropped]


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait({task})


def _is_of_the_loop(frame: FrameType | None) -> bool:
    """Whether the event loop itself is running there, and not the application."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        package = module.partition(".")[0]
        if package == "asyncio" or module == __name__:
            return True
        # Both use the standard library: who called it counts.
        if package not in sys.stdlib_module_names:
            return False
        frame = frame.f_back
    return False


def _ignore(_failure: BaseException, _frame: FrameType | None) -> None:
    """An exception handler that does nothing, for what is closing anyway."""
