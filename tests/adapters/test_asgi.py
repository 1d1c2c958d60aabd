"""nativecgi.asgi: what ASGI 3.0 asks of a server for HTTP; applications here, and programs."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from nativecgi import HTTPError, Limits, Request, cors
from nativecgi.adapters.asgi import ASGIApplication, Message, Receive, Send, from_asgi
from nativecgi.testing import Answer, Client
from tests.adapters.test_wsgi import BYTES
from tests.asleep import wait_until_asleep
from tests.gateways.test_cgi import ERROR, GET, SECONDS, read_until, rest, running, tell
from tests.strike import STRIKE_AT

Scope = Any
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


def piece(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def http_only(endpoint: Endpoint) -> ASGIApplication:
    """An application without a lifespan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("HTTP only")
        await endpoint(scope, receive, send)

    return app


@http_only
async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


def sending(*messages: Message) -> ASGIApplication:
    @http_only
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def get(app: ASGIApplication, url: str = "/", method: str = "GET", **options: Any) -> Answer:
    """What comes back, or the exception that the handler has raised."""
    return Client(from_asgi(app)).request(method, url, **options)


def answered(app: ASGIApplication, method: str = "GET", **options: Any) -> Answer:
    """What comes back in any case."""
    return Client(from_asgi(app), raise_errors=False).request(method, **options)


def seen(url: str = "/", method: str = "GET", **options: Any) -> Scope:
    scopes = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    assert get(app, url, method, **options).status == 200
    return scopes[0]


# --- the scope ---


def test_the_scope_says_what_it_is() -> None:
    scope = seen()
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PROPFIND"])
def test_the_method_is_the_requests_own(method: str) -> None:
    assert seen(method=method)["method"] == method


@pytest.mark.parametrize(
    ("protocol", "version"),
    [("HTTP/1.0", "1.0"), ("HTTP/1.1", "1.1"), ("HTTP/2.0", "2"), ("HTTP/2", "2"),
     ("HTTP/3.0", "3"), ("INCLUDED", "1.1"), ("", "1.1")],
)  # fmt: skip
def test_the_version_of_http(protocol: str, version: str) -> None:
    assert seen(env={"SERVER_PROTOCOL": protocol})["http_version"] == version


def test_the_path_is_whole_and_decoded_and_the_root_path_is_its_beginning() -> None:
    scope = seen("/Zo%C3%AB/a%20b?x=%C3%A4", env={"SCRIPT_NAME": "/cgi-bin/größe"})
    assert scope["path"] == "/cgi-bin/größe/Zoë/a b"
    assert scope["root_path"] == "/cgi-bin/größe"
    assert scope["raw_path"] == b"/cgi-bin/program/Zo%C3%AB/a%20b"
    assert scope["query_string"] == b"x=%C3%A4"


@pytest.mark.parametrize("uri", ["", "http://testserver/a"])
def test_a_raw_path_that_is_not_known_is_none(uri: str) -> None:
    assert seen(env={"REQUEST_URI": uri})["raw_path"] is None


@given(BYTES, BYTES)
def test_every_path_is_text_and_every_query_is_bytes(path: bytes, query: bytes) -> None:
    env = {"PATH_INFO": os.fsdecode(b"/" + path), "QUERY_STRING": os.fsdecode(query)}
    scope = seen(env=env)
    assert scope["path"] == "/cgi-bin/program/" + path.decode("utf-8", "replace")
    assert scope["query_string"] == query


def test_header_fields_are_pairs_of_bytes_with_names_in_lower_case() -> None:
    headers = [("X-Some", "ä"), ("Cookie", "a=1"), ("Content-Type", "a/b"), ("Proxy", "evil")]
    scope = seen(method="POST", headers=headers)
    expected = [
        (b"content-length", b"0"),
        (b"content-type", b"a/b"),
        (b"cookie", b"a=1"),
        (b"host", b"testserver"),
        (b"x-some", "ä".encode()),
    ]
    assert sorted(scope["headers"]) == expected


@given(BYTES)
def test_every_byte_of_a_field_comes_through(value: bytes) -> None:
    scope = seen(env={"HTTP_X_FIELD": os.fsdecode(value)})
    assert dict(scope["headers"])[b"x-field"] == value


def test_client_and_server_are_pairs_of_address_and_port() -> None:
    scope = seen("https://a.example:8443/", env={"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "77"})
    assert scope["scheme"] == "https"
    assert scope["client"] == ("192.0.2.1", 77)
    assert scope["server"] == ("a.example", 8443)


def test_a_method_alone_is_a_request() -> None:
    scopes = []

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    response = from_asgi(app)(Request({"REQUEST_METHOD": "GET"}))
    response.body.close()  # type: ignore[union-attr]
    (scope,) = scopes
    assert (scope["path"], scope["root_path"]) == ("/", "")
    assert (scope["client"], scope["server"], scope["headers"]) == (None, None, [])


# --- receive ---


async def body_of(receive: Receive) -> list[bytes]:
    pieces, more = [], True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        pieces.append(message["body"])
        more = message["more_body"]
    return pieces


@http_only
async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    pieces = await body_of(receive)
    await send(START)
    await send({"type": "http.response.body", "body": b"".join(pieces)})


@http_only
async def count_pieces(_scope: Scope, receive: Receive, send: Send) -> None:
    pieces = await body_of(receive)
    await send(START)
    await send({"type": "http.response.body", "body": repr(list(map(len, pieces))).encode()})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_body_is_one_empty_piece(method: str) -> None:
    assert get(count_pieces, method=method).text == "[0]"


def test_a_short_body_is_one_piece() -> None:
    assert get(count_pieces, method="POST", body=b"hello").text == "[5]"


def test_a_long_body_comes_in_pieces() -> None:
    sizes = get(count_pieces, method="POST", body=bytes(1_000_000)).json(list[int])
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 65536


def test_a_body_ends_at_its_length() -> None:
    env = {"CONTENT_LENGTH": "5"}
    assert get(echo, method="POST", body=b"hello, and more", env=env).body == b"hello"


def test_a_body_in_chunks_ends_with_the_input() -> None:
    env = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert get(echo, method="POST", body=b"all of it", env=env).body == b"all of it"


def test_a_client_that_goes_before_its_body_has_ended_is_disconnected() -> None:
    @http_only
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        types = [(await receive())["type"] for _message in range(3)]
        await send(START)
        await send({"type": "http.response.body", "body": " ".join(types).encode()})

    answer = get(app, method="POST", body=b"abc", env={"CONTENT_LENGTH": "4"})
    assert answer.text == "http.request http.disconnect http.disconnect"


@pytest.mark.parametrize("size", [1, 65536, 65537, 1_000_000])
def test_a_body_can_be_received_while_the_answer_is_sent(size: int) -> None:
    @http_only
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send(piece(message["body"], more))

    body = os.urandom(size)
    assert get(app, method="POST", body=body).body == body


def test_behind_the_body_nothing_is_received_until_all_is_sent() -> None:
    received = []

    @http_only
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await send(START)
        for number in range(3):
            await send(piece(b"%d" % number))
            assert not waiting.done()
        await send(piece(b"", False))
        received.append(await waiting)

    assert get(app).body == b"012"
    assert received == [{"type": "http.disconnect"}]


# --- send ---


def test_status_and_header_fields_are_sent_and_fields_may_repeat() -> None:
    headers = [(b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2"), (b"x-a", "ä".encode())]
    answer = get(sending({**START, "status": 201, "headers": headers}, piece(b"x", False)))
    assert answer.status == 201
    assert answer.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-a"] == "ä"


def test_what_may_be_left_out_has_a_default() -> None:
    start = {"type": "http.response.start", "status": 200}
    answer = get(sending(start, {"type": "http.response.body"}))
    assert (answer.status, answer.body) == (200, b"")


def test_a_body_of_one_piece_has_its_length() -> None:
    answer = get(hello)
    assert (answer.body, answer.headers["content-length"]) == (b"hello", "5")


def test_the_length_of_more_pieces_is_not_made_up() -> None:
    answer = get(sending(START, piece(b"one "), piece(b""), piece(b"two", False)))
    assert answer.body == b"one two"
    assert "content-length" not in answer.headers


def test_a_length_is_the_applications_to_say() -> None:
    start = {**START, "headers": [(b"Content-Length", b"7")]}
    answer = get(sending(start, piece(b"one "), piece(b"two", False)))
    assert answer.headers.getlist("content-length") == ["7"]


def test_another_length_than_it_says_is_an_incomplete_answer() -> None:
    start = {**START, "headers": [(b"content-length", b"8")]}
    answer = answered(sending(start, piece(b"one "), piece(b"two", False)))
    assert (answer.body, answer.exit_status) == (b"one two", 1)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_and_no_length(status: int) -> None:
    answer = get(sending({"type": "http.response.start", "status": status}, piece(b"", False)))
    assert (answer.status, answer.body, answer.exit_status) == (status, b"", 0)
    assert not {"content-length", "content-type"} & answer.headers.keys()


def test_head_leaves_the_body_out_and_its_length_is_not_made_up() -> None:
    answer = get(hello, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert "content-length" not in answer.headers


def test_head_of_a_stream_is_an_answer_that_nobody_takes() -> None:
    ended = []

    @http_only
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        try:
            while True:
                await send(piece(b"x"))
        except OSError as failure:
            ended.append(f"{failure}")
            raise

    assert get(app, method="HEAD").exit_status == 0
    assert ended == ["the client has gone"]


@pytest.mark.parametrize(
    "field",
    [
        (b"connection", b"close"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"transfer-encoding", b"chunked"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"trailer", b"x-sum"),
        (b"upgrade", b"h2c"),
        (b"status", b"200 OK"),
    ],
)
def test_a_field_about_the_connection_is_left_out(field: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"text/plain"), field, (b"x-end", b"1")]
    answer = get(sending({**START, "headers": headers}, piece(b"x", False)))
    assert dict(answer.headers) == {
        "status": "200 OK",
        "content-type": "text/plain",
        "x-end": "1",
        "content-length": "1",
    }


def test_a_field_that_connection_names_is_left_out() -> None:
    headers = [(b"x-hop", b"1"), (b"connection", b"close, X-Hop"), (b"x-end", b"1")]
    answer = get(sending({**START, "headers": headers}, piece(b"x", False)))
    assert "x-hop" not in answer.headers
    assert answer.headers["x-end"] == "1"


@pytest.mark.parametrize(
    "start",
    [
        {**START, "headers": [(b"x-a", b"1\r\nx-b: 2")]},
        {**START, "headers": [(b"x-a: 1\r\nx-b", b"2")]},
        {**START, "status": 700},
        {**START, "status": "200 OK"},
        {"type": "http.response.start"},
    ],
)
def test_what_cannot_be_sent_is_a_failure(start: Message) -> None:
    assert answered(sending(start, piece(b"x", False))).status == 500


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"x")],
        [START, START],
        [START, piece(b"x"), START],
        [{"type": "websocket.accept"}],
    ],
)
def test_a_message_out_of_place_is_refused(messages: Iterable[Message]) -> None:
    refused = []

    @http_only
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        except ValueError as failure:
            refused.append(f"{failure}")
            raise

    assert answered(app).exit_status == 1 or answered(app).status == 500
    assert "is to be sent now, not " in refused[0]


def test_further_messages_are_ignored() -> None:
    assert get(sending(START, piece(b"x", False), piece(b"y"), START)).body == b"x"


# --- background tasks ---


def then(work: Callable[[], Awaitable[None]], *messages: Message) -> ASGIApplication:
    """Sends the messages, and then does its work."""

    @http_only
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        await work()

    return app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("pieces", [[piece(b"x", False)], [piece(b"x"), piece(b"y", False)]])
def test_what_comes_after_the_answer_is_done(method: str, pieces: list[Message]) -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append(True)

    get(then(work, START, *pieces), method=method)
    # Of a stream nobody takes more than its beginning for HEAD.
    assert done == ([] if method == "HEAD" and len(pieces) == 2 else [True])


async def fail() -> None:
    raise LookupError("a bug")


def test_a_failure_after_the_answer_is_in_the_log() -> None:
    answer = answered(then(fail, START, piece(b"x", False)))
    assert (answer.status, answer.body, answer.exit_status) == (200, b"x", 0)
    assert "LookupError: a bug (after the answer)\n" in answer.log


def test_a_failure_that_is_its_own_cause_is_in_the_log() -> None:
    async def fail_in_a_circle() -> None:
        try:
            raise LookupError("a bug")
        except LookupError as error:
            raise error from error

    log = get(then(fail_in_a_circle, START, piece(b"x", False))).log
    assert "LookupError: a bug (after the answer)\n" in log


def test_tasks_that_are_left_are_cancelled() -> None:
    ended = []
    tasks = []

    async def forever() -> None:
        try:
            await asyncio.sleep(SECONDS)
        finally:
            ended.append(True)

    async def work() -> None:
        tasks.append(asyncio.ensure_future(forever()))
        await asyncio.sleep(0)

    get(then(work, START, piece(b"x", False)))
    assert ended == [True]


# --- failures ---


def test_what_an_application_raises_is_the_handlers_failure() -> None:
    with pytest.raises(LookupError, match="a bug"):
        get(then(fail))
    assert answered(then(fail)).status == 500
    assert answered(then(fail, START)).status == 500


def test_a_failure_after_the_first_piece_leaves_the_answer_incomplete() -> None:
    answer = answered(then(fail, START, piece(b"x")))
    assert (answer.status, answer.body, answer.exit_status) == (200, b"x", 1)
    assert answer.log.count("LookupError: a bug\n  Traceback") == 1


def test_an_http_error_is_an_answer() -> None:
    async def refuse() -> None:
        raise HTTPError(409)

    assert get(then(refuse)).status == 409


@pytest.mark.parametrize("messages", [[], [START]])
def test_an_application_that_returns_without_an_answer_is_a_failure(
    messages: list[Message],
) -> None:
    with pytest.raises(ValueError, match="returned without a complete answer"):
        get(sending(*messages))


def test_an_answer_without_its_end_is_incomplete() -> None:
    answer = answered(sending(START, piece(b"x")))
    assert (answer.body, answer.exit_status) == (b"x", 1)
    assert "returned without a complete answer" in answer.log


# --- lifespan ---


class WithLifespan:
    """An application with a lifespan, and what has happened to it."""

    def __init__(
        self, started: Message | None = None, stopped: Message | None = None, endpoint: Any = hello
    ) -> None:
        self.events: list[str] = []
        self._started = started or {"type": "lifespan.startup.complete"}
        self._stopped = stopped or {"type": "lifespan.shutdown.complete"}
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.events.append(f"request with {scope['state']}")
            await self._endpoint(scope, receive, send)
            self.events.append("end of the request")
            return
        self.events.append((await receive())["type"])
        scope["state"]["pool"] = "open"
        await send(self._started)
        self.events.append((await receive())["type"])
        await send(self._stopped)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_lifespan_is_around_the_request(method: str) -> None:
    app = WithLifespan()
    assert get(app, method=method).status == 200
    assert app.events == [
        "lifespan.startup",
        "request with {'pool': 'open'}",
        "end of the request",
        "lifespan.shutdown",
    ]


def test_a_start_up_that_fails_is_500() -> None:
    app = WithLifespan({"type": "lifespan.startup.failed", "message": "no database"})
    with pytest.raises(RuntimeError, match="start-up failed: no database"):
        get(app)
    assert app.events == ["lifespan.startup"]
    answer = answered(WithLifespan({"type": "lifespan.startup.failed"}))
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")


def test_a_shutdown_that_fails_is_in_the_log() -> None:
    app = WithLifespan(stopped={"type": "lifespan.shutdown.failed", "message": "still busy"})
    answer = get(app)
    assert (answer.body, answer.exit_status) == (b"hello", 0)
    assert "RuntimeError: still busy (in the application's shutdown)\n" in answer.log


def test_a_shutdown_that_raises_is_in_the_log() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await hello(scope, receive, send)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise LookupError("a bug")

    assert "LookupError: a bug (in the application's shutdown)\n" in get(app).log


def test_an_application_may_return_from_its_lifespan() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)

    answer = get(app)
    assert (answer.body, answer.log) == (b"hello", "")


def test_shutdown_comes_after_a_failure_too() -> None:
    app = WithLifespan(endpoint=then(fail))
    assert answered(app).status == 500
    assert app.events[-1] == "lifespan.shutdown"


def test_each_request_has_its_own_state() -> None:
    async def change(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["pool"] = "changed"
        await hello(scope, receive, send)

    app = WithLifespan(endpoint=change)
    get(app)
    get(app)
    assert app.events.count("request with {'pool': 'open'}") == 2


# --- as a handler among others ---


def test_middleware_for_handlers_goes_around_it() -> None:
    answer = Client(cors(from_asgi(hello))).get()
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.body == b"hello"


def test_an_answer_that_has_not_changed_ends_the_application() -> None:
    app = WithLifespan(
        endpoint=sending({**START, "headers": [(b"etag", b'"1"')]}, piece(b"x", False))
    )
    assert get(app, headers={"If-None-Match": '"1"'}).status == 304
    assert app.events[-2:] == ["end of the request", "lifespan.shutdown"]


def test_of_a_body_that_is_received_late_no_more_is_kept_than_a_form_may_have() -> None:
    @http_only
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"x"))
        await send(piece(b"%d" % sum(map(len, await body_of(receive))), False))

    client = Client(from_asgi(app), limits=Limits(max_form=100_000), raise_errors=False)
    assert client.post(body=bytes(100_000)).body == b"x100000"
    assert "ValueError: the body is gone" in client.post(body=bytes(200_000)).log


# --- a whole program ---

TOP = """
import asyncio, sys, threading, time
from nativecgi import run
from nativecgi.asgi import from_asgi
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]}
def piece(body, more=True):
    return {"type": "http.response.body", "body": body, "more_body": more}
async def app(scope, receive, send):
    if scope["type"] == "http":
        return await answer(scope, receive, send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shutdown", flush=True)
    await send({"type": "lifespan.shutdown.complete"})
"""
BOTTOM = """
if __name__ == "__main__":
    run(from_asgi(app))
"""
HEADER = b"Status: 200 OK\r\ncontent-type: a/b\r\n"

Write = Callable[[str], list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Write:
    """Writes a program, and gives the command that runs it."""

    def write(source: str) -> list[str]:
        file = tmp_path / "program.py"
        file.write_text(TOP + source + BOTTOM)
        return [sys.executable, str(file)]

    return write


def run(command: list[str], **env: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, env=GET | env, capture_output=True, timeout=SECONDS, check=False)


ONE = """
async def answer(scope, receive, send):
    await send(START)
    await send(piece(b"hello", False))
"""


def test_a_program_is_an_application_and_a_line(program: Write) -> None:
    done = run(program(ONE))
    expected = HEADER + b"Content-Length: 5\r\n\r\nhello"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"shutdown\n")


def test_a_programs_request_may_be_a_method_alone(program: Write) -> None:
    bare = {"PYTHONPATH": GET["PYTHONPATH"], "REQUEST_METHOD": "GET"}
    done = subprocess.run(program(ONE), env=bare, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout.endswith(b"\r\n\r\nhello")


def test_a_programs_failure_is_500_with_a_traceback_in_the_log(program: Write) -> None:
    done = run(program("async def answer(scope, receive, send): raise LookupError('secret')"))
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert b"nativecgi: GET /cgi-bin/program: LookupError: secret\n" in done.stderr


def test_no_event_loop_is_there_before_the_request(program: Write) -> None:
    """What it holds of the kernel could not be frozen."""
    done = run(program("""
import os
before = os.listdir("/proc/self/fd")
async def answer(scope, receive, send):
    await send(START)
    await send(piece(b"%d" % (len(before) - 1), False))
"""))  # fmt: skip
    assert done.stdout.endswith(b"\r\n\r\n3")


TWO = """
async def answer(scope, receive, send):
    try:
        await send(START)
        await send(piece(b"one "))
        {wait}
        await send(piece(b"two"))
        await send(piece(b"", False))
    except OSError as failure:
        print(failure)
        raise
    finally:
        print("closed", flush=True)
"""


WAIT = "await asyncio.to_thread(sys.stdin.read, 1)"


@pytest.mark.parametrize("wait", [WAIT, "sys.stdin.read(1)"])
def test_a_programs_piece_is_sent_before_the_next_is_made(program: Write, wait: str) -> None:
    with running(program(TWO.format(wait=wait))) as process:
        assert read_until(process.stdout, b"one ") == HEADER + b"\r\none "
        tell(process)
        assert rest(process.stdout) == b"two"
        assert rest(process.stderr) == b"closed\nshutdown\n"
    assert process.returncode == 0


def test_a_program_is_told_when_the_client_has_gone(program: Write) -> None:
    with running(program(TWO.format(wait=WAIT))) as process:
        read_until(process.stdout, b"one ")
        assert process.stdout
        process.stdout.close()
        tell(process)
        assert rest(process.stderr) == (
            b"the client has gone\nclosed\nshutdown\n"
            b"nativecgi: the answer could not be written: [Errno 32] Broken pipe\n"
        )
    assert process.returncode == 1


WAITING = """
async def answer(scope, receive, send):
    await receive()
    await send(START)
    await send(piece(b"one "))
    try:
        print("waiting", flush=True)
        {wait}
    finally:
        print("closed", flush=True)
"""


@pytest.mark.parametrize(
    ("wait", "told"),
    [("print((await receive())['type'])", b"http.disconnect\n"), ("await asyncio.sleep(60)", b"")],
)
def test_a_program_ends_when_the_server_terminates_it(
    program: Write, wait: str, told: bytes
) -> None:
    with running(program(WAITING.format(wait=wait))) as process:
        read_until(process.stderr, b"waiting\n")
        time.sleep(0.1)  # until it does wait
        process.terminate()
        assert rest(process.stderr) == (
            told + b"closed\nshutdown\n"
            b"nativecgi: the answer could not be written: terminated by the server\n"
        )
    assert process.returncode == 1


def test_a_programs_answer_does_not_wait_for_what_comes_after_it(program: Write) -> None:
    source = (
        ONE
        + """
    await asyncio.to_thread(sys.stdin.read, 1)
    print("worked", flush=True)
"""
    )
    with running(program(source)) as process:
        read_until(process.stdout, b"hello")
        tell(process)
        assert rest(process.stderr) == b"worked\nshutdown\n"
    assert process.returncode == 0


GROUP = """
    async with asyncio.TaskGroup() as group:
        group.create_task({work})
        group.create_task(asyncio.sleep(20))
"""
WRAPPED = """
    try:
        {work}
    except BaseException as failure:
        raise RuntimeError("wrapped") from failure
"""
BLOCK = """
async def block():
    time.sleep(20)
"""


@pytest.mark.parametrize(
    "work",
    [
        "    await asyncio.sleep(20)",
        "    time.sleep(20)",
        GROUP.format(work="asyncio.sleep(20)"),
        GROUP.format(work="block()"),
        WRAPPED.format(work="await asyncio.sleep(20)"),
        WRAPPED.format(work="time.sleep(20)"),
    ],
)
def test_a_program_that_takes_too_long_is_504(program: Write, work: str) -> None:
    command = program(f"{BLOCK}async def answer(scope, receive, send):\n{work}\n")
    done = run(command, NATIVECGI_MAX_SECONDS="1")
    assert done.stdout.startswith(b"Status: 504 ")
    assert b"TimeLimitError" in done.stderr


def test_a_program_that_takes_too_long_to_start_up_is_504(program: Write) -> None:
    source = "async def app(scope, receive, send): await asyncio.sleep(20)"
    assert run(program(source), NATIVECGI_MAX_SECONDS="1").stdout.startswith(b"Status: 504 ")


def test_what_a_program_does_after_its_answer_may_take_longer(program: Write) -> None:
    source = (
        ONE
        + """
    await asyncio.sleep(2.5)
    print("worked", flush=True)
"""
    )
    done = run(program(source), NATIVECGI_MAX_SECONDS="1")
    assert (done.returncode, done.stdout[-5:], done.stderr) == (0, b"hello", b"worked\nshutdown\n")


@pytest.mark.parametrize("wait", ["await asyncio.sleep(60)", "time.sleep(60)"])
def test_a_program_may_be_terminated_after_its_answer(program: Write, wait: str) -> None:
    source = (
        ONE
        + f"""
    try:
        print("waiting", flush=True)
        {wait}
    finally:
        print("closed", flush=True)
"""
    )
    with running(program(source)) as process:
        read_until(process.stderr, b"waiting\n")
        wait_until_asleep(process.pid)
        process.terminate()
        assert rest(process.stdout).endswith(b"hello")
        assert rest(process.stderr) == (
            b"closed\nshutdown\nnativecgi: terminated by the server, after the answer\n"
        )
    assert process.returncode == 0


def test_sigterm_is_not_lost_in_a_finalizer(program: Write) -> None:
    """Where Python ignores what its handler raises: here, between two runs of the loop."""
    done = run(program("""
import signal
class Noisy(bytes):
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
async def answer(scope, receive, send):
    await send(START)
    await send(piece(b"one "))
    await send(piece(Noisy(b"two ")))
    await send(piece(b"three"))
    await asyncio.sleep(60)
"""))  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith(
        b"\nshutdown\nnativecgi: the answer could not be written: terminated by the server\n"
    )


STRUCK = (
    """
import os, signal
async def answer(scope, receive, send):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.05))
        await send(START)
        for _ in range(2):
            await asyncio.sleep(0)
            await send(piece(b"one "))
        await asyncio.sleep(0.05)
    await send(piece(b"", False))
"""
    + STRIKE_AT
    + """if __name__ == "__main__":
    from nativecgi.gateways.cgi import respond
    others = []
    for number in range(1, 10_000, 11):
        if (child := os.fork()) == 0:
            signal.alarm(10)
            stdin, stdout = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
            os.dup2(stdout, 1)
            os.dup2(stdout, 2)
            strike_at(number)
            env = {"REQUEST_METHOD": "GET"}
            os._exit(10 + respond(from_asgi(app), env, stdin, stdout, None, int))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 10:  # there are not so many lines
            break
        if status != 11:
            others.append((number, status))
    print(number > 350, others)
    sys.exit()
"""
)


def test_a_program_may_be_terminated_anywhere(program: Write) -> None:
    """At every eleventh of the lines of Python that it runs through."""
    done = run(program(STRUCK))
    assert (done.returncode, done.stdout) == (0, b"True []\n"), done.stderr


def test_a_program_may_start_threads(program: Write) -> None:
    done = run(program("""
async def answer(scope, receive, send):
    name = await asyncio.to_thread(lambda: threading.current_thread().name)
    await send(START)
    await send(piece(name.encode(), False))
"""))  # fmt: skip
    assert (done.returncode, done.stdout.rpartition(b"\n")[2]) == (0, b"asyncio_0")
