"""nativecgi.message.response: the constructors, and what a handler may raise instead."""

import inspect
from collections.abc import Callable, Iterable
from datetime import date
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

import nativecgi
from nativecgi import (
    HTTPError,
    Request,
    Response,
    bad_request,
    event_stream,
    file,
    html,
    json,
    local_redirect,
    method_not_allowed,
    no_content,
    not_found,
    redirect,
    stream,
    text,
    unauthorized,
)
from nativecgi.gateways.encode import encode as encode_any
from nativecgi.message.body import close
from nativecgi.message.headers import HeaderFields
from nativecgi.message.response import answered, error, phrase
from nativecgi.transfer.send import Streamed

PLAIN = ("Content-Type", "text/plain; charset=utf-8")
PAGE = ("Content-Type", "text/html; charset=utf-8")
JSON = ("Content-Type", "application/json")


def encode(response: Response) -> bytes:
    """What is sent at first: all of it, unless it is a file's or in pieces."""
    try:
        output = encode_any(response)
        return output.head if isinstance(output, Streamed) else output
    finally:
        close(response.body)


class Point(msgspec.Struct):
    x: int
    day: date


@pytest.mark.parametrize(
    ("response", "status", "fields", "body"),
    [
        (Response(), 200, [], b""),
        (Response(b"\x89PNG", 201), 201, [], b"\x89PNG"),
        (text("ä"), 200, [PLAIN], "ä"),
        (text("no", 403), 403, [PLAIN], "no"),
        (html("<p>ä"), 200, [PAGE], "<p>ä"),
        (html("<p>no", 403), 403, [PAGE], "<p>no"),
        (json({"a": [1, None, "ä"]}), 200, [JSON], '{"a":[1,null,"ä"]}'.encode()),
        (json(Point(1, date(2024, 2, 29))), 200, [JSON], b'{"x":1,"day":"2024-02-29"}'),
        (json([], 201), 201, [JSON], b"[]"),
        (redirect("/a"), 302, [("Location", "/a")], b""),
        (redirect("https://a.example/", 301), 301, [("Location", "https://a.example/")], b""),
        (no_content(), 204, [], b""),
        (not_found(), 404, [PLAIN], "Not Found\n"),
        (not_found("No such page."), 404, [PLAIN], "No such page.\n"),
        (bad_request(), 400, [PLAIN], "Bad Request\n"),
        (bad_request("x is missing."), 400, [PLAIN], "x is missing.\n"),
        (
            method_not_allowed("GET", "POST"),
            405,
            [("Allow", "GET, POST, HEAD"), PLAIN],
            "Method Not Allowed\n",
        ),
        (method_not_allowed(), 405, [("Allow", ""), PLAIN], "Method Not Allowed\n"),
        (error(418), 418, [PLAIN], "I'm a Teapot\n"),
    ],
)
def test_a_constructor_sets_status_fields_and_body(
    response: Response, status: int, fields: list[tuple[str, str]], body: bytes | str
) -> None:
    assert (response.status, list(response.headers), response.body) == (status, fields, body)


# Every constructor that takes header fields, with something to make a response of.
CONSTRUCTORS: dict[str, Callable[[HeaderFields], Response]] = {
    "Response": lambda headers: Response(b"x", headers=headers),
    "text": lambda headers: text("x", headers=headers),
    "html": lambda headers: html("x", headers=headers),
    "json": lambda headers: json("x", headers=headers),
    "redirect": lambda headers: redirect("/", headers=headers),
    "no_content": lambda headers: no_content(headers),
    "not_found": lambda headers: not_found(headers=headers),
    "bad_request": lambda headers: bad_request(headers=headers),
    "method_not_allowed": lambda headers: method_not_allowed(headers=headers),
    "unauthorized": lambda headers: unauthorized("x", headers=headers),
    "stream": lambda headers: stream([b"x"], headers=headers),
    "file": lambda headers: file(__file__, headers=headers),
    "event_stream": lambda headers: event_stream(["x"], headers=headers),
    "error": lambda headers: error(503, headers=headers),
    "HTTPError": lambda headers: raised(HTTPError(503, "", headers)),
}
every_constructor = pytest.mark.parametrize("make", CONSTRUCTORS.values(), ids=CONSTRUCTORS)


def test_these_are_all_that_take_header_fields() -> None:
    exported = {name: getattr(nativecgi, name) for name in nativecgi.__all__}
    takers = {
        name
        for name, thing in exported.items()
        if callable(thing) and "headers" in _parameters(thing)
    }
    assert takers == CONSTRUCTORS.keys() - {"error"}


def _parameters(thing: Callable[..., object]) -> Iterable[str]:
    try:
        return inspect.signature(thing).parameters
    except (TypeError, ValueError):  # the alias Handler
        return ()


def raised(failure: Exception) -> Response:
    def handle(request: Request) -> Response:
        raise failure

    return answered(handle, Request({}))


@every_constructor
def test_header_fields_can_be_a_mapping(make: Callable[[HeaderFields], Response]) -> None:
    assert b"\r\nX-A: 1\r\n" in encode(make({"X-A": "1"}))


@every_constructor
def test_header_fields_can_repeat(make: Callable[[HeaderFields], Response]) -> None:
    output = encode(make([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    assert b"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in output


@every_constructor
def test_header_fields_are_left_as_the_handler_had_them(
    make: Callable[[HeaderFields], Response],
) -> None:
    fields = [("X-A", "1")]
    encode(make(fields))
    assert fields == [("X-A", "1")]


@every_constructor
@pytest.mark.parametrize("name", ["X\r\nY", "X\n", "X\r", "X\0", "X: a\r\nY", "", "X Y"])
def test_what_is_no_name_is_refused(make: Callable[[HeaderFields], Response], name: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(make([(name, "1")]))


@every_constructor
@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=2", "a\n", "\na", "a\r", "\0", "\r\n\r\n"])
def test_a_value_that_breaks_the_line_is_refused(
    make: Callable[[HeaderFields], Response], value: str
) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(make([("X-A", value)]))


@pytest.mark.parametrize("location", ["/\r\nSet-Cookie: a=1", "/\n", "/\r", "/\0"])
def test_a_location_that_breaks_the_line_is_refused(location: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(redirect(location))


def test_a_method_that_breaks_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(method_not_allowed("GET\r\nSet-Cookie: a=1"))


# RFC 9110 10.2.2: a URI reference, which is ASCII (RFC 3986 2).
@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/ä", b"/%C3%A4"),
        ("/a b", b"/a%20b"),
        ("/a%20b", b"/a%20b"),
        ("https://a.example:81/x;y=(1)?q=a+b&c[]=%20#end", None),
        ("../up", None),
        ("//b.example/", None),
    ],
)
def test_a_location_is_sent_as_a_uri(location: str, sent: bytes | None) -> None:
    line = b"\r\nLocation: " + (sent or location.encode()) + b"\r\n"
    assert line in encode(redirect(location))


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
@pytest.mark.parametrize("make", [text, html, json])
def test_a_media_type_of_ones_own_replaces_the_usual(
    make: Callable[..., Response], name: str
) -> None:
    response = make("x", headers={name: "text/csv"})
    assert list(response.headers) == [(name, "text/csv")]


def test_json_of_what_has_no_json_is_the_handlers_fault() -> None:
    with pytest.raises(TypeError):
        json(object())


# --- JSON of what came with a request ---

# As bytes of a request are kept that are no UTF-8.
RAW = b"a\xff".decode("utf-8", "surrogateescape")


class Named(msgspec.Struct):
    name: str


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (RAW, '"a\ufffd"'),
        ([RAW, 1, None], '["a\ufffd",1,null]'),
        ({"x": {RAW: [RAW]}}, '{"x":{"a\ufffd":["a\ufffd"]}}'),
        ((RAW,), '["a\ufffd"]'),
        (Named(RAW), '{"name":"a\ufffd"}'),
        ([Named(RAW), date(2024, 2, 29), b"\xff"], '[{"name":"a\ufffd"},"2024-02-29","/w=="]'),
        (["ä€😀", RAW], '["ä€😀","a\ufffd"]'),
    ],
)
def test_json_of_bytes_that_are_no_utf8_has_a_replacement(value: Any, body: str) -> None:
    assert json(value).body == body.encode()


def test_json_of_bytes_that_are_no_utf8_can_be_read() -> None:
    body = json([RAW] * 3).body
    assert isinstance(body, bytes)
    assert msgspec.json.decode(body) == ["a\ufffd"] * 3


# --- stream, local_redirect, unauthorized ---


def test_a_stream_is_its_pieces_as_they_are() -> None:
    pieces = iter([b"a"])
    answer = stream(pieces, "text/csv", 201, [("X-A", "1")])
    assert answer.body is pieces
    assert answer.status == 201
    assert answer.headers == [("X-A", "1"), ("Content-Type", "text/csv")]


def test_a_stream_is_of_bytes_where_nobody_says_what_of() -> None:
    assert stream([]).headers == [("Content-Type", "application/octet-stream")]


def test_a_local_redirect_is_a_location_and_no_more() -> None:
    answer = local_redirect("/a b?ä")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers == [("Location", "/a%20b?%C3%A4")]


# RFC 7617 2 and 2.1.
@pytest.mark.parametrize(
    ("realm", "quoted"),
    [
        ("WallyWorld", "WallyWorld"),
        ("foo, bar=1", "foo, bar=1"),
        ('a "b" \\c', 'a \\"b\\" \\\\c'),
        ("", ""),
    ],
)
def test_unauthorized_asks_for_a_name_and_password(realm: str, quoted: str) -> None:
    answer = unauthorized(realm)
    assert (answer.status, answer.body) == (401, "Unauthorized\n")
    challenge = f'Basic realm="{quoted}", charset="UTF-8"'
    assert list(answer.headers) == [("WWW-Authenticate", challenge), PLAIN]


def test_unauthorized_may_say_why() -> None:
    assert unauthorized("x", "Wrong password.").body == "Wrong password.\n"


@pytest.mark.parametrize("realm", ["a\r\nSet-Cookie: a=1", "\0"])
def test_a_realm_that_breaks_the_line_is_refused(realm: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(unauthorized(realm))


@pytest.mark.parametrize("path", ["/\r\nSet-Cookie: a=1", "/\n", "/\0"])
def test_a_local_redirect_that_breaks_the_line_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(local_redirect(path))


# --- phrases, and what a handler may do instead ---


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "OK"),
        (308, "Permanent Redirect"),
        (429, "Too Many Requests"),
        (451, "Unavailable For Legal Reasons"),
        (299, "Success"),
        (399, "Redirection"),
        (499, "Client Error"),
        (599, "Server Error"),
    ],
)
def test_every_status_has_a_phrase(status: int, words: str) -> None:
    assert phrase(status) == words


def test_what_a_handler_returns_is_the_answer() -> None:
    answer = text("x")
    assert answered(lambda _request: answer, Request({})) is answer


def test_an_http_error_is_an_answer() -> None:
    answer = raised(HTTPError(403, "Not you."))
    assert (answer.status, list(answer.headers), answer.body) == (403, [PLAIN], "Not you.\n")


def test_an_http_error_without_a_message_says_its_phrase() -> None:
    assert raised(HTTPError(HTTPStatus.GONE)).body == "Gone\n"


def test_an_http_error_can_have_header_fields() -> None:
    answer = raised(HTTPError(401, "", {"WWW-Authenticate": "Basic"}))
    assert list(answer.headers) == [("WWW-Authenticate", "Basic"), PLAIN]


def test_an_http_error_from_nested_code_is_an_answer() -> None:
    def load(key: str) -> str:
        try:
            return {"a": "1"}[key]
        except KeyError:
            raise HTTPError(404, f"No {key}.") from None

    def handle(request: Request) -> Response:
        return text(load("b"))

    assert answered(handle, Request({})).body == "No b.\n"


def test_an_http_error_can_be_caught_by_its_status() -> None:
    failure = HTTPError(409, "Twice.")
    assert isinstance(failure, Exception)
    assert (failure.status, failure.message) == (409, "Twice.")


def test_other_exceptions_are_not_answers() -> None:
    def handle(request: Request) -> Response:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        answered(handle, Request({}))


@pytest.mark.parametrize("returned", [None, "text", b"bytes", ("x", 200), {"a": 1}, Response])
def test_what_is_no_response_is_refused(returned: Any) -> None:
    with pytest.raises(TypeError, match="a handler returns a Response, not "):
        answered(lambda _request: returned, Request({}))


# A browser leaves tabs out (WHATWG URL, 4.4), and what is left would be another server's address.
def test_a_redirect_percent_encodes_a_tab() -> None:
    assert b"\r\nLocation: /%09/evil.example\r\n" in encode(redirect("/\t/evil.example"))


def test_header_fields_that_are_a_single_pair_are_refused_with_a_word_on_what_to_do() -> None:
    with pytest.raises(TypeError, match="a list of pairs"):
        encode(text("x", headers=("X-A", "1")))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 199, 600, 999, 1000])
def test_a_status_that_no_answer_has_is_refused(status: int) -> None:
    for make in (HTTPError, error, phrase):
        with pytest.raises(ValueError, match=f"{status} is not the status of an answer"):
            make(status)


@pytest.mark.parametrize("status", [200, 299, 304, 599])
def test_every_other_status_is_an_error_s_if_its_author_says_so(status: int) -> None:
    assert HTTPError(status).status == status
    assert phrase(status)


def test_an_http_error_in_a_group_of_tasks_is_an_answer() -> None:
    inner = ExceptionGroup("inner", [HTTPError(404, "None."), HTTPError(409)])
    answer = raised(ExceptionGroup("outer", [inner]))
    assert (answer.status, answer.body) == (404, "None.\n")


def test_a_group_in_which_something_else_has_failed_is_none() -> None:
    group = ExceptionGroup("", [HTTPError(404), LookupError("a bug")])
    with pytest.raises(ExceptionGroup) as caught:
        raised(group)
    assert caught.value is group
