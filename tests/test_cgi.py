"""nativecgi.cgi: meta-variables and body in, header and body out, whatever happens."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nativecgi.request
from nativecgi import HTTPError, Request, Response, cgi, json, no_content, redirect, text
from nativecgi.response import Handler
from tests.test_encode import Parsed, parsed

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
        output = cgi.exchange(handler, env, stdin)
        return output, os.read(stdin, 65536)
    finally:
        os.close(stdin)


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
    monkeypatch.setattr(cgi, "DRAIN_LIMIT", 3)
    output, rest = exchange(ignore, posting(b"", 5), b"hello")
    assert parsed(output).body == b"ignored"
    assert rest == b"lo"


@pytest.mark.parametrize("handler", [echo, lambda request: json(request.json())])
def test_a_body_shorter_than_announced_is_400(handler: Handler) -> None:
    assert answer(handler, posting(b"", 9), b"[1, 2").status == 400


def test_a_body_shorter_than_announced_is_no_matter_to_who_does_not_read_it() -> None:
    assert answer(ignore, posting(b"", 9), b"[1, 2").body == b"ignored"


def test_a_body_over_the_limit_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nativecgi.request, "MAX_BODY", 4)
    output, rest = exchange(echo, posting(b"hello"), b"hello")
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
    assert parsed(cgi.exchange(ignore, posting(b"hello"), _closed_descriptor())).status == 200


def test_an_input_that_cannot_be_read_is_400_to_who_does() -> None:
    response = parsed(cgi.exchange(echo, posting(b"hello"), _closed_descriptor()))
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
    assert second == "Traceback (most recent call last):"
    assert last == "LookupError: no such key"


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
        failing(HTTPError(99)),
        failing(HTTPError(1000)),
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
