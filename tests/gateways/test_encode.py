"""nativecgi.gateways.encode: a Response as what a CGI program writes (RFC 3875 6)."""

import io
import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nativecgi import Response, local_redirect, redirect, stream, text
from nativecgi.gateways.encode import encode as encode_any
from nativecgi.message.dates import parse_date
from nativecgi.transfer.send import Streamed

# RFC 9110 5.1, 5.5: field-name = token, field-value = VCHAR / obs-text, with SP and HTAB inside.
# RFC 3875 6.3: one line for a field. The newline is the CR LF that 6.4 leaves to the system.
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\Z")
# RFC 3875 6.3.3: 3digit SP *TEXT; 1xx is the server's.
STATUS = re.compile(rb"[2-5][0-9]{2} [\t\x20-\x7e\x80-\xff]*\Z")
# RFC 3875 6.3: each at most once.
CGI_FIELDS = (b"status", b"content-type", b"location")
# RFC 3875 6.3.4: nothing that has to do with the connection (RFC 9110 7.6.1).
HOP_BY_HOP = {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}


def encode(response: Response, *, omit_body: bool = False) -> bytes:
    """An answer that is in memory as a whole."""
    output = encode_any(response, omit_body=omit_body)
    assert isinstance(output, bytes)
    return output


def nph(response: Response, protocol: str = "HTTP/1.1", *, omit_body: bool = False) -> bytes:
    """What is sent at first by a program whose output is the client's."""
    output = encode_any(response, omit_body=omit_body, nph=protocol)
    return output.head if isinstance(output, Streamed) else output


class Parsed(NamedTuple):
    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


def parsed(output: bytes, *, head: bool = False) -> Parsed:
    """What a strict server makes of `output`; `head` if it is the answer to HEAD."""
    lines, end, body = output.partition(b"\r\n\r\n")
    assert end
    fields = []
    for line in lines.split(b"\r\n"):
        field = FIELD.match(line)
        assert field, line
        fields.append((field[1], field[2].strip(b" \t")))
    names = [name.lower() for name, _value in fields]
    assert names[0] == b"status"
    assert STATUS.match(fields[0][1])
    assert all(names.count(name) <= 1 for name in CGI_FIELDS)
    assert not HOP_BY_HOP.intersection(names)
    answer = Parsed(int(fields[0][1][:3]), fields[1:], body)
    lengths = answer.values(b"content-length")
    if answer.status in (204, 304):
        assert body == b""
    elif head:
        assert body == b""
        assert len(lengths) == 1
    else:
        assert lengths == [b"%d" % len(body)]
    assert not body or b"content-type" in names  # RFC 3875 6.3.1
    return answer


@pytest.mark.parametrize(
    ("response", "output"),
    [
        (
            text("hi"),
            b"Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 2\r\n\r\nhi",
        ),
        (Response(), b"Status: 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            Response("€", 404),
            b"Status: 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 3\r\n\r\n\xe2\x82\xac",
        ),
        (
            Response(b"\0\xff", 203),
            b"Status: 203 Non-Authoritative Information\r\n"
            b"Content-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\n\0\xff",
        ),
        (
            Response(b"a,b", headers={"content-type": "text/csv"}),
            b"Status: 200 OK\r\ncontent-type: text/csv\r\nContent-Length: 3\r\n\r\na,b",
        ),
        (Response(b"", 302, {"Location": "/"}), b"Status: 302 Found\r\nLocation: /\r\n"
         b"Content-Length: 0\r\n\r\n"),
        (Response(b"", 299), b"Status: 299 Success\r\nContent-Length: 0\r\n\r\n"),
    ],
)  # fmt: skip
def test_a_response_is_status_fields_and_body(response: Response, output: bytes) -> None:
    assert encode(response) == output


def test_fields_keep_their_order_and_repeat() -> None:
    fields = [("Link", "<a>"), ("Set-Cookie", "a=1"), ("Link", "<b>"), ("set-cookie", "a=2")]
    assert parsed(encode(Response(headers=fields))).fields[:4] == [
        (b"Link", b"<a>"),
        (b"Set-Cookie", b"a=1"),
        (b"Link", b"<b>"),
        (b"set-cookie", b"a=2"),
    ]


def test_the_response_is_left_as_it_was() -> None:
    fields = [("X-A", "1")]
    response = Response(b"x", headers=fields)
    assert encode(response) == encode(response)
    assert fields == [("X-A", "1")]


def test_a_field_value_goes_out_as_utf8() -> None:
    assert b"\r\nX-Name: \xc3\xa4\r\n" in encode(Response(headers={"X-Name": "ä"}))


def test_bytes_from_the_environment_go_out_as_they_came() -> None:
    raw = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert b"\r\nX-Name: \xff\xfe\r\n" in encode(Response(headers={"X-Name": raw}))
    assert encode(text(raw)).endswith(b"\r\n\r\n\xff\xfe")


def test_an_empty_field_value_is_sent() -> None:
    assert b"\r\nX-Empty: \r\n" in encode(Response(headers={"X-Empty": ""}))


# --- HEAD (RFC 9110 9.3.2) ---


@pytest.mark.parametrize("response", [text("hi"), Response(), Response(b"x", 404)])
def test_without_its_body_the_header_is_the_same(response: Response) -> None:
    whole = encode(response)
    head = encode(response, omit_body=True)
    assert head == whole[: whole.index(b"\r\n\r\n") + 4]


def test_without_its_body_a_header_may_announce_what_get_would_send() -> None:
    output = encode(Response(b"", headers={"Content-Length": "5"}), omit_body=True)
    assert parsed(output, head=True).values(b"content-length") == [b"5"]


# --- answers without a body (RFC 9110 8.6, 15.3.5, 15.3.6, 15.4.5) ---


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_neither_body_nor_length(status: int) -> None:
    output = encode(Response(b"lost", status, {"ETag": '"a"'}))
    assert output.endswith(b'\r\nETag: "a"\r\n\r\n')
    assert output.count(b"\r\n") == 3


def test_no_content_has_no_length_though_the_handler_gave_one() -> None:
    output = encode(Response(b"", 204, {"Content-Length": "0"}))
    assert parsed(output).values(b"content-length") == []


def test_reset_content_has_no_body() -> None:
    assert parsed(encode(Response(b"lost", 205))).body == b""


# --- bodies in pieces ---


class Unwanted:
    """Pieces that are not to be made."""

    closed = False

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_without_a_body_closes_the_pieces_and_makes_none(status: int) -> None:
    pieces = Unwanted()
    assert parsed(encode(Response(pieces, status))).body == b""
    assert pieces.closed


def test_head_closes_the_pieces_and_makes_none() -> None:
    pieces = Unwanted()
    output = encode(stream(pieces, "text/x"), omit_body=True)
    assert output == b"Status: 200 OK\r\nContent-Type: text/x\r\n\r\n"
    assert pieces.closed


def test_a_generator_that_is_not_wanted_is_not_run() -> None:
    def pieces() -> Iterator[bytes]:
        raise AssertionError
        yield b""

    generator = pieces()
    encode(stream(generator), omit_body=True)
    assert list(generator) == []


def test_head_of_pieces_may_have_their_length() -> None:
    output = encode(stream(Unwanted(), headers={"Content-Length": "5"}), omit_body=True)
    assert parsed(output, head=True).values(b"content-length") == [b"5"]


def test_of_pieces_the_first_goes_with_the_header() -> None:
    output = encode_any(stream(iter([b"a", b"b"]), "text/x"))
    assert isinstance(output, Streamed)
    assert output.head == b"Status: 200 OK\r\nContent-Type: text/x\r\n\r\na"
    assert output.rest is not None
    assert list(output.rest) == [b"b"]


def test_a_failure_before_the_first_piece_is_one_of_encode() -> None:
    def pieces() -> Iterator[bytes]:
        raise LookupError("a bug")
        yield b""

    with pytest.raises(LookupError, match="a bug"):
        encode_any(stream(pieces()))


def test_pieces_without_a_type_are_bytes() -> None:
    output = encode_any(Response([b"a"]))
    assert isinstance(output, Streamed)
    assert b"\r\nContent-Type: application/octet-stream\r\n" in output.head


@pytest.mark.parametrize("length", ["", "-1", "x", "1.0", "1,1", " 1", "+1", "१"])
def test_a_length_that_is_no_number_is_refused_for_pieces_too(length: str) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        encode_any(stream([b"a"], headers={"Content-Length": length}))


@pytest.mark.parametrize("body", [[1, 2], range(3)])
def test_pieces_that_are_numbers_are_refused(body: Any) -> None:
    with pytest.raises(TypeError, match="a piece of a body is bytes or str, not int"):
        encode_any(Response(body))


def test_a_file_of_text_is_refused() -> None:
    with pytest.raises(TypeError, match="binary mode"):
        encode_any(Response(io.StringIO("x")))


# --- local redirects (RFC 3875 6.2.2) ---


def test_a_local_redirect_is_its_location_and_nothing_else() -> None:
    assert encode(local_redirect("/there?a=1")) == b"Location: /there?a=1\r\n\r\n"


def test_a_local_redirect_answers_head_too() -> None:
    assert encode(local_redirect("/there"), omit_body=True) == b"Location: /there\r\n\r\n"


@pytest.mark.parametrize("path", ["", "there", "../there", "//b.example/", "https://b.example/"])
def test_a_local_redirect_goes_to_a_path(path: str) -> None:
    with pytest.raises(ValueError, match="a local redirect goes to a path"):
        encode(local_redirect(path))


# RFC 3875 6.2.2: "MUST NOT supply any other header fields".
@pytest.mark.parametrize(
    "response",
    [
        Response(b"x", 200, {"Location": "/"}),
        Response("", 200, {"Location": "/", "Content-Type": "text/plain"}),
        Response(b"", 200, [("Set-Cookie", "a=1"), ("location", "/")]),
        Response([b"x"], 200, {"Location": "/"}),
    ],
)
def test_a_local_redirect_has_nothing_else(response: Response) -> None:
    with pytest.raises(ValueError, match="is a local redirect"):
        encode(response)


def test_a_local_redirect_needs_a_server_that_follows_it() -> None:
    with pytest.raises(ValueError, match="a local redirect is the server's"):
        nph(local_redirect("/there"))


# --- NPH (RFC 3875 5): the whole response ---


def test_an_nph_programs_answer_has_a_status_line_and_a_date() -> None:
    before = int(time.time())
    lines = nph(text("hi")).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    date = parse_date(lines[2].decode().removeprefix("Date: "))
    assert date is not None
    assert before <= date <= time.time()
    assert lines[1] == b"Connection: close"
    assert lines[3:] == [
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 2",
        b"",
        b"hi",
    ]


def test_an_nph_programs_answer_has_no_field_status() -> None:
    assert b"\r\nStatus:" not in nph(text("hi", 404))
    assert nph(text("hi", 404)).startswith(b"HTTP/1.1 404 Not Found\r\n")


def test_an_nph_program_may_give_a_date_of_its_own() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    output = nph(text("hi", headers={"date": date}))
    assert output.lower().count(b"\r\ndate: ") == 1
    assert f"\r\ndate: {date}\r\n".encode() in output


@pytest.mark.parametrize("status", [204, 304])
def test_an_nph_programs_answer_without_a_body_ends_with_its_header(status: int) -> None:
    output = nph(Response([b"lost"], status))
    assert output.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in output
    assert b"Transfer-Encoding" not in output


def test_an_nph_programs_answer_to_head_has_no_body() -> None:
    assert nph(text("hi"), omit_body=True).endswith(b"\r\nContent-Length: 2\r\n\r\n")
    assert nph(stream([b"hi"]), omit_body=True).endswith(b"\r\n\r\n")


def test_an_nph_program_redirects() -> None:
    output = nph(redirect("https://a.example/"))
    assert output.startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"\r\nLocation: https://a.example/\r\n" in output


def test_pieces_whose_length_is_known_are_no_chunks() -> None:
    output = nph(stream([b"hi"], headers={"Content-Length": "2"}))
    assert b"chunked" not in output
    assert output.endswith(b"\r\n\r\nhi")


# --- what cannot be sent ---


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 600, 999, 1000, True])
def test_a_status_out_of_range_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        encode(Response(b"", status))


@pytest.mark.parametrize("status", ["200", None, 200.0, b"200"])
def test_a_status_that_is_no_int_is_refused(status: Any) -> None:
    with pytest.raises(TypeError):
        encode(Response(b"", status))


def test_a_status_of_http_status_is_its_number() -> None:
    assert encode(Response(b"", HTTPStatus.NOT_FOUND)).startswith(b"Status: 404 Not Found\r\n")


@pytest.mark.parametrize("status", [200, 201, 302, 404, 500, 599])
def test_a_status_in_range_is_sent(status: int) -> None:
    assert parsed(encode(Response(b"", status))).status == status


@pytest.mark.parametrize("body", [None, 7, {"a": 1}])
def test_a_body_of_another_type_is_refused(body: Any) -> None:
    with pytest.raises(TypeError, match="a body is "):
        encode(Response(body))


@pytest.mark.parametrize(
    "fields", [["A"], [("A",)], [("A", "1", "2")], [("A", 1)], [("A", None)], [("A", b"1")],
               [(b"A", "1")], 7]
)  # fmt: skip
def test_fields_that_are_no_pairs_of_text_are_refused(fields: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(Response(b"", headers=fields))


# RFC 9110 5.5; Apache answers 500 for these ("Response header contains invalid characters").
@pytest.mark.parametrize("value", ["a\x01", "\x1b[2J", "\x7f", "\x0b", "\x0c"])
def test_a_control_character_in_a_value_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(Response(headers={"X-A": value}))


@pytest.mark.parametrize("value", ["a\tb", "\x85", "\u2028", "a: b", "ä"])
def test_a_value_may_have_what_is_no_line_break_of_http(value: str) -> None:
    assert parsed(encode(Response(headers={"X-A": value}))).values(b"x-a") == [value.encode()]


@pytest.mark.parametrize("text_", ["\ud800", "a\udbff"])
def test_text_that_has_no_bytes_is_refused(text_: str) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode(Response(text_))
    with pytest.raises(ValueError, match="surrogates"):
        encode(Response(headers={"X-A": text_}))


# RFC 3875 6.3: "each CGI field MUST NOT appear more than once".
@pytest.mark.parametrize(
    "fields",
    [
        [("Status", "404 Not Found")],
        [("status", "200 OK")],
        [("Content-Type", "text/plain"), ("content-type", "text/html")],
        [("Location", "/a"), ("Location", "/b")],
    ],
)
def test_a_second_cgi_field_of_a_name_is_refused(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(Response(b"x", headers=fields))


# RFC 3875 6.3.4: "MUST NOT return any header fields that relate to client-side communication".
@pytest.mark.parametrize("name", ["Transfer-Encoding", "connection", "Keep-Alive", "Upgrade"])
def test_a_field_of_the_connection_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode(Response(b"x", headers={name: "x"}))


# RFC 9110 8.6: a Content-Length that is known to be incorrect must not be sent on.
@pytest.mark.parametrize("length", ["0", "4", "-1", "x", ""])
def test_a_length_that_is_not_the_bodys_is_refused(length: str) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        encode(Response(b"abc", headers={"Content-Length": length}))


def test_a_length_that_is_the_bodys_is_kept() -> None:
    output = encode(Response(b"abc", headers={"content-length": "3"}))
    assert parsed(output).values(b"content-length") == [b"3"]


# --- any header fields at all ---

NAMES = st.sampled_from(["X-A", "ETag", "Status", "Content-Type", "Content-Length", "Location"])
FIELDS = st.lists(
    st.tuples(
        NAMES | st.text(st.characters(max_codepoint=128), max_size=4),
        st.text(st.sampled_from("ab 0\t\r\n\0\x01\x7f:é€\ud800\udcff"), max_size=4)
        | st.text(st.characters(), max_size=4),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(FIELDS)
@example([("X-A", "\x01")])
@example([("Status", "200 OK")])
def test_fields_are_refused_or_arrive_as_they_are(fields: list[tuple[str, str]]) -> None:
    try:
        output = encode(Response(b"0", headers=fields))
    except (ValueError, TypeError):
        return
    arrived = parsed(output).fields[: len(fields)]
    # RFC 9110 5.5: white space around a value is not part of it.
    assert arrived == [
        (name.encode(), value.encode("utf-8", "surrogateescape").strip(b" \t"))
        for name, value in fields
    ]


@pytest.mark.parametrize("location", ["//evil.example", "/\t/evil.example", "/\\evil.example"])
def test_a_local_redirect_to_what_browsers_take_for_a_server_is_refused(location: str) -> None:
    with pytest.raises(ValueError, match="a local redirect goes to a path"):
        encode(Response(b"", 200, {"Location": location}))


@pytest.mark.parametrize("body", [bytearray(b"ab"), memoryview(b"ab")])
def test_other_kinds_of_bytes_are_a_body_too(body: Any) -> None:
    assert encode(Response(body)).endswith(b"\r\nContent-Length: 2\r\n\r\nab")


def test_head_has_no_length_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="no number"):
        encode(Response(headers={"Content-Length": "abc"}), omit_body=True)
