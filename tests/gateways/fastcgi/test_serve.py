"""A server's requests come in over a connection, and answers go back."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from nativecgi import Request, Response, file
from nativecgi.gateways.fastcgi import records
from nativecgi.gateways.fastcgi.serve import serve
from nativecgi.message.response import Handler
from tests.gateways.fastcgi.server import GET, Answer, answers, begun, request

SECONDS = 10


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """A request's variables take the place of the process's, which other tests want back."""
    kept = [(it, it.__class__, it.__dict__["_data"]) for it in (os.environ, os.environb)]
    yield
    for it, kind, data in kept:
        it.__class__ = kind
        it.__dict__["_data"] = data


def served(handler: Handler, *requests: bytes, is_only: bool = False) -> bytes:
    """What comes back until the connection is closed.

    As a server does, it sends a request when the one before has been ended.
    """
    server, connection = socket.socketpair()
    server.settimeout(SECONDS)
    own = {"OWN": "1", "PATH_INFO": "/own"}
    with server, ThreadPoolExecutor(2) as threads:
        received = threads.submit(_asked, server, requests, threads)
        serve(connection, handler, own, None, int, is_only=is_only)
        return received.result()


def _asked(server: socket.socket, requests: Sequence[bytes], threads: ThreadPoolExecutor) -> bytes:
    found = b""
    for number, data in enumerate(requests):
        threads.submit(server.sendall, data)
        while ended(found) <= number:
            try:
                received = server.recv(65536)
            except ConnectionResetError:  # it was closed before it was sent that
                received = b""
            if not received:
                return found
            found += received
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)
    while received := server.recv(65536):
        found += received
    return found


def ended(data: bytes) -> int:
    """How many requests have been ended."""
    parsed, _consumed = records.parse_records(data)
    return len([record for record in parsed if record.type == records.FCGI_END_REQUEST])


def answer(
    handler: Handler, env: Mapping[str, str] = GET, body: bytes = b"", *, is_only: bool = False
) -> Answer:
    """The answer to a request."""
    (only,) = answers(served(handler, request(env, body), is_only=is_only))
    return only


def echo(request: Request) -> Response:
    return Response(f"{request.method} {request.path} {request.body.read().decode()}")


POST = {**GET, "REQUEST_METHOD": "POST"}

# Requests and answers.


def test_a_request_is_answered() -> None:
    told = answer(echo)
    assert told.head.startswith("Status: 200 OK\r\n")
    assert (told.body, told.log, told.app_status) == (b"GET /a ", "", 0)


def test_the_body_comes_from_standard_input() -> None:
    body = b"x" * 200_000
    told = answer(
        lambda request: Response(str(len(request.body.read()))),
        {**POST, "CONTENT_LENGTH": "200000"},
        body,
    )
    assert told.body == b"200000"


def test_a_body_that_nobody_reads_does_not_disturb_the_next_request() -> None:
    post = request({**POST, "CONTENT_LENGTH": "6"}, b"a body")
    told = answers(served(lambda _request: Response("unread"), post, post))
    assert [it.body for it in told] == [b"unread", b"unread"]


def test_a_body_of_unknown_length_ends_with_the_stream() -> None:
    assert (
        answer(echo, {**POST, "HTTP_TRANSFER_ENCODING": "chunked"}, b"all").body == b"POST /a all"
    )


def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    assert answer(echo, {**POST, "CONTENT_LENGTH": "6"}, b"a bo").head.startswith("Status: 400 ")


def test_what_is_left_of_a_body_is_read_before_the_connection_is_closed() -> None:
    """To close it then might reset it, and the server would lose the answer."""
    server, connection = socket.socketpair()
    with server:
        server.sendall(request({**POST, "CONTENT_LENGTH": "1"}, b"more than one", keep=False))
        serve(connection, lambda _request: Response("ok"), {}, None, int, is_only=False)
        assert b"ok" in server.recv(65536)
        assert server.recv(1) == b""


def test_a_large_answer_is_sent_whole() -> None:
    assert answer(lambda _request: Response(b"y" * 300_000)).body == b"y" * 300_000


def test_a_file_is_sent(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_bytes(b"z" * 100_000)
    assert answer(lambda _request: file(tmp_path / "page.txt")).body == b"z" * 100_000


def test_a_piece_is_sent_before_the_next_is_made() -> None:
    server, connection = socket.socketpair()
    server.settimeout(SECONDS)

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert b"first" in server.recv(65536)
        yield b"second"
        assert b"second" in server.recv(65536)

    with server:
        server.sendall(request(keep=False))
        serve(connection, lambda _request: Response(pieces()), {}, None, int, is_only=False)


def test_an_answer_that_breaks_off_has_no_end() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        raise LookupError("no second")

    told = answer(lambda _request: Response(pieces()))
    assert (told.body, told.app_status) == (b"first", None)
    assert "LookupError" in told.log


# Variables.


def test_a_request_s_variables_come_before_the_process_s_own() -> None:
    told = answer(
        lambda request: Response(f"{request.env['OWN']} {request.path} {os.environ['PATH_INFO']}")
    )
    assert told.body == b"1 /a /a"


def test_a_variable_of_one_request_is_not_in_the_next() -> None:
    told = served(
        lambda _request: Response(os.environ.get("HTTP_COOKIE", "none")),
        request({**GET, "HTTP_COOKIE": "a=b"}),
        request(),
    )
    assert [it.body for it in answers(told)] == [b"a=b", b"none"]


def test_the_field_proxy_is_no_variable() -> None:
    told = answer(
        lambda request: Response(f"{request.env.get('HTTP_PROXY')} {os.environ.get('HTTP_PROXY')}"),
        {**GET, "HTTP_PROXY": "http://192.0.2.1"},
    )
    assert told.body == b"None None"


def test_what_no_environment_can_hold_is_left_out() -> None:
    told = answer(
        lambda _request: Response(" ".join(sorted(os.environ))),
        {**GET, "A=B": "1", "NUL": "a\0b", "": "2", "LAST": "ü"},
    )
    assert told.body == b"LAST OWN PATH_INFO QUERY_STRING REQUEST_METHOD SCRIPT_NAME"


# The log.


def test_what_is_printed_goes_to_the_server_s_log() -> None:
    def handle(_request: Request) -> Response:
        sys.stdout.write("to the log\n")
        sys.stderr.write("half a line")
        return Response("ok")

    told = answer(handle)
    assert (told.body, told.log) == (b"ok", "to the log\nhalf a line")


def test_a_failure_is_500_and_a_line_of_the_log() -> None:
    def handle(_request: Request) -> Response:
        raise LookupError("secret")

    told = answer(handle)
    assert told.head.startswith("Status: 500 ")
    assert b"secret" not in told.body
    assert "LookupError" in told.log


# The connection.


def test_a_connection_is_kept_for_the_next_request() -> None:
    assert len(answers(served(echo, request(), request(id=2), request()))) == 3


def test_a_connection_is_closed_if_the_server_says_so() -> None:
    assert len(answers(served(echo, request(keep=False), request(id=2)))) == 1


def test_an_only_request_is_the_last() -> None:
    assert len(answers(served(echo, request(), is_only=True))) == 1


def test_a_malformed_stream_ends_the_connection() -> None:
    assert served(echo, b"GET / HTTP/1.1\r\n\r\n") == b""


def test_a_server_that_goes_before_its_request_is_complete_is_no_failure() -> None:
    server, connection = socket.socketpair()
    server.sendall(begun(GET, keep=True)[:20])
    server.close()
    serve(connection, echo, {}, None, int, is_only=False)


def test_it_tells_what_a_server_asks_for() -> None:
    server, connection = socket.socketpair()
    names = records.encode_pairs({records.FCGI_MPXS_CONNS: ""})
    with server:
        server.sendall(records.encode_record(records.FCGI_GET_VALUES, 0, names))
        server.shutdown(socket.SHUT_WR)
        serve(connection, echo, {}, None, int, is_only=False)
        ((record,), _consumed) = records.parse_records(server.recv(65536))
    assert record.type == records.FCGI_GET_VALUES_RESULT
    assert records.parse_pairs(record.content) == {records.FCGI_MPXS_CONNS: "0"}


def test_each_request_begins_anew() -> None:
    times: list[None] = []
    server, connection = socket.socketpair()
    with server:
        server.sendall(request(keep=False))
        serve(connection, echo, {}, None, lambda: times.append(None), is_only=False)
    assert len(times) == 1
