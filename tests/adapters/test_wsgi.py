"""nativecgi.adapters.wsgi: what PEP 3333 asks of a server; applications here, and programs.

Its own validator (wsgiref.validate) stands between the two wherever an application keeps to it.
"""

import gzip
import io
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from wsgiref.types import StartResponse, WSGIApplication
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

import nativecgi
from nativecgi import Handler, HTTPError, Limits, Request, Response, cors, from_wsgi
from nativecgi.adapters.wsgi import FileWrapper
from nativecgi.message.body import close
from nativecgi.testing import Answer, Client
from tests.gateways.test_cgi import ERROR, GET, SECONDS, read_until, rest, running, tell

Environ = dict[str, Any]
Get = Callable[..., Answer]

TEXT = [("Content-Type", "text/plain")]


def hello(_environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [b"hello"]


def get(app: WSGIApplication, url: str = "/", method: str = "GET", **options: Any) -> Answer:
    """What comes back, or the exception that the handler has raised."""
    return Client(from_wsgi(app)).request(method, url, **options)


def seen(url: str = "/", method: str = "GET", **options: Any) -> Environ:
    """The environ that an application gets for a request, which the validator has found right."""
    environs: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return hello(environ, start_response)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = get(validator(app), url, method, **options)
    assert (answer.status, answer.log) == (200, "")
    return environs[0]


def answering(
    *pieces: bytes, status: str = "200 OK", headers: Iterable[tuple[str, str]] = TEXT
) -> WSGIApplication:
    """An application whose answer is a generator's."""

    def app(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response(status, list(headers))
        yield from pieces

    return app


class Closable:
    """An iterable of pieces that counts how often it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        self.closed += 1


def closable(pieces: Iterable[bytes], status: str = "200 OK") -> tuple[Closable, WSGIApplication]:
    iterable = Closable(pieces)

    def app(_environ: Environ, start_response: StartResponse) -> Closable:
        start_response(status, [] if status.startswith(("204", "304")) else TEXT)
        return iterable

    return iterable, app


# --- the validator ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_an_application_and_its_validator_find_nothing_wrong(method: str) -> None:
    answer = get(validator(hello), "/a/b?x=1", method)
    assert (answer.status, answer.body, answer.log) == (200, b"hello", "")


def test_the_validator_finds_nothing_wrong_with_head() -> None:
    answer = get(validator(hello), method="HEAD")
    assert (answer.status, answer.body, answer.log) == (200, b"", "")


def test_the_validator_finds_nothing_wrong_with_how_a_body_is_read() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"]
        read = [body.readline(), body.read(3), *body.readlines(), body.read(1)]
        environ["wsgi.errors"].write("logged\n")
        environ["wsgi.errors"].writelines(["lines\n"])
        environ["wsgi.errors"].flush()
        start_response("200 OK", TEXT)
        return [b"|".join(read)]

    answer = get(validator(app), method="POST", body=b"one\ntwo\nthree\nfour")
    assert (answer.body, answer.log) == (b"one\n|two|\n|three\n|four|", "logged\nlines\n")


# --- environ ---


def test_environ_is_a_dict_of_strings_and_what_is_wsgis() -> None:
    environ = seen("/a?x=1")
    assert type(environ) is dict
    assert environ["wsgi.version"] == (1, 0)
    assert all(type(value) is str for name, value in environ.items() if "." not in name)


def test_the_process_is_for_this_request_alone() -> None:
    environ = seen()
    assert environ["wsgi.run_once"] is True
    assert environ["wsgi.multiprocess"] is True
    assert environ["wsgi.multithread"] is False


def test_the_path_is_in_two_parts() -> None:
    environ = seen("/a%20b/c%2Fd?x=%20", env={"SCRIPT_NAME": "/cgi-bin/shop"})
    assert environ["SCRIPT_NAME"] == "/cgi-bin/shop"
    assert environ["PATH_INFO"] == "/a b/c/d"
    assert environ["QUERY_STRING"] == "x=%20"


def test_the_path_is_bytes_as_latin_1() -> None:
    environ = seen("/Zo%C3%AB/%FF", env={"SCRIPT_NAME": "/größe"})
    assert environ["PATH_INFO"] == "/Zo\xc3\xab/\xff"
    assert environ["SCRIPT_NAME"] == "/gr\xc3\xb6\xc3\x9fe"


# What an environment can have: no NUL.
BYTES = st.binary(max_size=20).filter(lambda value: b"\0" not in value)


@given(BYTES, BYTES, BYTES)
def test_every_byte_of_a_request_comes_through(path: bytes, query: bytes, field: bytes) -> None:
    environ = seen(
        env={
            "PATH_INFO": os.fsdecode(b"/" + path),
            "QUERY_STRING": os.fsdecode(query),
            "HTTP_X_FIELD": os.fsdecode(field),
        }
    )
    assert environ["PATH_INFO"].encode("latin-1") == b"/" + path
    assert environ["QUERY_STRING"].encode("latin-1") == query
    assert environ["HTTP_X_FIELD"].encode("latin-1") == field


@pytest.mark.parametrize(("url", "scheme"), [("http://a/", "http"), ("https://a/", "https")])
def test_the_scheme_is_that_of_the_address(url: str, scheme: str) -> None:
    assert seen(url)["wsgi.url_scheme"] == scheme


def test_header_fields_have_their_meta_variables() -> None:
    environ = seen(method="POST", body=b"{}", headers=[("Content-Type", "a/b"), ("X-A", "1")])
    assert environ["CONTENT_TYPE"] == "a/b"
    assert environ["CONTENT_LENGTH"] == "2"
    assert environ["HTTP_X_A"] == "1"


def test_two_header_fields_are_there_once_even_where_the_server_has_them_twice() -> None:
    twice = {"HTTP_CONTENT_TYPE": "a/b", "HTTP_CONTENT_LENGTH": "2"}
    assert not twice.keys() & seen(env=twice).keys()


def test_a_clients_proxy_is_not_there() -> None:
    assert "HTTP_PROXY" not in seen(headers={"Proxy": "http://evil.example"})


def test_what_the_server_sets_besides_is_there() -> None:
    environ = seen(env={"REMOTE_USER": "ann", "SHOP_DB": "shop.db"})
    assert (environ["REMOTE_USER"], environ["SHOP_DB"]) == ("ann", "shop.db")


def test_what_must_not_be_empty_has_its_default() -> None:
    """PEP 3333: a server may have set them, to nothing."""
    environs = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return hello(environ, start_response)

    names = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
    close(from_wsgi(validator(app))(Request(dict.fromkeys(names, ""))).body)
    assert [environs[0][name] for name in names] == ["GET", "localhost", "80", "HTTP/1.0"]


@pytest.mark.parametrize(("https", "port"), [("", "80"), ("on", "443")])
def test_what_has_to_be_there_is_there_even_without_a_server(https: str, port: str) -> None:
    environs = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return hello(environ, start_response)

    close(from_wsgi(validator(app))(Request({"REQUEST_METHOD": "GET", "HTTPS": https})).body)
    (environ,) = environs
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", port)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"


# --- wsgi.input ---


def reading(read: Callable[[Any], Any]) -> WSGIApplication:
    """Answers with the repr of what `read` makes of wsgi.input."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [repr(read(environ["wsgi.input"])).encode()]

    return app


LINES = b"one\ntwo\r\nthree"


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda body: body.read(), LINES),
        (lambda body: body.read(1000), LINES),
        (lambda body: [body.read(2), body.read(0), body.read(), body.read()],
         [b"on", b"", LINES[2:], b""]),
        (lambda body: [body.readline(), body.readline(2), body.readline()],
         [b"one\n", b"tw", b"o\r\n"]),
        (lambda body: body.readlines(), [b"one\n", b"two\r\n", b"three"]),
        (lambda body: body.readlines(1), [b"one\n"]),
        (list, [b"one\n", b"two\r\n", b"three"]),
        (lambda body: [next(body), body.read(3), *body], [b"one\n", b"two", b"\r\n", b"three"]),
    ],
)  # fmt: skip
def test_the_body_ends_at_its_length(read: Callable[[Any], Any], expected: object) -> None:
    length = {"CONTENT_LENGTH": str(len(LINES))}
    answer = get(reading(read), method="POST", body=LINES + b"\nand more", env=length)
    assert answer.text == repr(expected)


@pytest.mark.parametrize("length", ["", "0"])
def test_without_a_length_there_is_no_body(length: str) -> None:
    answer = get(reading(list), method="POST", body=b"more", env={"CONTENT_LENGTH": length})
    assert answer.text == "[]"


def test_a_body_in_chunks_ends_with_the_input_and_the_application_is_told() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [b"%d" % environ["wsgi.input_terminated"], environ["wsgi.input"].read()]

    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert get(app, method="POST", body=b"all of it", env=chunked).body == b"1all of it"


SHORT: dict[str, Any] = {"method": "POST", "body": b"abc", "env": {"CONTENT_LENGTH": "4"}}


def test_a_body_that_is_shorter_than_announced_is_400() -> None:
    answer = get(reading(lambda body: body.read()), **SHORT)
    assert (answer.status, answer.text) == (400, "The body is shorter than announced.\n")


def test_a_body_that_is_shorter_than_announced_is_an_error_that_frameworks_know() -> None:
    def read(body: IO[bytes]) -> str:
        try:
            return f"{body.read()!r}"
        except OSError as failure:
            return f"{failure}"

    assert get(reading(read), **SHORT).text == "'The body is shorter than announced.'"


def echoing(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Sends what it reads, piece by piece."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    while piece := environ["wsgi.input"].read(60_000):
        yield piece


@pytest.mark.parametrize("size", [0, 1, 60_000, 60_001, 1_000_000])
def test_a_body_can_be_read_while_the_answer_is_sent(size: int) -> None:
    body = os.urandom(size)
    assert get(echoing, method="POST", body=body).body == body


def test_of_a_body_that_is_read_so_no_more_is_kept_than_a_form_may_have() -> None:
    client = Client(from_wsgi(echoing), limits=Limits(max_form=100_000), raise_errors=False)
    assert client.post(body=bytes(160_000)).exit_status == 0
    answer = client.post(body=bytes(300_000))
    assert answer.exit_status == 1
    assert "ValueError: the body is gone" in answer.log


def test_a_body_that_nobody_reads_does_no_harm() -> None:
    assert get(answering(b"hello"), method="POST", body=bytes(1_000_000)).body == b"hello"


def test_no_temporary_file_is_made_for_no_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nativecgi.transfer.latebody.temporary_file", None)
    assert get(answering(b"hello")).body == b"hello"
    assert get(echoing, method="POST", body=b"hello").body == b"hello"


# --- wsgi.errors ---


def test_errors_go_to_the_error_log() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        print("Zoë", file=environ["wsgi.errors"])
        return hello(environ, start_response)

    answer = get(app)
    assert (answer.body, answer.log) == (b"hello", "Zoë\n")


def test_without_an_error_log_errors_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.errors"].write("nowhere")
        return hello(environ, start_response)

    monkeypatch.setattr(sys, "stderr", None)
    assert from_wsgi(app)(Request(GET)).body == b"hello"


# --- start_response ---


def test_status_and_header_fields_are_sent() -> None:
    answer = get(answering(b"x", status="418 I'm a Teapot", headers=[*TEXT, ("X-A", "1")]))
    assert (answer.status, answer.headers["x-a"]) == (418, "1")


def test_the_reason_phrase_is_the_usual_one() -> None:
    assert get(answering(b"x", status="404 Nothing Here")).headers["status"] == "404 Not Found"


def test_a_field_may_repeat() -> None:
    fields = [*TEXT, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/")]
    answer = get(validator(answering(b"x", headers=fields)))
    assert answer.headers.getlist("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]


@given(st.binary(max_size=20).filter(lambda value: not set(value) & {*range(32), 127}))
def test_every_byte_of_a_field_comes_through(value: bytes) -> None:
    answer = get(answering(b"x", headers=[*TEXT, ("X-A", "." + value.decode("latin-1") + ".")]))
    assert os.fsencode(answer.headers["x-a"]) == b"." + value + b"."


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200", TEXT),
        ("OK", TEXT),
        ("2000 OK", TEXT),
        ("²00 OK", TEXT),
        ("100 Continue", TEXT),
        ("600 Odd", TEXT),
        ("200 OK", [("X-A", "1\r\nX-B: 2")]),
        ("200 OK", [("X-A", "1\nX-B: 2")]),
        ("200 OK", [("X-A", "1\0")]),
        ("200 OK", [("X-A: 1\r\nX-B", "2")]),
        ("200 OK", [("", "1")]),
        ("200 OK", [("X-A", "€")]),
        ("200 OK", [("Connection", "close")]),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("Status", "404")]),
        ("200 OK", [("Content-Length", "many")]),
        ("200 OK", [("Content-Type", "a/b"), ("Content-Type", "a/b")]),
        ("200 OK", [*TEXT, ("Location", "/there")]),
    ],
)
def test_what_cannot_be_sent_is_refused_while_the_application_can_react(
    status: str, headers: list[tuple[str, str]]
) -> None:
    def app(_environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            start_response(status, headers)
        except ValueError:
            start_response("500 Internal Server Error", TEXT, sys.exc_info())
            return [b"sorry"]
        raise AssertionError("it was not refused")

    answer = get(app)
    assert (answer.status, answer.body) == (500, b"sorry")


def test_fields_that_are_refused_are_a_failure() -> None:
    with pytest.raises(ValueError, match="control character"):
        get(answering(b"x", headers=[("X-A", "1\r\n\r\n<script>")]))


def test_it_may_be_called_when_the_first_piece_is_made() -> None:
    answer = get(answering(b"", b"", b"late", status="201 Created"))
    assert (answer.status, answer.body) == (201, b"late")


def test_without_it_an_answer_is_a_failure() -> None:
    iterable = Closable([b"x"])
    with pytest.raises(ValueError, match="has not called start_response"):
        get(lambda _environ, _start_response: iterable)
    assert iterable.closed == 1


def test_it_is_called_once_unless_something_has_failed() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hello(environ, start_response)
        return hello(environ, start_response)

    with pytest.raises(ValueError, match="called already"):
        get(app)


def failing_after(*pieces: bytes) -> WSGIApplication:
    """What begins as a page and, where that is possible, goes on as an error."""

    def app(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("X-Page", "1")])
        yield from pieces
        try:
            raise LookupError("a bug")
        except LookupError:
            start_response("503 Service Unavailable", TEXT, sys.exc_info())
        yield b"sorry"

    return app


def test_a_failure_before_there_is_a_byte_to_send_replaces_the_header() -> None:
    answer = get(validator(failing_after(b"")))
    assert (answer.status, answer.body) == (503, b"sorry")
    assert "x-page" not in answer.headers


def test_a_failure_after_that_is_raised_again() -> None:
    with pytest.raises(LookupError, match="a bug"):
        get(failing_after(b"page"))


def test_a_failure_after_that_leaves_the_answer_incomplete() -> None:
    client = Client(from_wsgi(failing_after(b"page")), raise_errors=False)
    answer = client.get()
    assert (answer.status, answer.body, answer.exit_status) == (200, b"page", 1)
    assert "LookupError: a bug" in answer.log


def test_a_failure_after_something_was_written_is_raised_again() -> None:
    def app(_environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)(b"page")
        try:
            raise LookupError("a bug")
        except LookupError:
            start_response("503 Service Unavailable", TEXT, sys.exc_info())
        return []

    with pytest.raises(LookupError, match="a bug"):
        get(app)


# --- write ---


def writing(*pieces: bytes, returned: Iterable[bytes] = ()) -> WSGIApplication:
    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        for piece in pieces:
            write(piece)
        return returned

    return app


def test_what_is_written_comes_before_what_is_returned() -> None:
    assert get(validator(writing(b"a", b"", b"b", returned=[b"c"]))).body == b"abc"
    assert get(writing(b"a", b"b", returned=iter([b"c", b"d"]))).body == b"abcd"
    assert get(writing(b"a", returned=FileWrapper(io.BytesIO(b"bc")))).body == b"abc"


def test_what_is_written_has_its_length_where_nothing_is_returned() -> None:
    answer = get(writing(b"a", b"bc", returned=[]))
    assert (answer.body, answer.headers["content-length"]) == (b"abc", "3")


def test_only_bytes_are_written() -> None:
    with pytest.raises(TypeError, match="a piece of an answer is bytes, not str"):
        get(writing("text"))  # type: ignore[arg-type]


def test_what_is_written_while_a_piece_is_made_comes_before_it() -> None:
    """Which PEP 3333 forbids, and Mercurial does."""

    def app(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"a")
        yield b"b"
        write(b"c")
        write(b"d")
        yield b"e"
        write(b"f")

    assert get(app).body == b"abcdef"


def test_all_may_be_written_while_pieces_are_made() -> None:
    def app(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        write = start_response("200 OK", TEXT)
        yield from ()
        write(b"a")
        write(b"b")

    assert get(app).body == b"ab"


# --- the body ---


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_has_its_length(kind: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return kind([b"", b"one ", b"", b"two"])

    answer = get(app)
    assert (answer.body, answer.headers["content-length"]) == (b"one two", "7")


def test_a_generators_length_is_not_made_up() -> None:
    answer = get(answering(b"one ", b"two"))
    assert answer.body == b"one two"
    assert "content-length" not in answer.headers


def test_a_generators_length_is_the_applications_to_say() -> None:
    answer = get(validator(answering(b"one ", b"two", headers=[*TEXT, ("Content-Length", "7")])))
    assert (answer.body, answer.headers["content-length"]) == (b"one two", "7")


@pytest.mark.parametrize("length", ["6", "8"])
def test_another_length_than_it_says_is_an_incomplete_answer(length: str) -> None:
    app = answering(b"one ", b"two", headers=[*TEXT, ("Content-Length", length)])
    answer = Client(from_wsgi(app), raise_errors=False).get()
    assert answer.exit_status == 1
    assert len(answer.body) <= int(length)


@pytest.mark.parametrize("pieces", [[], [b""], (), iter([]), iter([b"", b""])])
def test_a_body_may_be_empty(pieces: Iterable[bytes]) -> None:
    _iterable, app = closable(pieces)
    answer = get(app)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("pieces", [["text"], [None], [b"x", "text"], "text", [bytearray(b"x")]])
def test_a_body_is_bytes(pieces: Any) -> None:
    def app(_environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return pieces

    with pytest.raises(TypeError, match="a piece of an answer is bytes, not "):
        get(app)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body_and_no_length(status: str) -> None:
    iterable, app = closable([], status)
    answer = get(validator(app))
    assert (answer.status, answer.body, answer.exit_status) == (int(status[:3]), b"", 0)
    assert not {"content-length", "content-type"} & answer.headers.keys()
    assert iterable.closed == 1


def test_head_leaves_the_body_out() -> None:
    answer = get(answering(b"hello", headers=[*TEXT, ("Content-Length", "5")]), method="HEAD")
    assert (answer.body, answer.headers["content-length"]) == (b"", "5")


def test_an_application_may_answer_head_without_a_body_and_no_length_is_made_up() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert environ["REQUEST_METHOD"] == "HEAD"
        start_response("200 OK", TEXT)
        return []

    assert "content-length" not in get(app, method="HEAD").headers


def test_no_type_is_made_up_for_an_empty_body() -> None:
    headers = [("Location", "/there"), ("Content-Length", "0")]
    answer = get(answering(status="303 See Other", headers=headers))
    assert (answer.status, answer.body) == (303, b"")
    assert "content-type" not in answer.headers


# --- close ---


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("pieces", [[], [b"x"], [b"x", b"y"], [b""]])
def test_the_iterable_is_closed_once(pieces: list[bytes], method: str) -> None:
    iterable, app = closable(pieces)
    get(app, method=method)
    assert iterable.closed == 1


def test_the_iterable_is_closed_where_the_answer_has_not_changed() -> None:
    iterable = Closable([b"x"])

    def app(_environ: Environ, start_response: StartResponse) -> Closable:
        start_response("200 OK", [*TEXT, ("ETag", '"1"')])
        return iterable

    answer = get(app, headers={"If-None-Match": '"1"'})
    assert (answer.status, iterable.closed) == (304, 1)


@pytest.mark.parametrize("after", [0, 1])
def test_the_iterable_is_closed_when_it_fails(after: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield from after * [b"x"]
        raise LookupError("a bug")

    iterable, app = closable(pieces())
    with pytest.raises(LookupError, match="a bug"):
        get(app)
    assert iterable.closed == 1


def test_the_iterable_is_closed_when_its_answer_cannot_be_sent() -> None:
    iterable = Closable([b"too long"])

    def app(_environ: Environ, start_response: StartResponse) -> Closable:
        start_response("200 OK", [*TEXT, ("Content-Length", "1")])
        return iterable

    answer = Client(from_wsgi(app), raise_errors=False).get()
    assert (answer.status, iterable.closed) == (500, 1)


# --- wsgi.file_wrapper ---


def wrapping(file: Any, *headers: tuple[str, str]) -> WSGIApplication:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, *headers])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4)
        return wrapped

    return app


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    return path


def test_a_file_is_handed_on_as_it_is(digits: Path) -> None:
    with digits.open("rb") as file:
        assert from_wsgi(wrapping(file))(Request(GET)).body is file


def test_a_file_is_sent_with_its_length_and_closed(digits: Path) -> None:
    file = digits.open("rb")
    answer = get(wrapping(file))
    assert (answer.body, answer.headers["content-length"]) == (b"0123456789", "10")
    assert file.closed


def test_a_file_is_sent_from_where_it_stands(digits: Path) -> None:
    file = digits.open("rb")
    file.seek(7)
    answer = get(wrapping(file))
    assert (answer.body, answer.headers["content-length"]) == (b"789", "3")


def test_of_a_file_no_more_is_sent_than_announced(digits: Path) -> None:
    assert get(wrapping(digits.open("rb"), ("Content-Length", "3"))).body == b"012"


def test_head_closes_a_file(digits: Path) -> None:
    file = digits.open("rb")
    answer = get(wrapping(file), method="HEAD")
    assert (answer.body, answer.headers["content-length"]) == (b"", "10")
    assert file.closed


class Readable:
    """The least that a file-like object has."""

    def __init__(self) -> None:
        self._pieces = [b"one ", b"two"]

    def read(self, _size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def test_what_can_be_read_is_sent_like_a_file() -> None:
    assert get(wrapping(io.BytesIO(b"in memory"))).body == b"in memory"
    packed = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"unpacked")))
    assert get(wrapping(packed)).body == b"unpacked"
    assert get(wrapping(Readable())).body == b"one two"


def test_a_wrapped_file_is_an_iterable_for_middleware(digits: Path) -> None:
    file = digits.open("rb")
    wrapped = FileWrapper(file, 4)
    assert list(wrapped) == [b"0123", b"4567", b"89"]
    wrapped.close()
    assert file.closed


# --- failures ---


def test_what_an_application_raises_is_the_handlers_failure() -> None:
    def app(_environ: Environ, _start_response: StartResponse) -> list[bytes]:
        raise LookupError("a bug")

    answer = Client(from_wsgi(app), raise_errors=False).get("/a")
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert answer.log.startswith("nativecgi: GET /cgi-bin/program/a: LookupError: a bug\n")
    assert "Traceback" in answer.log


def test_an_http_error_is_an_answer() -> None:
    def app(_environ: Environ, _start_response: StartResponse) -> list[bytes]:
        raise HTTPError(409, "Somebody was faster.")

    assert get(app).status == 409


# --- as a handler among others ---


def test_middleware_for_handlers_goes_around_it() -> None:
    answer = Client(cors(from_wsgi(hello))).get()
    assert answer.headers["access-control-allow-origin"] == "*"


def test_it_can_be_one_of_several_handlers() -> None:
    shop: Handler = from_wsgi(reading(lambda _body: "shop"))

    def handle(request: Request) -> Response:
        return shop(request) if request.parts[:1] == ["shop"] else nativecgi.text("handler")

    assert Client(handle).get("/shop/1").text == "'shop'"
    assert Client(handle).get("/other").text == "handler"


# --- a framework: Werkzeug, of which Flask is made ---


@WerkzeugRequest.application
def framework(request: WerkzeugRequest) -> WerkzeugResponse:
    request.max_content_length = 1000
    shown: list[object] = [
        request.url,
        request.path,
        *request.args.items(True),
        *request.form.items(True),
    ]
    shown += [(name, file.filename, file.read()) for name, file in request.files.items()]
    headers = WerkzeugHeaders([("X-Cookies", repr(dict(request.cookies)))])
    response = WerkzeugResponse(repr(shown), headers=headers)
    response.set_cookie("first", "1")
    response.set_cookie("second", "zwölf")
    return response


def test_a_framework_sees_the_address() -> None:
    answer = get(validator(framework), "/Zo%C3%AB/a%20b?x=%C3%A4&x=&y=1")
    url = "http://testserver/cgi-bin/program/Zoë/a%20b?x=ä&x=&y=1"
    assert answer.text == repr([url, "/Zoë/a b", ("x", "ä"), ("x", ""), ("y", "1")])
    assert answer.headers["content-length"] == str(len(answer.body))


def test_a_framework_sees_forms_and_uploads() -> None:
    assert "('name', 'Zoë')" in get(framework, method="POST", form={"name": "Zoë"}).text
    files = {"file": ("ä.txt", b"content", "text/plain")}
    answer = get(framework, method="POST", form={"name": "Zoë"}, files=files)
    assert "('name', 'Zoë'), ('file', 'ä.txt', b'content')" in answer.text


def test_a_framework_keeps_cookies() -> None:
    client = Client(from_wsgi(framework))
    client.get()
    assert "'first': '1'" in client.get().headers["x-cookies"]
    assert len(client.get().headers.getlist("set-cookie")) == 2


def test_a_framework_has_limits_of_its_own() -> None:
    answer = get(framework, method="POST", form={"name": 1000 * "x"})
    assert answer.status == RequestEntityTooLarge.code


def test_a_framework_knows_that_a_client_has_gone() -> None:
    @WerkzeugRequest.application
    def app(request: WerkzeugRequest) -> WerkzeugResponse:
        try:
            return WerkzeugResponse(request.get_data())
        except HTTPException as failure:
            return WerkzeugResponse(type(failure).__name__, failure.code)

    answer = get(app, **SHORT)
    assert (answer.status, answer.text) == (400, "ClientDisconnected")


# --- a whole program ---

TOP = """
import sys, time
from nativecgi import from_wsgi, run
TEXT = [("Content-Type", "text/plain")]
"""
BOTTOM = """
if __name__ == "__main__":
    run(from_wsgi(app))
"""
HEADER = b"Status: 200 OK\r\nContent-Type: text/plain\r\n"

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


def test_a_program_is_an_application_and_a_line(program: Write) -> None:
    done = run(program("""
def app(environ, start_response):
    start_response("200 OK", TEXT)
    return [environ["PATH_INFO"].encode("latin-1")]
"""), PATH_INFO="/Zoë")  # fmt: skip
    expected = HEADER + b"Content-Length: 5\r\n\r\n" + "/Zoë".encode()
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_a_programs_request_may_be_a_method_alone(program: Write) -> None:
    command = program("""
from wsgiref.validate import validator
@validator
def app(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]
""")
    bare = {"PYTHONPATH": GET["PYTHONPATH"], "REQUEST_METHOD": "GET"}
    done = subprocess.run(command, env=bare, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == HEADER + b"\r\nhello"


def test_a_programs_failure_is_500_with_a_traceback_in_the_log(program: Write) -> None:
    done = run(program("def app(environ, start_response): raise LookupError('secret')"))
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert done.stderr.startswith(b"nativecgi: GET /cgi-bin/program: LookupError: secret\n")


PIECES = """
class Pieces:
    def __iter__(self):
        yield b"one "
        sys.stdin.read(1)
        yield b"two"
    def close(self):
        print("closed")
def app(environ, start_response):
    start_response("200 OK", TEXT)
    return Pieces()
"""


def test_a_programs_piece_is_sent_before_the_next_is_made(program: Write) -> None:
    with running(program(PIECES)) as process:
        assert read_until(process.stdout, b"one ") == HEADER + b"\r\none "
        tell(process)
        assert rest(process.stdout) == b"two"
        assert rest(process.stderr) == b"closed\n"
    assert process.returncode == 0


def test_a_programs_iterable_is_closed_when_the_client_has_gone(program: Write) -> None:
    with running(program(PIECES)) as process:
        read_until(process.stdout, b"one ")
        assert process.stdout
        process.stdout.close()
        tell(process)
        log = rest(process.stderr)
    assert log == b"closed\nnativecgi: the answer could not be written: [Errno 32] Broken pipe\n"
    assert process.returncode == 1


def test_a_programs_iterable_is_closed_when_the_server_terminates_it(program: Write) -> None:
    with running(program(PIECES)) as process:
        read_until(process.stdout, b"one ")
        process.terminate()
        assert rest(process.stderr).startswith(b"closed\n")
    assert process.returncode == 1


def test_a_program_that_takes_too_long_is_504(program: Write) -> None:
    command = program("def app(environ, start_response): time.sleep(20)")
    assert run(command, NATIVECGI_MAX_SECONDS="1").stdout.startswith(b"Status: 504 ")


def test_a_program_sends_a_large_file(program: Write) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(range(256)) * 10_000)
        file.flush()
        done = run(program(f"""
def app(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open({file.name!r}, "rb"))
"""))  # fmt: skip
    assert done.stdout == HEADER + b"Content-Length: 2560000\r\n\r\n" + bytes(range(256)) * 10_000
