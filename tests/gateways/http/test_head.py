"""nativecgi.gateways.http.head: a request's head as CGI's meta-variables."""

import pytest

from tests.gateways.http.requests import chunked, head_of, post, request


def meta(
    *fields: str, line: str = "GET / HTTP/1.1", host: str | None = "a.example"
) -> dict[str, str]:
    return head_of(request(*fields, line=line, host=host)).meta


def test_a_request_becomes_the_meta_variables_of_cgi() -> None:
    assert meta("Accept: */*", line="GET /a%20b/c?x=1&y HTTP/1.1", host="a.example:81") == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "nativecgi",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "a.example",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50000",
        "REQUEST_METHOD": "GET",
        "REQUEST_SCHEME": "http",
        "REQUEST_URI": "/a%20b/c?x=1&y",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "x=1&y",
        "HTTP_HOST": "a.example:81",
        "HTTP_ACCEPT": "*/*",
    }


def test_type_and_length_of_a_body_have_names_of_their_own() -> None:
    variables = head_of(post(b"abc", "Content-Type: text/plain")).meta
    assert (variables["CONTENT_TYPE"], variables["CONTENT_LENGTH"]) == ("text/plain", "3")
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & set(variables)


def test_a_request_without_a_body_has_no_content_length() -> None:
    assert "CONTENT_LENGTH" not in meta()
    assert head_of(request()).length == 0


def test_a_body_in_chunks_has_its_coding_and_no_length() -> None:
    head = head_of(chunked(b"0\r\n\r\n"))
    assert head.meta["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert "CONTENT_LENGTH" not in head.meta
    assert head.length is None


def test_zeros_before_a_content_length_are_dropped() -> None:
    head = head_of(request("Content-Length: 003", line="POST / HTTP/1.1"))
    assert (head.meta["CONTENT_LENGTH"], head.length) == ("3", 3)


def test_repeated_fields_are_joined_by_commas() -> None:
    assert meta("Accept: a", "X: b", "accept: c")["HTTP_ACCEPT"] == "a, c"


def test_repeated_cookies_are_joined_by_semicolons() -> None:
    assert meta("Cookie: a=1", "Cookie: b=2")["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize("name", ["X_A", "X.A", "Content_Length", "Transfer_Encoding", "---"])
def test_a_name_that_is_not_letters_digits_and_hyphens_is_dropped(name: str) -> None:
    assert meta(f"{name}: 3") == meta()


def test_a_name_with_an_underscore_does_not_join_one_with_a_hyphen() -> None:
    assert meta("X-User: a", "X_User: b")["HTTP_X_USER"] == "a"


def test_a_proxy_field_is_dropped() -> None:
    assert meta("Proxy: http://evil.example/", "Proxy: again") == meta()


def test_blanks_around_a_value_are_not_part_of_it() -> None:
    assert meta("X: \t a\tb \t ")["HTTP_X"] == "a\tb"


def test_text_that_is_not_utf_8_is_kept_as_surrogates() -> None:
    variables = meta("X: \xff", line="GET /%ff%C3%A4 HTTP/1.1")
    assert (variables["HTTP_X"], variables["PATH_INFO"]) == ("\udcff", "/\udcffä")


def test_an_encoded_slash_is_decoded() -> None:
    assert meta(line="GET /a%2Fb HTTP/1.1")["PATH_INFO"] == "/a/b"


def test_a_query_stays_encoded() -> None:
    assert meta(line="GET /?a=%zz%00?b HTTP/1.1")["QUERY_STRING"] == "a=%zz%00?b"


def test_the_target_may_be_a_whole_url() -> None:
    variables = meta(line="GET HTTP://A.example/b?c HTTP/1.1")
    assert (variables["PATH_INFO"], variables["QUERY_STRING"]) == ("/b", "c")
    assert variables["REQUEST_URI"] == "/b?c"


def test_a_url_without_a_path_has_the_path_of_the_top() -> None:
    assert meta(line="GET http://a.example?c HTTP/1.1")["REQUEST_URI"] == "/?c"


def test_the_asterisk_of_options_is_no_path() -> None:
    variables = meta(line="OPTIONS * HTTP/1.1")
    assert (variables["PATH_INFO"], variables["REQUEST_URI"]) == ("", "*")


def test_two_slashes_at_the_beginning_are_a_path() -> None:
    assert meta(line="GET //b/c HTTP/1.1")["PATH_INFO"] == "//b/c"


@pytest.mark.parametrize(
    ("host", "name"),
    [("b.example", "b.example"), ("b.example:80", "b.example"), ("[::1]:80", "[::1]"), ("", "")],
)
def test_the_server_has_the_name_that_the_client_calls_it(host: str, name: str) -> None:
    variables = meta(host=host)
    assert (variables["SERVER_NAME"], variables["HTTP_HOST"]) == (name or "server.example", host)


def test_a_request_in_http_1_0_need_not_name_a_host() -> None:
    variables = meta(line="GET / HTTP/1.0", host=None)
    assert variables["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert variables["SERVER_NAME"] == "server.example"
    assert "HTTP_HOST" not in variables


@pytest.mark.parametrize(
    ("version", "fields", "keeps_alive"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: foo, Close"], False),
        ("1.1", ["Connection: keep-alive", "Connection: close"], False),
        ("1.0", [], False),
        ("1.0", ["Connection: Keep-Alive"], True),
        ("1.0", ["Connection: keep-alive, close"], False),
    ],
)
def test_the_client_says_whether_it_has_more_requests(
    version: str, fields: list[str], keeps_alive: bool
) -> None:
    assert head_of(request(*fields, line=f"GET / HTTP/{version}")).keeps_alive == keeps_alive


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_any_registered_method_is_passed_on(method: str) -> None:
    assert meta(line=f"{method} / HTTP/1.1")["REQUEST_METHOD"] == method


def test_a_request_for_an_upgrade_is_one_like_any_other() -> None:
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA")
    assert meta(*fields)["HTTP_UPGRADE"] == "h2c"
