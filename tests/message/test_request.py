"""nativecgi.message.request: a request read from its meta-variables (RFC 3875 4.1) and body."""

import io
import os
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nativecgi import BasicCredentials, HTTPError, Limits, MultiDict, Request
from nativecgi.message.limits import DEFAULT_LIMITS
from nativecgi.transfer.body import BodyReader


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


# As os.environ has them: bytes that are no UTF-8 are surrogates (PEP 383). Beside a "%" parse_qs
# reads them one by one, where they and what is escaped may make up a character.
ANY_BYTES = st.binary().map(lambda it: it.replace(b"%", b"").decode("utf-8", "surrogateescape"))


@settings(deadline=None)
@given(ASSIGNMENTS | st.text(st.characters(codec="utf-8")) | ANY_BYTES)
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


@pytest.mark.parametrize(
    ("query", "encoded"),
    [
        ("a=\udcff", "a=%FF"),
        ("ä", "%C3%A4"),
        ('a="<>', "a=%22%3C%3E"),
        ("a b\r\n", "a%20b%0D%0A"),
        ("a[]=1&b=%zz/?:@!$'()*+,;~", "a[]=1&b=%zz/?:@!$'()*+,;~"),
    ],
)
def test_url_percent_encodes_what_a_query_cannot_hold(query: str, encoded: str) -> None:
    one = request(HTTP_HOST="a.example", SCRIPT_NAME="/x", QUERY_STRING=query)
    assert one.url == f"http://a.example/x?{encoded}"


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


def test_the_length_of_a_body_in_chunks_is_unknown() -> None:
    chunked = request(HTTP_TRANSFER_ENCODING="chunked")
    assert chunked.content_length is None
    assert request(HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="").content_length is None


def test_a_server_that_has_unpacked_the_chunks_says_how_long_the_body_is() -> None:
    assert request(HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="7").content_length == 7


# --- cookies, credentials, what is accepted ---


def test_cookies_are_those_of_the_field() -> None:
    one = request(HTTP_COOKIE="a=1; b=2; a=3")
    assert one.cookies == MultiDict([("a", "1"), ("a", "3"), ("b", "2")])
    assert one.cookies["a"] == "1"


def test_cookies_are_none_where_the_client_has_none() -> None:
    assert not request().cookies


def test_cookies_are_read_once() -> None:
    one = request(HTTP_COOKIE="a=1")
    assert one.cookies is one.cookies


def test_basic_credentials_are_the_clients() -> None:
    one = request(HTTP_AUTHORIZATION="Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    assert one.basic_credentials == BasicCredentials("Aladdin", "open sesame")


@pytest.mark.parametrize("env", [{}, {"HTTP_AUTHORIZATION": "Bearer x"}, {"REMOTE_USER": "ann"}])
def test_basic_credentials_are_none_where_the_client_gives_none(env: dict[str, str]) -> None:
    assert Request(env).basic_credentials is None


def test_accepts_is_what_the_client_prefers() -> None:
    one = request(HTTP_ACCEPT="text/html;q=0.5, application/json")
    assert one.accepts("text/html", "application/json") == "application/json"
    assert one.accepts("text/html", "text/plain") == "text/html"


def test_accepts_is_none_where_the_client_wants_nothing_of_it() -> None:
    assert request(HTTP_ACCEPT="text/html").accepts("application/json") is None
    assert request(HTTP_ACCEPT="text/html").accepts() is None


def test_a_client_that_says_nothing_accepts_everything() -> None:
    assert request().accepts("text/html", "application/json") == "text/html"


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
    "HTTP_COOKIE": "cookies",
    "HTTP_AUTHORIZATION": "basic_credentials",
    "NATIVECGI_MAX_BODY": "limits",
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


def posted(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Request:
    return Request({"CONTENT_LENGTH": str(len(body))}, io.BytesIO(body), limits)


def status_of(error: pytest.ExceptionInfo[HTTPError]) -> int:
    return error.value.status


def test_read_gives_the_body() -> None:
    assert posted(b"hello").read() == b"hello"


def test_read_gives_the_rest_of_the_body() -> None:
    one = posted(b"hello")
    assert one.body.read(2) == b"he"
    assert one.read() == b"llo"


def test_a_request_without_a_body_reads_as_empty() -> None:
    assert request().read() == b""


def test_requests_made_without_a_body_do_not_share_one() -> None:
    request().body.close()
    assert request().read() == b""


def test_read_refuses_what_is_announced_to_be_too_long() -> None:
    limits = Limits(max_body=4)
    assert posted(b"1234", limits).read() == b"1234"
    with pytest.raises(HTTPError) as raised:
        posted(b"12345", limits).read()
    assert status_of(raised) == 413


def test_the_limit_is_not_on_the_body_itself() -> None:
    assert posted(b"12345", Limits(max_body=4)).body.read() == b"12345"


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


def test_json_that_is_announced_to_be_too_long_is_413() -> None:
    with pytest.raises(HTTPError) as raised:
        posted(b'"123"', Limits(max_body=4)).json()
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


# --- a body in chunks ---


def chunked(body: bytes, limits: Limits, content_type: str = "") -> Request:
    env = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_TYPE": content_type}
    return Request(env, io.BytesIO(body), limits)


def test_a_body_in_chunks_is_read_to_its_end() -> None:
    assert chunked(b"hello", Limits(max_body=5)).read() == b"hello"
    assert chunked(b"[1]", Limits(max_body=5)).json() == [1]


def test_a_body_in_chunks_over_the_limit_is_413() -> None:
    with pytest.raises(HTTPError) as raised:
        chunked(b"hello!", Limits(max_body=5)).read()
    assert status_of(raised) == 413


# --- limits ---


def test_limits_are_the_programs_and_the_server_may_change_them() -> None:
    one = Request({"NATIVECGI_MAX_FORM": "5"}, program_limits=Limits(max_body=4, max_form=9))
    assert (one.limits.max_body, one.limits.max_form) == (4, 5)


def test_limits_are_the_usual_ones_where_nobody_sets_any() -> None:
    assert request().limits == DEFAULT_LIMITS


def test_the_servers_limit_is_the_one_for_read() -> None:
    one = posted(b"12345", Limits(max_body=9))
    with pytest.raises(HTTPError) as raised:
        Request({**one.env, "NATIVECGI_MAX_BODY": "4"}, one.body, one.program_limits).read()
    assert status_of(raised) == 413


# --- forms ---

URLENCODED = "application/x-www-form-urlencoded"


def submitted(body: bytes, content_type: str = URLENCODED, limits: Limits | None = None) -> Request:
    env = {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": content_type}
    return Request(env, io.BytesIO(body), limits)


def test_form_gives_the_fields() -> None:
    assert submitted(b"a=1&b=x+y&a=").form() == MultiDict([("a", "1"), ("a", ""), ("b", "x y")])


def test_form_gives_the_fields_and_uploads_of_a_multipart_body() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="b"; filename="c"\r\n\r\n2\r\n--x--\r\n'
    )
    form = submitted(body, "multipart/form-data; boundary=x").form()
    assert form.texts == {"a": "1"}
    with form.files["b"].file as file:
        assert file.read() == b"2"


def test_form_is_read_once() -> None:
    one = submitted(b"a=1")
    assert one.form() is one.form()


def test_a_request_without_a_body_has_no_fields() -> None:
    assert not request().form()


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "multipart/mixed"])
def test_a_form_of_another_media_type_is_415(content_type: str) -> None:
    with pytest.raises(HTTPError) as raised:
        submitted(b"a=1", content_type).form()
    assert status_of(raised) == 415


def test_a_malformed_form_is_400() -> None:
    with pytest.raises(HTTPError) as raised:
        submitted(b"a=1", "multipart/form-data; boundary=x").form()
    assert status_of(raised) == 400


def test_a_form_over_a_limit_is_413() -> None:
    with pytest.raises(HTTPError) as raised:
        submitted(b"a=1&b=2", limits=Limits(max_fields=1)).form()
    assert status_of(raised) == 413


def test_a_form_in_chunks_over_a_limit_is_413() -> None:
    with pytest.raises(HTTPError) as raised:
        chunked(b"a=12345", Limits(max_body=5), URLENCODED).form()
    assert status_of(raised) == 413


def test_a_body_can_be_read_again() -> None:
    again = posted(b"[1]")
    assert (again.read(), again.json(), again.read()) == (b"[1]", [1], b"[1]")


def test_a_body_that_has_been_read_is_still_a_form() -> None:
    env = {"CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": "3"}
    again = Request(env, io.BytesIO(b"a=1"))
    assert (again.read(), again.form()["a"]) == (b"a=1", "1")


@pytest.mark.parametrize("content_type", [URLENCODED, "multipart/form-data; boundary=x"])
def test_a_body_that_was_read_as_a_form_is_not_empty_but_gone(content_type: str) -> None:
    one = submitted(b"--x--", content_type)
    one.form()
    for read in (one.read, one.json):
        with pytest.raises(ValueError, match="it was read as a form"):
            read()


def test_no_body_can_be_read_as_a_form_and_again() -> None:
    one = request()
    assert (len(one.form()), one.read()) == (0, b"")


@pytest.mark.parametrize("field", ["a b", 'a"onx=', "<b>", "a/b", "a@b", "a\r\nb", "\udcff"])
def test_what_is_no_host_is_not_taken_for_one(field: str) -> None:
    shown = request(HTTP_HOST=field, SERVER_NAME="a.example", SERVER_PORT="80")
    assert shown.host == "a.example"
