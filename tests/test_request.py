"""nativecgi.request: a request read from its meta-variables (RFC 3875 4.1) and body."""

import io
import os
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nativecgi.request
from nativecgi import HTTPError, Request
from nativecgi.body import BodyReader


def request(**env: str) -> Request:
    return Request(env)


# --- REQUEST_METHOD (4.1.12) ---


@pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND", "get"])
def test_method_is_the_servers_word(method: str) -> None:
    assert request(REQUEST_METHOD=method).method == method


def test_head_reads_as_get() -> None:
    head = request(REQUEST_METHOD="HEAD")
    assert head.method == "GET"
    assert head.env["REQUEST_METHOD"] == "HEAD"


def test_method_is_get_where_there_is_none() -> None:
    assert request().method == "GET"


# --- PATH_INFO (4.1.5), SCRIPT_NAME (4.1.13) ---


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", []),
        ("/", []),
        ("/a", ["a"]),
        ("/a/b", ["a", "b"]),
        ("/a/", ["a"]),
        ("//a///b", ["a", "b"]),
        ("/a b/ä", ["a b", "ä"]),
        ("/../a/.", ["..", "a", "."]),
    ],
)
def test_parts_are_the_paths_segments_that_are_not_empty(path: str, parts: list[str]) -> None:
    assert request(PATH_INFO=path).path == path
    assert request(PATH_INFO=path).parts == parts


def test_the_path_is_not_decoded_a_second_time() -> None:
    assert request(PATH_INFO="/a%2Fb").parts == ["a%2Fb"]


def test_without_path_info_the_path_is_empty() -> None:
    assert request().path == ""
    assert request().parts == []


def test_script_name_is_the_path_to_the_program() -> None:
    assert request(SCRIPT_NAME="/cgi-bin/hello").script_name == "/cgi-bin/hello"
    assert request().script_name == ""


# --- QUERY_STRING (4.1.7) ---


@pytest.mark.parametrize(
    ("query", "name", "values"),
    [
        ("a=1", "a", ["1"]),
        ("a=1&b=2&a=3", "a", ["1", "3"]),
        ("a=", "a", [""]),
        ("a", "a", [""]),
        ("=1", "", ["1"]),
        ("a=b=c", "a", ["b=c"]),
        ("a=x+y", "a", ["x y"]),
        ("a=x%2By", "a", ["x+y"]),
        ("%C3%A4=%E2%82%AC", "ä", ["€"]),
        ("a=1;b=2", "a", ["1;b=2"]),
        ("&&a=1&", "a", ["1"]),
        ("a=%zz", "a", ["%zz"]),
        ("b=1", "a", []),
        ("", "a", []),
    ],
)
def test_query_gives_the_values_of_a_name(query: str, name: str, values: list[str]) -> None:
    assert request(QUERY_STRING=query).query.getlist(name) == values


def test_query_is_empty_where_there_is_none() -> None:
    assert list(request().query) == []


def test_bytes_in_the_query_that_are_no_utf8_can_be_had_back() -> None:
    value = request(QUERY_STRING="a=%FF").query["a"]
    assert os.fsencode(value) == b"\xff"


def test_query_is_read_once() -> None:
    one = request(QUERY_STRING="a=1")
    assert one.query is one.query


ASSIGNMENTS = st.lists(st.text("ab=+;%2C3 ä&", max_size=6), max_size=4).map("&".join)


@settings(deadline=None)
@given(ASSIGNMENTS | st.text(st.characters()))
def test_query_agrees_with_parse_qs(query: str) -> None:
    parsed = request(QUERY_STRING=query).query
    lists = {name: parsed.getlist(name) for name in parsed}
    assert lists == parse_qs(query, keep_blank_values=True, errors="surrogateescape")


# --- HTTPS, HTTP_HOST, SERVER_NAME (4.1.14), SERVER_PORT (4.1.15) ---


@pytest.mark.parametrize(
    ("env", "scheme"),
    [
        ({}, "http"),
        ({"HTTPS": "on"}, "https"),
        ({"HTTPS": "ON"}, "https"),
        ({"HTTPS": "1"}, "https"),
        ({"HTTPS": "off"}, "http"),
        ({"HTTPS": ""}, "http"),
        ({"REQUEST_SCHEME": "https"}, "https"),
        ({"REQUEST_SCHEME": "http", "HTTPS": "on"}, "https"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "http"),  # any client can send that
    ],
)
def test_scheme_is_that_of_the_connection_to_the_server(env: dict[str, str], scheme: str) -> None:
    assert Request(env).scheme == scheme


@pytest.mark.parametrize(
    ("env", "host"),
    [
        ({"HTTP_HOST": "a.example"}, "a.example"),
        ({"HTTP_HOST": "a.example:8080", "SERVER_PORT": "80"}, "a.example:8080"),
        ({"HTTP_HOST": "a.example", "SERVER_NAME": "b.example"}, "a.example"),
        ({"HTTP_HOST": "", "SERVER_NAME": "b.example"}, "b.example"),
        ({"SERVER_NAME": "b.example", "SERVER_PORT": "80"}, "b.example"),
        ({"SERVER_NAME": "b.example", "SERVER_PORT": "8080"}, "b.example:8080"),
        ({"SERVER_NAME": "b.example", "SERVER_PORT": "443", "HTTPS": "on"}, "b.example"),
        ({"SERVER_NAME": "b.example", "SERVER_PORT": "443"}, "b.example:443"),
        ({"SERVER_NAME": "b.example", "SERVER_PORT": "80", "HTTPS": "on"}, "b.example:80"),
        ({"SERVER_NAME": "b.example", "SERVER_PORT": ""}, "b.example"),
        ({"SERVER_NAME": "[2001:db8::1]", "SERVER_PORT": "81"}, "[2001:db8::1]:81"),
        ({"SERVER_PORT": "8000"}, "localhost:8000"),
        ({}, "localhost"),
    ],
)
def test_host_is_the_clients_word_or_the_servers_name(env: dict[str, str], host: str) -> None:
    assert Request(env).host == host


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("", "http://a.example/cgi-bin/x"),
        ("/", "http://a.example/cgi-bin/x/"),
        ("/a b", "http://a.example/cgi-bin/x/a%20b"),
        ("/ä", "http://a.example/cgi-bin/x/%C3%A4"),
        ("/100%?#", "http://a.example/cgi-bin/x/100%25%3F%23"),
        ("/a:b@c;d=e,f+g~h", "http://a.example/cgi-bin/x/a:b@c;d=e,f+g~h"),
        ('/"<>\\^`{|}', "http://a.example/cgi-bin/x/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/\udcff", "http://a.example/cgi-bin/x/%FF"),
        ("/\r\n", "http://a.example/cgi-bin/x/%0D%0A"),
    ],
)
def test_url_percent_encodes_the_path(path: str, url: str) -> None:
    one = request(HTTP_HOST="a.example", SCRIPT_NAME="/cgi-bin/x", PATH_INFO=path)
    assert one.url == url


def test_url_has_the_query_as_it_came() -> None:
    one = request(HTTP_HOST="a.example", SCRIPT_NAME="/x", QUERY_STRING="a=%20&b")
    assert one.url == "http://a.example/x?a=%20&b"


def test_url_has_scheme_and_port() -> None:
    one = request(HTTPS="on", SERVER_NAME="a.example", SERVER_PORT="8443", SCRIPT_NAME="/x")
    assert one.url == "https://a.example:8443/x"


# --- who asks: REMOTE_ADDR (4.1.8), REMOTE_USER (4.1.11) ---


def test_remote_addr_is_the_clients_address() -> None:
    assert request(REMOTE_ADDR="2001:db8::1").remote_addr == "2001:db8::1"
    assert request().remote_addr == ""


def test_remote_user_is_none_where_the_server_did_not_ask() -> None:
    assert request(REMOTE_USER="ann").remote_user == "ann"
    assert request(REMOTE_USER="").remote_user is None
    assert request().remote_user is None


# --- header fields (4.1.18) ---


def test_headers_are_those_of_the_meta_variables() -> None:
    one = request(HTTP_ACCEPT="*/*", CONTENT_TYPE="text/plain", SERVER_NAME="a.example")
    assert dict(one.headers) == {"Accept": "*/*", "Content-Type": "text/plain"}


def test_env_is_all_meta_variables() -> None:
    env = {"REQUEST_METHOD": "GET", "DOCUMENT_ROOT": "/srv/www"}
    assert Request(env).env == env


# --- CONTENT_TYPE (4.1.3), CONTENT_LENGTH (4.1.2) ---


def test_content_type_keeps_its_parameters() -> None:
    assert request(CONTENT_TYPE="text/plain; charset=x").content_type == "text/plain; charset=x"
    assert request().content_type == ""


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("0", 0), ("7", 7), ("007", 7), ("9" * 18, 10**18 - 1)]
)
def test_content_length_is_digits_or_nothing(text: str, length: int) -> None:
    assert request(CONTENT_LENGTH=text).content_length == length


def test_content_length_is_0_where_there_is_none() -> None:
    assert request().content_length == 0


@pytest.mark.parametrize(
    "text",
    ["+1", "-1", " 1", "1 ", "1\n", "1e3", "1_0", "1.0", "0x1", "1,1", "१", "²", "x", "9" * 40],
)
def test_a_content_length_that_is_no_number_is_the_clients_fault(text: str) -> None:
    with pytest.raises(HTTPError) as raised:
        _ = request(CONTENT_LENGTH=text).content_length
    assert raised.value.status == 400


# --- missing and empty (4.1: "does not distinguish between zero-length values and missing") ---

PROPERTIES = {
    "REQUEST_METHOD": "method",
    "PATH_INFO": "path",
    "SCRIPT_NAME": "script_name",
    "QUERY_STRING": "query",
    "HTTPS": "scheme",
    "REQUEST_SCHEME": "scheme",
    "HTTP_HOST": "host",
    "SERVER_NAME": "host",
    "SERVER_PORT": "host",
    "REMOTE_ADDR": "remote_addr",
    "REMOTE_USER": "remote_user",
    "CONTENT_TYPE": "content_type",
    "CONTENT_LENGTH": "content_length",
}


@pytest.mark.parametrize("variable", PROPERTIES)
def test_an_empty_variable_reads_as_a_missing_one(variable: str) -> None:
    name = PROPERTIES[variable]
    assert getattr(Request({variable: ""}), name) == getattr(Request({}), name)


# --- the body ---


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Event(msgspec.Struct):
    day: date


def posted(body: bytes) -> Request:
    return Request({"CONTENT_LENGTH": str(len(body))}, io.BytesIO(body))


def status_of(error: pytest.ExceptionInfo[HTTPError]) -> int:
    return error.value.status


def test_read_gives_the_body() -> None:
    assert posted(b"hello").read() == b"hello"


def test_read_gives_the_rest_of_the_body() -> None:
    one = posted(b"hello")
    assert one.body.read(2) == b"he"
    assert one.read() == b"llo"
    assert one.read() == b""


def test_a_request_without_a_body_reads_as_empty() -> None:
    assert request().read() == b""


def test_requests_made_without_a_body_do_not_share_one() -> None:
    request().body.close()
    assert request().read() == b""


def test_read_refuses_what_is_announced_to_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nativecgi.request, "MAX_BODY", 4)
    assert posted(b"1234").read() == b"1234"
    with pytest.raises(HTTPError) as raised:
        posted(b"12345").read()
    assert status_of(raised) == 413


def test_the_limit_is_not_on_the_body_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nativecgi.request, "MAX_BODY", 4)
    assert posted(b"12345").body.read() == b"12345"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, "x"]}', {"a": [1, 2.5, None, "x"]}),
        (b" 1 ", 1),
        ('"ä€"'.encode(), "ä€"),
    ],
)
def test_json_gives_plain_objects(body: bytes, value: Any) -> None:
    assert posted(body).json() == value


def test_json_gives_a_struct() -> None:
    point = posted(b'{"x": 1}').json(Point)
    assert (point.x, point.y) == (1, 0)


def test_json_gives_any_type_that_msgspec_knows() -> None:
    assert posted(b"[1, 2]").json(list[int]) == [1, 2]
    assert posted(b'{"day": "2024-02-29"}').json(Event).day == date(2024, 2, 29)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'x': 1}",
        b'{"x": 1} 2',
        b"nan",
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf1",
        b"\0",
    ],
)
def test_malformed_json_is_400(body: bytes) -> None:
    with pytest.raises(HTTPError) as raised:
        posted(body).json()
    assert status_of(raised) == 400


@pytest.mark.parametrize("type_", [Any, Point])
def test_json_nested_too_deeply_is_400(type_: type[object]) -> None:
    with pytest.raises(HTTPError) as raised:
        posted(b'{"z":' * 100_000).json(type_)
    assert status_of(raised) == 400


@pytest.mark.parametrize("body", [b"{}", b'{"x": "1"}', b"[]", b"null", b'{"x": 1, "y": null}'])
def test_json_of_another_shape_is_422(body: bytes) -> None:
    with pytest.raises(HTTPError) as raised:
        posted(body).json(Point)
    assert status_of(raised) == 422


def test_422_says_what_is_wrong_and_where() -> None:
    with pytest.raises(HTTPError) as raised:
        posted(b'{"x": "one"}').json(Point)
    assert raised.value.message == "Expected `int`, got `str` - at `$.x`"


def test_json_that_is_announced_to_be_too_long_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nativecgi.request, "MAX_BODY", 4)
    with pytest.raises(HTTPError) as raised:
        posted(b'"123"').json()
    assert status_of(raised) == 413


def test_a_body_shorter_than_announced_is_400_be_it_json_or_not() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"[1]")
    os.close(writer)
    body = io.BufferedReader(BodyReader(reader, 4))
    with pytest.raises(HTTPError) as raised:
        Request({"CONTENT_LENGTH": "4"}, body).json()
    assert status_of(raised) == 400
    os.close(reader)
