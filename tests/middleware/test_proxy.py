"""nativecgi.middleware.proxy: scheme, host and client as the proxies in front saw them."""

import io
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi import Limits, Request, Response, behind_proxy, json

# What the server sees of the last proxy.
SERVER = {
    "REQUEST_METHOD": "GET",
    "REQUEST_SCHEME": "http",
    "HTTP_HOST": "backend:8080",
    "REMOTE_ADDR": "10.0.0.1",
    "REMOTE_HOST": "proxy.internal",
}
FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "192.0.2.7",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "example.org",
}


def seen(env: dict[str, str], hops: int = 1) -> Request:
    """The request as the handler behind gets it."""
    requests: list[Request] = []

    def keep(request: Request) -> Response:
        requests.append(request)
        return Response()

    behind_proxy(keep, hops)(Request(SERVER | env))
    return requests[0]


def test_the_request_is_that_of_the_proxys_client() -> None:
    one = seen(FORWARDED)
    assert (one.scheme, one.host, one.remote_addr) == ("https", "example.org", "192.0.2.7")
    assert one.url == "https://example.org"
    assert one.env["REMOTE_HOST"] == "192.0.2.7"


def test_the_handlers_response_is_the_answer() -> None:
    response = Response(b"x", 201)
    assert behind_proxy(lambda _request: response)(Request(SERVER)) is response


def test_the_body_and_the_limits_are_those_of_the_request() -> None:
    limits = Limits(max_body=5)
    one = Request(SERVER | {"CONTENT_LENGTH": "5"}, io.BytesIO(b"hello"), limits)
    handle = behind_proxy(lambda request: json([request.read().decode(), request.limits.max_body]))
    assert handle(one).body == b'["hello",5]'


def test_the_request_itself_is_left_as_it_was() -> None:
    env = SERVER | FORWARDED
    behind_proxy(lambda _request: Response())(Request(env))
    assert env == SERVER | FORWARDED


def test_without_fields_a_request_stays_as_it_is() -> None:
    assert seen({}).env == SERVER


@pytest.mark.parametrize("hops", [0, -1])
def test_there_is_at_least_one_proxy(hops: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        behind_proxy(lambda _request: Response(), hops)


# --- whom to believe ---

LISTS = {
    "HTTP_X_FORWARDED_FOR": "6.6.6.6, 192.0.2.7,10.0.0.2",
    "HTTP_X_FORWARDED_PROTO": "http,https , http",
    "HTTP_X_FORWARDED_HOST": "evil.example, example.org, inner:81",
}


@pytest.mark.parametrize(
    ("hops", "url", "client"),
    [
        (1, "http://inner:81", "10.0.0.2"),
        (2, "https://example.org", "192.0.2.7"),
        (3, "http://evil.example", "6.6.6.6"),
        (4, "http://backend:8080", "10.0.0.1"),
    ],
)
def test_the_last_values_are_the_proxies_and_the_others_the_clients(
    hops: int, url: str, client: str
) -> None:
    one = seen(LISTS, hops)
    assert (one.url, one.remote_addr) == (url, client)


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "::ffff:c000:207"),
    ],
)
def test_an_address_is_without_brackets_and_port(node: str, address: str) -> None:
    one = seen({"HTTP_X_FORWARDED_FOR": node, "REMOTE_PORT": "80"})
    assert ip_address(one.remote_addr) == ip_address(address)
    assert (one.env["REMOTE_HOST"], one.env["REMOTE_PORT"]) == (one.remote_addr, "")


@pytest.mark.parametrize(
    "node",
    [
        *("unknown", "_hidden", "_SEVKISEK", "dead", "192.0.2", "192.0.2.256", "1", "0x7f000001"),
        *(
            "[192.0.2.7",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:123456",
            "[]:80",
            ":80",
            "[]",
            "::g",
        ),
        *("fe80::1%eth0", "[fe80::1%eth0]:80", "192.0.2.7 evil", "١٢٧.0.0.1"),
    ],
)
def test_what_is_no_address_leaves_the_client_unknown(node: str) -> None:
    """It is not the proxy, which may be allowed what the client is not."""
    one = seen({"HTTP_X_FORWARDED_FOR": node})
    assert (one.remote_addr, one.env["REMOTE_HOST"]) == ("", "")


def test_http_in_front_is_http_though_the_proxy_speaks_https() -> None:
    assert seen({"HTTPS": "on", "HTTP_X_FORWARDED_PROTO": "http"}).scheme == "http"


@pytest.mark.parametrize("scheme", ["", "ftp", "https,", "javascript", "https:", "on"])
def test_what_is_no_scheme_is_left_out(scheme: str) -> None:
    assert seen({"HTTP_X_FORWARDED_PROTO": scheme}).scheme == "http"


def test_a_scheme_is_one_in_capitals_too() -> None:
    assert seen({"HTTP_X_FORWARDED_PROTO": "HTTPS"}).scheme == "https"


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:8443", "192.0.2.1", "[2001:db8::1]:81", "a_b", "x%41"]
)
def test_a_host_is_a_name_or_an_address_with_a_port_or_none(host: str) -> None:
    assert seen({"HTTP_X_FORWARDED_HOST": host}).host == host


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a/b",
        "a@b",
        "a\r\nX: 1",
        "a\nb",
        "a:",
        "a:b",
        ":80",
        "[::1",
        "a?",
        "a#",
        "<a>",
        "ä",
    ],
)
def test_what_is_no_host_is_left_out(host: str) -> None:
    assert seen({"HTTP_X_FORWARDED_HOST": host}).host == "backend:8080"


@given(st.text(st.characters()), st.integers(1, 3))
def test_whatever_the_fields_are_there_is_a_request(text: str, hops: int) -> None:
    one = seen(dict.fromkeys(FORWARDED, text), hops)
    assert one.scheme in ("http", "https")
    assert not set(one.host) & set("/?#@ \r\n")


@given(st.lists(st.text("ab., :1", max_size=9), max_size=3))
def test_what_a_client_writes_before_changes_nothing(values: list[str]) -> None:
    env = {name: ",".join([*values, value]) for name, value in FORWARDED.items()}
    one, other = seen(env), seen(FORWARDED)
    assert (one.url, one.remote_addr) == (other.url, other.remote_addr)
