"""What is refused, and with which status: the rows of the table in docs/http-parser.md."""

import pytest

from nativecgi.gateways.http.connection import MAX_HEAD, End
from nativecgi.gateways.http.head import MAX_FIELDS, Head
from tests.gateways.http.requests import (
    chunked,
    count,
    outcome,
    request,
    status_of,
)

POST = "POST / HTTP/1.1"
TE = "Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"

LENGTHS = {
    "Content-Length and Transfer-Encoding": ["Content-Length: 3", TE],
    "Transfer-Encoding and Content-Length": [TE, "Content-Length: 3"],
    "two different": ["Content-Length: 3", "Content-Length: 4"],
    "two of the same": ["Content-Length: 3", "Content-Length: 3"],
    "a list": ["Content-Length: 3, 3"],
    "plus": ["Content-Length: +3"],
    "minus": ["Content-Length: -3"],
    "hexadecimal": ["Content-Length: 0x3"],
    "underscore": ["Content-Length: 1_0"],
    "space inside": ["Content-Length: 3 4"],
    "empty": ["Content-Length: "],
    "digits of another script": ["Content-Length: \xd9\xa3"],
    "control before it": ["Content-Length: \x0b3"],
    "more than 64 bits": ["Content-Length: 18446744073709551617"],
}

CODINGS = {
    "chunked is not the last": ["Transfer-Encoding: chunked, identity"],
    "chunked twice": ["Transfer-Encoding: chunked, chunked"],
    "two fields": [TE, TE],
    "not chunked": ["Transfer-Encoding: identity"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "gzip": ["Transfer-Encoding: gzip"],
    "quoted": ['Transfer-Encoding: "chunked"'],
    "with a parameter": ["Transfer-Encoding: chunked;q=1"],
    "comma after it": ["Transfer-Encoding: chunked,"],
    "empty": ["Transfer-Encoding: "],
    "empty, and a length": ["Transfer-Encoding: ", "Content-Length: 3"],
    "control before it": ["Transfer-Encoding: \x0bchunked"],
    "folded": ["Transfer-Encoding:\r\n chunked"],
    "tab before the colon": ["Transfer-Encoding\t: chunked"],
}

UNSUPPORTED_CODINGS = {
    "gzip below chunked": ["Transfer-Encoding: gzip, chunked"],
    "identity below chunked": ["Transfer-Encoding: identity, chunked"],
    "identity in a field of its own": ["Transfer-Encoding: identity", TE],
    "comma before it": ["Transfer-Encoding: , chunked"],
}

CHUNKS = {
    "0x": b"0x3\r\nabc\r\n",
    "plus": b"+3\r\nabc\r\n",
    "minus": b"-3\r\nabc\r\n",
    "space before": b" 3\r\nabc\r\n",
    "space after": b"3 \r\nabc\r\n",
    "space before an extension": b"3 ;a\r\nabc\r\n",
    "no hexadecimal digit": b"3g\r\nabc\r\n",
    "more than 64 bits": b"F" * 17 + b"\r\nabc\r\n",
    "empty": b"\r\nabc\r\n",
    "an extension alone": b";a\r\nabc\r\n",
    "CR after the size": b"3\rabc\r\n",
    "LF after the size": b"3\nabc\r\n",
    "LF in an extension": b"3;a\nabc\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n",
    "NUL in an extension": b"3;a\0\r\nabc\r\n",
    "CR LF in a quoted extension": b'3;a="\r\nabc"\r\n',
}

AFTER_CHUNKS = {
    "no line end": b"3\r\nabcXX" + LAST,
    "LF after the data": b"3\r\nabc\n" + LAST,
    "LF after the last chunk": b"3\r\nabc\r\n0\n\n",
    "LF after the trailers": b"3\r\nabc\r\n0\r\n\n",
    "LF in the trailers": b"3\r\nabc\r\n0\r\nX: y\n\r\n",
    "no colon in the trailers": b"3\r\nabc\r\n0\r\nX y\r\n\r\n",
    "Content-Length in the trailers": b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "Transfer-Encoding in the trailers": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
}

FIELDS = {
    "bare CR": "X: a\rb",
    "bare CR as a line end": "X: a\rY: b",
    "bare LF": "X: a\nY: b",
    "obs-fold": "X: a\r\n b",
    "space before the colon": "X : a",
    "no colon": "X",
    "no name": ": a",
    "delimiter in the name": "a(b: x",
    "byte above ASCII in the name": "a\xe9: x",
    "NUL in the name": "X\0: a",
    "NUL in the value": "X: a\0b",
    "control in the value": "X: a\x01b",
    "DEL in the value": "X: a\x7fb",
}

HOSTS = {
    "none": request(host=None),
    "two": request("Host: b.example"),
    "two of the same": request("Host: a.example"),
    "with a path": request(host="a.example/b"),
    "with a space": request(host="a b"),
    "with a user": request(host="u@a.example"),
    "with a list": request(host="a.example, b.example"),
    "another in the target": request(line="GET http://b.example/ HTTP/1.1"),
    "a user in the target": request(line="GET http://u@a.example/ HTTP/1.1"),
}

TARGETS = {
    "another scheme": "ftp://a.example/",
    "https": "https://a.example/",
    "authority": "a.example:80",
    "asterisk": "*",
    "no slash": "x",
    "query alone": "?x",
    "fragment": "/a#b",
    "NUL": "/a\0b",
    "control": "/a\x01b",
    "tab": "/a\tb",
    "byte above ASCII": "/\xc3\xa4",
    "space": "/a b",
    "malformed escape": "/%zz",
    "escape cut off": "/%4",
    "escaped NUL": "/%00",
}

LINES = {
    "two spaces after the method": "GET  / HTTP/1.1",
    "two spaces before the version": "GET /  HTTP/1.1",
    "space at the end": "GET / HTTP/1.1 ",
    "space at the beginning": " GET / HTTP/1.1",
    "tab": "GET\t/ HTTP/1.1",
    "no version": "GET /",
    "two digits": "GET / HTTP/1.10",
    "leading zero": "GET / HTTP/01.1",
    "no minor version": "GET / HTTP/1.",
    "lower case": "GET / http/1.1",
    "RTSP": "GET / RTSP/1.0",
    "ICE": "SOURCE / ICE/1.0",
    "delimiter in the method": "G(T / HTTP/1.1",
}


def cases(table: dict[str, list[str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fields", table.values(), ids=table)


@cases(LENGTHS)
def test_a_doubtful_length_is_refused(fields: list[str]) -> None:
    assert outcome(request(*fields, line=POST, body=LAST)) == [400]


def test_a_length_that_no_file_has_is_refused() -> None:
    assert outcome(request(f"Content-Length: {10**18}", line=POST)) == [413]


@cases(CODINGS)
def test_a_doubtful_transfer_coding_is_refused(fields: list[str]) -> None:
    assert outcome(request(*fields, line=POST, body=LAST)) == [400]


@cases(UNSUPPORTED_CODINGS)
def test_a_transfer_coding_other_than_chunked_is_not_supported(fields: list[str]) -> None:
    assert outcome(request(*fields, line=POST, body=LAST)) == [501]


def test_an_upgrade_hides_no_transfer_coding() -> None:
    fields = ("Connection: Upgrade", "Upgrade: h2c", "Transfer-Encoding: xchunked")
    assert outcome(request(*fields, line=POST, body=LAST)) == [501]


def test_http_1_0_has_no_transfer_codings() -> None:
    assert outcome(request(TE, line="POST / HTTP/1.0", body=LAST)) == [400]


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
def test_a_malformed_chunk_is_refused_before_its_data(body: bytes) -> None:
    found = outcome(chunked(body + LAST))
    assert found[1:] == [400]


@pytest.mark.parametrize("body", AFTER_CHUNKS.values(), ids=AFTER_CHUNKS)
def test_what_is_malformed_behind_a_chunk_is_refused_after_its_data(body: bytes) -> None:
    found = outcome(chunked(body))
    assert found[1:] == [b"abc", 400]


@pytest.mark.parametrize("size", [70_000, 10_000_000])
def test_extensions_without_end_are_refused(size: int) -> None:
    assert status_of(chunked(b"3;" + b"a" * size + b"\r\nabc\r\n" + LAST)) == 400


def test_trailers_without_end_are_refused() -> None:
    trailers = b"".join(b"X%d: %b\r\n" % (number, b"y" * 1000) for number in range(100))
    assert status_of(chunked(b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")) == 400


def test_trailers_without_end_are_refused_in_pieces() -> None:
    pieces = [b"X: y\r\n"] * 20_000
    assert outcome(chunked(b"3\r\nabc\r\n0\r\n"), *pieces)[-1] == 400


def test_chunks_of_one_byte_are_not_taken_for_overhead() -> None:
    found = outcome(chunked(b"1\r\na\r\n" * 100_000 + LAST))
    assert found[1:] == [b"a" * 100_000, End()]


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_malformed_field_is_refused(field: str) -> None:
    assert outcome(request(field)) == [400]


@pytest.mark.parametrize("data", HOSTS.values(), ids=HOSTS)
def test_a_doubtful_host_is_refused(data: bytes) -> None:
    assert outcome(data) == [400]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_that_is_no_path_here_is_refused(target: str) -> None:
    assert outcome(request(line=f"GET {target} HTTP/1.1")) == [400]


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_malformed_request_line_is_refused(line: str) -> None:
    assert outcome(request(line=line)) == [400]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_line_that_ends_in_lf_alone_is_refused(data: bytes) -> None:
    assert outcome(data) == [400]


def test_a_space_before_the_first_field_is_refused() -> None:
    assert outcome(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n") == [400]


@pytest.mark.parametrize("method", ["get", "FOO", "Get"])
def test_an_unknown_method_is_not_supported(method: str) -> None:
    assert outcome(request(line=f"{method} / HTTP/1.1")) == [501]


def test_a_tunnel_is_not_supported() -> None:
    assert outcome(request(line="CONNECT a.example:80 HTTP/1.1")) == [501]


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
def test_another_version_is_not_supported(version: str) -> None:
    assert outcome(request(line=f"GET / HTTP/{version}")) == [505]


def test_http_2_is_told_that_it_is_not_supported() -> None:
    assert outcome(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == [505]


def test_tls_is_refused_at_once() -> None:
    assert outcome(b"\x16\x03\x01") == [400]


def test_an_empty_line_before_a_request_is_skipped() -> None:
    assert count(outcome(b"\r\n\r\n" + request()), Head) == 1


def with_head_of(size: int) -> bytes:
    return request("X: " + "a" * (size - len(request("X: "))))


def test_a_head_of_64_kib_is_read() -> None:
    assert count(outcome(with_head_of(MAX_HEAD)), Head) == 1


def test_a_longer_head_is_refused() -> None:
    assert outcome(with_head_of(MAX_HEAD + 1)) == [431]


def test_a_longer_head_is_refused_before_it_ends() -> None:
    assert outcome(with_head_of(MAX_HEAD * 2)[: MAX_HEAD + 1]) == [431]


def test_a_target_that_fills_the_head_is_refused() -> None:
    assert outcome(request(line=f"GET /{'a' * MAX_HEAD} HTTP/1.1")) == [414]


def test_as_many_fields_as_may_be_are_read() -> None:
    assert count(outcome(request(*["X: a"] * (MAX_FIELDS - 1))), Head) == 1


def test_more_fields_are_refused() -> None:
    assert outcome(request(*["X: a"] * MAX_FIELDS)) == [431]
