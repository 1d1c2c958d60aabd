"""nativecgi.gateways.http.answer: a CGI program's output as an HTTP/1.1 response."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.gateways.http.answer import (
    MAX_HEAD,
    Answer,
    MalformedAnswerError,
    answer_of,
    refusal,
    split,
)
from nativecgi.message.errors import HTTPError

NOW = 784111777.0  # RFC 9110 5.6.7
DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"


def answer(
    *lines: str, method: str = "GET", protocol: str = "HTTP/1.1", keeps_alive: bool = True
) -> Answer:
    head = "\r\n".join(lines).encode("latin-1")
    return answer_of(head, method, protocol, keeps_alive=keeps_alive, now=NOW)


def lines_of(given: Answer) -> list[str]:
    assert given.head.endswith(b"\r\n\r\n")
    return given.head.decode("latin-1").split("\r\n")[:-2]


def test_an_answer_with_a_length_keeps_it() -> None:
    given = answer("Status: 200 OK", "Content-Type: text/plain", "Content-Length: 3")
    assert lines_of(given) == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain",
        DATE,
        "Content-Length: 3",
        "Connection: keep-alive",
    ]
    assert given.framer.piece(b"abc") + given.framer.end() == b"abc"


def test_an_answer_without_a_length_is_sent_in_chunks() -> None:
    given = answer("Content-Type: text/plain")
    assert "Transfer-Encoding: chunked" in lines_of(given)
    assert given.framer.piece(b"a" * 10) == b"a\r\n" + b"a" * 10 + b"\r\n"
    assert given.framer.end() == b"0\r\n\r\n"
    assert given.keeps_alive


def test_an_empty_piece_does_not_end_the_chunks() -> None:
    assert answer("Content-Type: text/plain").framer.piece(b"") == b""


def test_for_http_1_0_an_answer_without_a_length_ends_with_the_connection() -> None:
    given = answer("Content-Type: text/plain", protocol="HTTP/1.0")
    assert lines_of(given)[-1] == "Connection: close"
    assert given.framer.piece(b"abc") + given.framer.end() == b"abc"
    assert not given.keeps_alive


def test_for_http_1_0_an_answer_with_a_length_keeps_the_connection() -> None:
    assert answer("Content-Length: 3", protocol="HTTP/1.0").keeps_alive


def test_an_answer_says_that_the_connection_is_closed() -> None:
    assert lines_of(answer("Content-Length: 3", keeps_alive=False))[-1] == "Connection: close"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_of_some_statuses_has_no_body(status: str) -> None:
    given = answer(f"Status: {status}")
    assert given.framer.piece(b"abc") + given.framer.end() == b""
    assert not any(it.startswith(("Content-Length", "Transfer")) for it in lines_of(given))
    assert given.keeps_alive


def test_an_answer_to_head_has_no_body_and_the_length_of_that_to_get() -> None:
    given = answer("Content-Length: 3", method="HEAD")
    assert "Content-Length: 3" in lines_of(given)
    assert given.framer.piece(b"abc") + given.framer.end() == b""
    assert given.framer.is_complete


def test_an_answer_to_head_keeps_the_connection_of_http_1_0() -> None:
    assert answer("Content-Type: a/b", method="HEAD", protocol="HTTP/1.0").keeps_alive


def test_204_has_no_length() -> None:
    assert "Content-Length: 0" not in lines_of(answer("Status: 204 x", "Content-Length: 0"))


def test_205_has_an_empty_body() -> None:
    assert "Content-Length: 0" in lines_of(answer("Status: 205 Reset Content"))


def test_a_body_that_is_too_long_does_not_become_the_next_answer() -> None:
    framer = answer("Content-Length: 3").framer
    assert framer.piece(b"ab") + framer.piece(b"cHTTP/1.1 200 OK") + framer.piece(b"d") == b"abc"


def test_a_body_that_is_too_short_is_not_complete() -> None:
    framer = answer("Content-Length: 3").framer
    framer.piece(b"ab")
    assert not framer.is_complete
    framer.piece(b"c")
    assert framer.is_complete


def test_a_date_of_the_program_is_kept() -> None:
    assert [it for it in lines_of(answer("date: then")) if it.lower().startswith("date")] == [
        "date: then"
    ]


def test_fields_of_the_connection_are_dropped() -> None:
    names = ["Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]
    given = answer("Content-Length: 0", "Connection: X-Mine, close", "x-mine: 1", "X: 2",
                   *(f"{name}: chunked" for name in names))  # fmt: skip
    assert lines_of(given)[1:] == ["X: 2", DATE, "Content-Length: 0", "Connection: keep-alive"]


def test_fields_that_repeat_are_all_sent() -> None:
    assert {"Set-Cookie: a", "Set-Cookie: b"} < set(
        lines_of(answer("Set-Cookie: a", "Set-Cookie: b"))
    )


def test_a_status_without_a_phrase_gets_its_own() -> None:
    assert lines_of(answer("Status: 404"))[0] == "HTTP/1.1 404 Not Found"


def test_an_answer_without_a_status_is_200() -> None:
    assert lines_of(answer("Content-Type: a/b"))[0] == "HTTP/1.1 200 OK"


def test_an_answer_that_leads_elsewhere_is_302() -> None:
    assert lines_of(answer("Location: https://b.example/"))[0] == "HTTP/1.1 302 Found"


def test_a_path_alone_is_a_local_redirect() -> None:
    given = answer("Location: /a?b")
    assert (given.local_redirect, given.head) == ("/a?b", b"")


def test_a_path_with_other_fields_is_the_clients() -> None:
    assert lines_of(answer("Location: /a", "Set-Cookie: b"))[0] == "HTTP/1.1 302 Found"


def test_a_path_with_a_status_is_the_clients() -> None:
    given = answer("Status: 303 See Other", "Location: /a")
    assert not given.local_redirect
    assert "Location: /a" in lines_of(given)


@pytest.mark.parametrize(
    "line",
    [
        *("", "no field", ": a", "X : a", "X: a\rY: b", "X: a\0", "X: a\x1b", " X: a"),
        *("Status: 20", "Status: 100 Continue", "Status: 600", "Status: OK", "Status: "),
        *("Content-Length: -1", "Content-Length: x", f"Content-Length: {'9' * 5000}"),
        "Content-Length: 3\r\nContent-Length: 3",
    ],
)
def test_an_answer_that_is_malformed_is_not_sent(line: str) -> None:
    with pytest.raises(MalformedAnswerError):
        answer("Content-Type: text/plain", line)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n"])
def test_an_empty_line_divides_head_and_body(end: bytes) -> None:
    assert split(b"A: b\nC: d" + end + b"\n\nbody") == (b"A: b\nC: d", b"\n\nbody")


def test_a_head_that_is_not_complete_cannot_be_divided_yet() -> None:
    assert split(b"A: b\r\n") is None


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_a_head_that_is_too_long_is_malformed(end: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        split(b"A: " + b"b" * MAX_HEAD + end)


@given(st.binary(max_size=200))
def test_any_output_is_one_response_or_is_malformed(head: bytes) -> None:
    try:
        given = answer_of(head, "GET", "HTTP/1.1", keeps_alive=True, now=NOW)
    except MalformedAnswerError:
        return
    assert given.local_redirect or given.head.index(b"\r\n\r\n") == len(given.head) - 4


def test_a_refusal_is_a_response_that_closes_the_connection() -> None:
    response = refusal(HTTPError(431, "Too much."))
    head, body = response.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nConnection: close\r\n" in head
    assert b"Too much." in body
