"""nativecgi.gateways.exchange: a request in and an answer out, whatever happens."""

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nativecgi import (
    HTTPError,
    Limits,
    Request,
    Response,
    file,
    json,
    local_redirect,
    no_content,
    redirect,
    stream,
    text,
)
from nativecgi.gateways import exchange as gateway
from nativecgi.message.body import close
from nativecgi.message.response import Handler, error
from nativecgi.process import report
from nativecgi.process.deadline import TimeLimitError
from nativecgi.transfer.send import Streamed, send
from tests.gateways.test_encode import Parsed, parsed

GET = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/cgi-bin/x", "PATH_INFO": "/a"}


def answer(handler: Handler, env: Mapping[str, str] = GET, body: bytes = b"") -> Parsed:
    """The answer to a request whose body is in a pipe that has been closed behind it."""
    output, _rest = exchange(handler, env, body)
    return parsed(output, head=env.get("REQUEST_METHOD") == "HEAD")


def exchange(handler: Handler, env: Mapping[str, str], body: bytes) -> tuple[bytes, bytes]:
    """The answer, and what is left of the standard input."""
    stdin, writer = os.pipe()
    try:
        os.write(writer, body)
        os.close(writer)
        return exchange_whole(handler, env, stdin), os.read(stdin, 65536)
    finally:
        os.close(stdin)


def exchange_whole(handler: Handler, env: Mapping[str, str], stdin: int) -> bytes:
    output = gateway.exchange(handler, env, stdin)
    assert isinstance(output, bytes)
    return output


def posting(body: bytes, length: int | None = None) -> dict[str, str]:
    announced = len(body) if length is None else length
    return GET | {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(announced)}


def greet(request: Request) -> Response:
    return text(f"Hello {request.parts[0]}")


def echo(request: Request) -> Response:
    return Response(request.read())


def ignore(request: Request) -> Response:
    return text("ignored")


def failing(failure: BaseException) -> Handler:
    def fail(request: Request) -> NoReturn:
        raise failure

    return fail


# --- answers ---


def test_the_handlers_response_is_the_answer() -> None:
    assert answer(greet).body == b"Hello a"


def test_head_gets_the_header_of_get_and_no_body() -> None:
    get, head = answer(greet), answer(greet, GET | {"REQUEST_METHOD": "HEAD"})
    assert head.fields == get.fields
    assert head.body == b""


@pytest.mark.parametrize("handler", [failing(LookupError()), failing(HTTPError(404, "None."))])
def test_head_gets_no_body_with_an_error_either(handler: Handler) -> None:
    head = answer(handler, GET | {"REQUEST_METHOD": "HEAD"})
    assert head.fields == answer(handler).fields
    assert head.body == b""


def test_an_http_error_is_an_answer_and_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    response = answer(failing(HTTPError(403, "Not you.")))
    assert (response.status, response.body) == (403, b"Not you.\n")
    assert capsys.readouterr().err == ""


# --- the body ---


def test_the_body_is_what_was_announced() -> None:
    output, rest = exchange(echo, posting(b"", 5), b"hello, and more")
    assert parsed(output).body == b"hello"
    assert rest == b", and more"


@pytest.mark.parametrize("env", [GET, GET | {"CONTENT_LENGTH": ""}, GET | {"CONTENT_LENGTH": "0"}])
def test_without_a_length_there_is_no_body_and_nothing_is_read(env: dict[str, str]) -> None:
    output, rest = exchange(echo, env, b"not for us")
    assert parsed(output).body == b""
    assert rest == b"not for us"


def test_a_body_that_the_handler_left_is_drained() -> None:
    output, rest = exchange(ignore, posting(b"", 5), b"hello, and more")
    assert parsed(output).body == b"ignored"
    assert rest == b", and more"


def test_a_body_that_the_handler_left_half_read_is_drained() -> None:
    def peek(request: Request) -> Response:
        return Response(request.body.read(1))

    _output, rest = exchange(peek, posting(b"", 5), b"hello, and more")
    assert rest == b", and more"


def test_a_body_is_drained_after_a_failure_too() -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        _output, rest = exchange(failing(LookupError()), posting(b"", 5), b"hello, and more")
    assert rest == b", and more"


def test_a_long_body_is_drained_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nativecgi.transfer.body.DRAIN_LIMIT", 3)
    output, rest = exchange(ignore, posting(b"", 5), b"hello")
    assert parsed(output).body == b"ignored"
    assert rest == b"lo"


@pytest.mark.parametrize("handler", [echo, lambda request: json(request.json())])
def test_a_body_shorter_than_announced_is_400(handler: Handler) -> None:
    assert answer(handler, posting(b"", 9), b"[1, 2").status == 400


def test_a_body_shorter_than_announced_is_no_matter_to_who_does_not_read_it() -> None:
    assert answer(ignore, posting(b"", 9), b"[1, 2").body == b"ignored"


def test_a_body_over_the_limit_is_413() -> None:
    limited = posting(b"hello") | {"NATIVECGI_MAX_BODY": "4"}
    output, rest = exchange(echo, limited, b"hello")
    assert parsed(output).status == 413
    assert rest == b""


@pytest.mark.parametrize("length", ["+1", " 1", "1e3", "-1", "१", "9" * 40])
def test_a_malformed_length_is_400_and_the_handler_not_called(length: str) -> None:
    response = answer(failing(LookupError()), GET | {"CONTENT_LENGTH": length})
    assert response.status == 400


def test_closing_the_body_of_one_request_is_no_matter_to_the_next() -> None:
    def close(request: Request) -> Response:
        with request.body:
            return no_content()

    assert answer(close).status == 204
    assert answer(echo).body == b""


def test_an_input_that_cannot_be_read_is_no_matter_to_who_does_not_read_it() -> None:
    assert parsed(exchange_whole(ignore, posting(b"hello"), _closed_descriptor())).status == 200


def test_an_input_that_cannot_be_read_is_400_to_who_does() -> None:
    response = parsed(exchange_whole(echo, posting(b"hello"), _closed_descriptor()))
    assert response.status == 400


def _closed_descriptor() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


# --- failures ---


class CannotBeShown(Exception):
    def __str__(self) -> str:
        raise RuntimeError("twice")


class Interrupted(BaseException):
    """Not an Exception, as asyncio.CancelledError is not."""


FAILURES = [
    LookupError("secret"),
    SystemExit("secret"),
    RecursionError("secret"),
    UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
    LookupError("secret \ud800 \udcff \0 \x1b"),
    ExceptionGroup("secret", [LookupError("secret")]),
    CannotBeShown("secret"),
    Interrupted("secret"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("debug", ["", "1"], ids=["live", "debug"])
def test_whatever_is_raised_becomes_500(failure: BaseException, debug: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as log:
        response = answer(failing(failure), GET | {"NATIVECGI_DEBUG": debug})
    assert response.status == 500
    assert type(failure).__name__ in log.getvalue()


def test_the_page_tells_nothing_of_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    response = answer(failing(LookupError("secret")))
    assert response.body == b"Internal Server Error\n"
    assert response.values(b"content-type") == [b"text/plain; charset=utf-8"]


@pytest.mark.parametrize("value", ["", "0", "true", "yes"])
def test_the_page_tells_nothing_unless_debugging_is_1(value: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        response = answer(failing(LookupError("secret")), GET | {"NATIVECGI_DEBUG": value})
    assert b"secret" not in response.body


def test_a_client_cannot_turn_debugging_on() -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        response = answer(failing(LookupError("secret")), GET | {"HTTP_NATIVECGI_DEBUG": "1"})
    assert b"secret" not in response.body


def test_the_page_shows_a_failure_escaped_when_debugging() -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        response = answer(failing(LookupError("<script>&")), GET | {"NATIVECGI_DEBUG": "1"})
    assert response.status == 500
    assert response.values(b"content-type") == [b"text/html; charset=utf-8"]
    assert b"LookupError: &lt;script&gt;&amp;" in response.body
    assert b"Traceback (most recent call last)" in response.body
    assert b"<script>" not in response.body


def test_the_report_is_a_line_and_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    answer(failing(LookupError("no such key")))
    first, second, *_lines, last = capsys.readouterr().err.splitlines()
    assert first == "nativecgi: GET /cgi-bin/x/a: LookupError: no such key"
    assert second == "  Traceback (most recent call last):"
    assert last == "  LookupError: no such key"


def test_the_reports_first_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    env = GET | {"REQUEST_METHOD": "GET\n", "PATH_INFO": "/\r\n\x1b[2J/ä\udcff"}
    answer(failing(LookupError("a\nb")), env)
    assert capsys.readouterr().err.splitlines()[0] == (
        r"nativecgi: GET\n /cgi-bin/x/\r\n\x1b[2J/\xe4\udcff: LookupError: a\nb"
    )


def test_a_failure_with_a_cause_is_reported_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(request: Request) -> NoReturn:
        raise ValueError("no key") from KeyError("key")

    answer(fail)
    assert "KeyError: 'key'" in capsys.readouterr().err


@pytest.mark.parametrize("returned", [None, "text", b"bytes", ("x", 200), {"a": 1}])
def test_a_handler_that_returns_no_response_is_500(
    returned: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(lambda _request: returned).status == 500
    assert "TypeError: a handler returns a Response, not" in capsys.readouterr().err


@pytest.mark.parametrize(
    "handler",
    [
        lambda _request: Response(b"", 99),
        lambda _request: Response(b"", 600),
        lambda _request: Response(7),  # type: ignore[arg-type]
        lambda _request: redirect("/\r\nSet-Cookie: a=1"),
        lambda _request: error(600),
        lambda _request: failing(HTTPError(99))(_request),
        lambda _request: failing(HTTPError(600))(_request),
        lambda _request: failing(HTTPError("404 Not Found"))(_request),  # type: ignore[arg-type]
        failing(HTTPError(403, "", {"X\r\nA": "1"})),
    ],
)
def test_what_cannot_be_sent_is_500(handler: Handler) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as log:
        response = answer(handler)
    assert response.status == 500
    assert response.values(b"set-cookie") == []
    assert log.getvalue().startswith("nativecgi: GET /cgi-bin/x/a: ")


class FullLog(io.StringIO):
    """An error log on a full disk."""

    def write(self, _text: str, /) -> NoReturn:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("log", [None, FullLog()], ids=["closed", "full"])
def test_a_failure_that_cannot_be_reported_is_500_all_the_same(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", log)
    assert answer(failing(LookupError())).status == 500


# What a client or a message has in it is no line of the log, and no control sequence of a terminal.
BREAKS = "\r\n\v\f\x1b\x85\u2028\u2029"


def test_each_line_of_the_report_but_the_first_is_indented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    env = GET | {"PATH_INFO": f"/{BREAKS}nativecgi: forged"}
    failure = LookupError(f"{BREAKS}nativecgi: forged")
    failure.add_note(f"a note{BREAKS}nativecgi: forged")
    failure.__cause__ = ValueError(f"a cause{BREAKS}nativecgi: forged")
    answer(failing(failure), env)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(
        r"nativecgi: GET /cgi-bin/x/\r\n\x0b\x0c\x1b\x85\u2028\u2029nativecgi: "
    )
    assert len(others) > 5
    assert all(line.startswith("  ") for line in others)


@pytest.mark.parametrize("character", [*BREAKS.replace("\n", ""), "\0", "\x07", "\x7f", "\x9b"])
def test_a_control_character_in_a_traceback_is_escaped(
    character: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(failing(LookupError(f"a{character}b")))
    lines = capsys.readouterr().err.split("\n")
    assert lines[-2] == "  LookupError: a" + ascii(character)[1:-1].replace(r"\r", r"\x0d") + "b"
    assert all(character not in line for line in lines)


def test_other_text_in_a_traceback_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    answer(failing(LookupError("ä€😀")))
    assert capsys.readouterr().err.endswith("\n  LookupError: ä€😀\n")


def test_a_note_is_at_the_end_of_the_reports_first_line() -> None:
    text_ = report.report(LookupError("a bug"), GET, note=" (the answer is incomplete)")
    assert text_ == (
        "nativecgi: GET /cgi-bin/x/a: LookupError: a bug (the answer is incomplete)\n"
        "  LookupError: a bug\n"
    )


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise LookupError
        return super().__getattribute__(name)


class Unshowable(Exception, metaclass=Nameless):
    pass


def test_a_failure_that_cannot_be_shown_is_500_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answer(failing(Unshowable())).status == 500
    first, second, *functions = capsys.readouterr().err.splitlines()
    assert first == "nativecgi: GET /cgi-bin/x/a: Unshowable"
    assert second == "  its traceback cannot be shown: LookupError"
    assert functions[-1].endswith(", in fail")


# --- conditional requests ---


def tagged(request: Request) -> Response:
    headers = {"ETag": '"v1"', "Accept-Ranges": "bytes"}
    return Response(b"0123456789", headers=headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("HTTP_IF_NONE_MATCH", '"v1"', 304),
        ("HTTP_IF_NONE_MATCH", '"v2"', 200),
        ("HTTP_IF_MATCH", '"v1"', 200),
        ("HTTP_IF_MATCH", '"v2"', 412),
        ("HTTP_IF_RANGE", '"v1"', 200),
    ],
)
def test_a_condition_is_evaluated(method: str, field: str, value: str, status: int) -> None:
    env = GET | {"REQUEST_METHOD": method, field: value}
    assert answer(tagged, env).status == status


def test_a_range_is_sent_and_nothing_else() -> None:
    response = answer(tagged, GET | {"HTTP_RANGE": "bytes=2-4"})
    assert (response.status, response.body) == (206, b"234")
    assert response.values(b"content-range") == [b"bytes 2-4/10"]


def test_a_range_that_is_not_there_is_416() -> None:
    response = answer(tagged, GET | {"HTTP_RANGE": "bytes=10-"})
    assert response.status == 416
    assert response.values(b"content-range") == [b"bytes */10"]


def test_a_condition_of_post_is_the_handlers() -> None:
    assert answer(tagged, posting(b"") | {"HTTP_IF_NONE_MATCH": '"v1"'}).status == 200


def test_a_condition_that_fails_on_the_way_is_500_and_closes_the_body() -> None:
    opened = io.BytesIO(b"x")
    env = GET | {"HTTP_IF_NONE_MATCH": '"v1"'}
    with contextlib.redirect_stderr(io.StringIO()) as log:
        response = answer(lambda _request: Response(opened, headers={"no name": "1"}), env)
    assert response.status == 500
    assert opened.closed
    assert "is not a header field's name" in log.getvalue()


# --- bodies in pieces ---


def streamed(pieces: Any, env: Mapping[str, str] = GET) -> bytes | Streamed:
    stdin = os.open(os.devnull, os.O_RDONLY)
    try:
        return gateway.exchange(lambda _request: stream(pieces), env, stdin)
    finally:
        os.close(stdin)


def test_a_stream_is_left_to_be_sent() -> None:
    output = streamed([b"a", b"b"])
    assert isinstance(output, Streamed)
    assert output.head.endswith(b"\r\n\r\na")


def test_a_stream_that_fails_at_first_is_500_and_closed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Pieces:
        closed = False

        def __iter__(self) -> NoReturn:
            raise LookupError("a bug")

        def close(self) -> None:
            self.closed = True

    pieces = Pieces()
    output = streamed(pieces)
    assert isinstance(output, bytes)
    assert parsed(output).status == 500
    assert pieces.closed
    assert capsys.readouterr().err.startswith("nativecgi: GET /cgi-bin/x/a: LookupError: a bug\n")


def test_an_answer_that_cannot_be_sent_is_closed() -> None:
    opened = io.BytesIO(b"x")
    with contextlib.redirect_stderr(io.StringIO()):
        assert answer(lambda _request: Response(opened, 99)).status == 500
    assert opened.closed


def test_the_body_of_a_request_is_gone_once_its_answer_is_returned() -> None:
    def handle(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"a"
            yield request.read()

        return stream(pieces())

    stdin, writer = os.pipe()
    os.write(writer, b"hello")
    os.close(writer)
    output = gateway.exchange(handle, posting(b"hello"), stdin)
    assert isinstance(output, Streamed)
    assert output.rest is not None
    with pytest.raises(ValueError, match="the body is gone: read it before"):
        next(output.rest)
    os.close(stdin)


def test_the_body_of_a_request_may_be_read_for_the_first_piece() -> None:
    def handle(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield request.read()

        return stream(pieces())

    stdin, writer = os.pipe()
    os.write(writer, b"hello")
    os.close(writer)
    output = gateway.exchange(handle, posting(b"hello"), stdin)
    assert isinstance(output, Streamed)
    assert output.head.endswith(b"\r\n\r\nhello")
    os.close(stdin)


# --- NPH (RFC 3875 5) ---

NPH = GET | {"SCRIPT_NAME": "/cgi-bin/nph-x", "SERVER_PROTOCOL": "HTTP/1.1"}


@pytest.mark.parametrize("name", ["/nph-x", "/cgi-bin/nph-x", "/nph-", "/cgi-bin/nph-x.cgi"])
def test_a_program_of_that_name_writes_the_whole_answer(name: str) -> None:
    output, _rest = exchange(greet, NPH | {"SCRIPT_NAME": name}, b"")
    assert output.startswith(b"HTTP/1.1 200 OK\r\n")
    assert output.endswith(b"\r\n\r\nHello a")


@pytest.mark.parametrize("name", ["/x", "/nph", "/a-nph-x", "/nph-x/y", "/cgi-bin/xnph-", ""])
def test_a_program_of_another_name_does_not(name: str) -> None:
    assert answer(greet, NPH | {"SCRIPT_NAME": name}).body == b"Hello a"


def test_an_nph_programs_path_makes_no_difference() -> None:
    assert answer(greet, GET | {"PATH_INFO": "/nph-x"}).body == b"Hello nph-x"


@pytest.mark.parametrize(
    ("handler", "env", "line"),
    [
        (failing(LookupError("secret")), {}, b"HTTP/1.1 500 Internal Server Error\r\n"),
        (failing(HTTPError(404)), {}, b"HTTP/1.1 404 Not Found\r\n"),
        (greet, {"CONTENT_LENGTH": "x"}, b"HTTP/1.1 400 Bad Request\r\n"),
        (tagged, {"HTTP_IF_NONE_MATCH": "*"}, b"HTTP/1.1 304 Not Modified\r\n"),
        (lambda _request: local_redirect("/"), {}, b"HTTP/1.1 500 Internal Server Error\r\n"),
        (greet, {"REQUEST_METHOD": "HEAD", "SERVER_PROTOCOL": ""}, b"HTTP/1.1 200 OK\r\n"),
    ],
)
def test_an_nph_program_writes_its_errors_as_whole_answers_too(
    handler: Handler, env: dict[str, str], line: bytes
) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        output, _rest = exchange(handler, NPH | env, b"")
    assert output.startswith(line)


def test_an_nph_programs_stream_is_in_chunks() -> None:
    output = streamed([b"a", b"b"], NPH)
    assert isinstance(output, Streamed)
    assert output.in_chunks
    assert output.head.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")


@pytest.mark.parametrize("protocol", [{}, {"SERVER_PROTOCOL": "HTTP/1.0"}])
def test_an_nph_programs_stream_is_in_no_chunks_for_an_older_client(
    protocol: dict[str, str],
) -> None:
    env = GET | {"SCRIPT_NAME": "/nph-x"} | protocol
    output = streamed([b"a"], env)
    assert isinstance(output, Streamed)
    assert not output.in_chunks
    assert output.head.endswith(b"\r\n\r\na")


# --- the time limit ---


def timer() -> float:
    """The seconds that are left until SIGALRM."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


def tell_time(request: Request) -> Response:
    return text(f"{timer():.0f}")


@pytest.mark.parametrize(
    ("limits", "variable", "seconds"),
    [
        (Limits(), "", b"0"),
        (Limits(), "0", b"0"),
        (Limits(), "500", b"500"),
        (Limits(max_seconds=600), "", b"600"),
        (Limits(max_seconds=600), "500", b"500"),
        (Limits(max_seconds=600), "0", b"0"),
    ],
)
def test_a_handler_has_the_time_of_the_limit_and_the_variable_wins(
    limits: Limits, variable: str, seconds: bytes
) -> None:
    env = GET | {"NATIVECGI_MAX_SECONDS": variable}
    output = gateway.exchange(tell_time, env, 0, limits)
    assert isinstance(output, bytes)
    assert parsed(output).body == seconds
    assert timer() == 0


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "1s", " 1", "१"])
def test_a_malformed_time_is_500_and_the_log_says_which(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    response = answer(failing(HTTPError(404)), GET | {"NATIVECGI_MAX_SECONDS": value})
    assert response.status == 500
    assert "the variable NATIVECGI_MAX_SECONDS of the env" in capsys.readouterr().err.split("\n")[0]


def test_a_handler_that_is_late_is_504(capsys: pytest.CaptureFixture[str]) -> None:
    response = answer(failing(TimeLimitError("late")))
    assert (response.status, response.body) == (504, b"Gateway Timeout\n")
    assert capsys.readouterr().err.startswith("nativecgi: GET /cgi-bin/x/a: ")


@pytest.mark.parametrize(
    "handler",
    [
        greet,
        failing(LookupError()),
        failing(HTTPError(404)),
        lambda _request: file(__file__),
        lambda _request: Response(b"", 99),
    ],
)
def test_what_comes_after_the_handler_is_not_its_time(handler: Handler) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        output = gateway.exchange(handler, GET, 0, Limits(max_seconds=500))
    assert timer() == 0
    if isinstance(output, Streamed):
        close(output.source)


def test_the_pieces_of_a_stream_are_the_handlers_time() -> None:
    seen = []

    def pieces() -> Iterator[bytes]:
        yield b"a"
        seen.append(timer())
        yield b"b"

    output = gateway.exchange(lambda _request: stream(pieces()), GET, 0, Limits(max_seconds=500))
    assert isinstance(output, Streamed)
    assert timer() == 0
    with open(os.devnull, "wb") as nowhere:
        send(output, nowhere.fileno())
    assert 400 < seen[0] <= 500
    assert timer() == 0


# --- any environment at all ---

VARIABLES = [
    "AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE GATEWAY_INTERFACE HTTPS HTTP_ HTTP_ACCEPT",
    "HTTP_CONTENT_TYPE HTTP_COOKIE HTTP_HOST HTTP_ORIGIN NATIVECGI_DEBUG PATH_INFO",
    "PATH_TRANSLATED QUERY_STRING REMOTE_ADDR REMOTE_USER REQUEST_METHOD REQUEST_SCHEME",
    "SCRIPT_NAME SERVER_NAME SERVER_PORT SERVER_PROTOCOL",
]
ENVIRONMENTS = st.dictionaries(
    st.sampled_from(" ".join(VARIABLES).split()) | st.text(max_size=5),
    st.text(st.characters(), max_size=20)
    | st.sampled_from(["", "1", "5", "HEAD", "POST", "%FF=%0D%0A", "/a/%00", "\udcff"]),
)


def read_everything(request: Request) -> Response:
    names = [name for name in dir(Request) if not name.startswith("_")]
    values = {name: getattr(request, name) for name in names}
    shown = {name: repr(value) for name, value in values.items() if not callable(value)}
    return json(shown | {"fields": repr(dict(request.headers)), "read": len(request.read())})


def reflect(request: Request) -> Response:
    return text(request.path, headers=[("X-Path", request.path), (request.path, "1")])


def fail_with_the_path(request: Request) -> NoReturn:
    raise LookupError(request.path)


def refuse_with_the_path(request: Request) -> NoReturn:
    raise HTTPError(400, request.path, {"X-Path": request.path})


HANDLERS: list[Callable[[Request], Response]] = [
    read_everything,
    reflect,
    fail_with_the_path,
    refuse_with_the_path,
    echo,
    lambda request: json(request.json()),
    lambda request: redirect(request.url),
    lambda request: Response(request.path, len(request.path)),
]


@settings(deadline=None)
@given(st.sampled_from(HANDLERS), ENVIRONMENTS, st.binary(max_size=20))
@example(reflect, {"PATH_INFO": "\x01"}, b"")
@example(fail_with_the_path, {"PATH_INFO": "\ud800", "NATIVECGI_DEBUG": "1"}, b"")
def test_whatever_the_server_sets_there_is_an_answer(
    handler: Handler, env: dict[str, str], body: bytes
) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        answer(handler, env, body)


@settings(deadline=None)
@given(ENVIRONMENTS)
@example({"HTTP_CONTENT_TYPE": ""})
def test_whatever_the_server_sets_can_be_read(env: dict[str, str]) -> None:
    fine = {name: value for name, value in env.items() if _is_text(value)}
    fine["CONTENT_LENGTH"] = "0"
    with contextlib.redirect_stderr(io.StringIO()) as log:
        response = answer(read_everything, fine)
    assert response.status == 200, log.getvalue()


def _is_text(value: str) -> bool:
    """Whether an environment can hold it: bytes, as text of UTF-8 with surrogates for others."""
    return re.search("[\ud800-\udc7f\udd00-\udfff]", value) is None


def test_an_http_error_before_the_first_piece_is_an_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def pieces() -> Iterator[bytes]:
        raise HTTPError(409, "Somebody was faster.")
        yield b""

    response = answer(lambda _request: stream(pieces()))
    assert (response.status, response.body) == (409, b"Somebody was faster.\n")
    assert capsys.readouterr().err == ""


def test_a_condition_does_not_cost_a_response_its_fields() -> None:
    def handle(request: Request) -> Response:
        return Response(b"x", 200, zip(["X-A"], ["1"], strict=True))

    assert answer(handle, GET | {"HTTP_RANGE": "bytes=0-"}).values(b"x-a") == [b"1"]


def test_a_body_in_a_coding_that_is_not_known_is_501_and_drained() -> None:
    output, rest = exchange(echo, GET | {"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, b"packed")
    assert (parsed(output).status, rest) == (501, b"")
