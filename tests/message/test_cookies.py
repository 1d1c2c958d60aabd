"""nativecgi.message.cookies and nativecgi.message.setcookie: cookies read and set (RFC 6265)."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi import MultiDict, Request, delete_cookie, set_cookie
from nativecgi.message.cookies import parse_cookies
from nativecgi.message.dates import parse_date

HTTP = Request({"REQUEST_SCHEME": "http"})
HTTPS = Request({"HTTPS": "on"})


def attributes(field: tuple[str, str]) -> dict[str, str]:
    """What a browser makes of a field (RFC 6265 5.2), less the cookie itself."""
    name, value = field
    assert name == "Set-Cookie"
    parts = [part.strip().partition("=") for part in value.split(";")[1:]]
    assert len({key.lower() for key, _separator, _value in parts}) == len(parts)
    return {key: value for key, _separator, value in parts}


# --- a request's cookies ---


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("a=1", [("a", "1")]),
        ("a=1; b=2", [("a", "1"), ("b", "2")]),
        ("a=1;b=2", [("a", "1"), ("b", "2")]),
        (" a = 1 ;\tb\t=\t2\t", [("a", "1"), ("b", "2")]),
        ("a=", [("a", "")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=b c", [("a", "b c")]),
        ("a=1,b=2", [("a", "1,b=2")]),
        ('a="1"', [("a", "1")]),
        ('a="1', [("a", '"1')]),
        ('a="', [("a", '"')]),
        ('a=""', [("a", "")]),
        ("a=%20+", [("a", "%20+")]),
        ("A=1; a=2", [("A", "1"), ("a", "2")]),
        ("$Version=1; a=1", [("$Version", "1"), ("a", "1")]),
        ("a=\udcff", [("a", "\udcff")]),
        ("a=ä€", [("a", "ä€")]),
    ],
)
def test_a_field_is_names_and_values(field: str, cookies: list[tuple[str, str]]) -> None:
    assert parse_cookies(field) == MultiDict(cookies)


@pytest.mark.parametrize("field", ["", ";", "; ;", "a", "=1", " =1", "=", "a; b"])
def test_a_cookie_that_is_no_pair_is_left_out(field: str) -> None:
    assert parse_cookies(field + "; c=3") == MultiDict([("c", "3")])
    assert not parse_cookies(field)


def test_the_first_of_a_name_is_its_value() -> None:
    assert parse_cookies("a=1; b=2; a=3")["a"] == "1"
    assert parse_cookies("a=1; b=2; a=3").getlist("a") == ["1", "3"]


def test_10_000_cookies_are_read() -> None:
    field = "; ".join(f"c{number}={number}" for number in range(10_000))
    assert len(parse_cookies(field)) == 10_000


@given(st.text(st.characters()))
def test_any_text_at_all_has_cookies_with_names(field: str) -> None:
    assert all(parse_cookies(field))


# --- a field that sets one (4.1) ---


def test_a_field_has_a_cookie_and_what_is_safe() -> None:
    field = "Set-Cookie", "seen=1; Path=/; HttpOnly; SameSite=Lax"
    assert set_cookie(HTTP, "seen", "1") == field


def test_without_max_age_a_cookie_lasts_until_the_browser_is_closed() -> None:
    assert not {"Max-Age", "Expires"} & set(attributes(set_cookie(HTTP, "a", "1")))


@pytest.mark.parametrize("seconds", [1, 60, 2**31 - 1])
def test_max_age_is_said_in_seconds_and_as_a_date(seconds: int) -> None:
    before = int(time.time())
    field = attributes(set_cookie(HTTP, "a", "1", max_age=seconds))
    assert field["Max-Age"] == str(seconds)
    assert before <= (parse_date(field["Expires"]) or 0) - seconds <= int(time.time())


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_cookie_of_no_age_is_one_to_forget(seconds: int) -> None:
    field = attributes(set_cookie(HTTP, "a", "1", max_age=seconds))
    assert field["Max-Age"] == str(seconds)
    assert parse_date(field["Expires"]) == 0


def test_a_cookie_of_https_is_for_https_alone() -> None:
    assert "Secure" in attributes(set_cookie(HTTPS, "a", "1"))
    assert "Secure" not in attributes(set_cookie(HTTP, "a", "1"))


def test_a_cookie_is_secure_or_not_where_that_is_said() -> None:
    assert "Secure" in attributes(set_cookie(HTTP, "a", "1", secure=True))
    assert "Secure" not in attributes(set_cookie(HTTPS, "a", "1", secure=False))


def test_a_cookie_can_be_one_for_scripts() -> None:
    assert "HttpOnly" not in attributes(set_cookie(HTTP, "a", "1", http_only=False))


def test_a_cookie_can_be_for_a_path_and_a_domain() -> None:
    field = attributes(set_cookie(HTTP, "a", "1", path="/x y", domain="example.org"))
    assert (field["Path"], field["Domain"]) == ("/x y", "example.org")
    assert "Domain" not in attributes(set_cookie(HTTP, "a", "1"))


@pytest.mark.parametrize("same_site", ["Lax", "Strict"])
def test_a_cookie_is_for_the_same_site(same_site: Any) -> None:
    assert attributes(set_cookie(HTTP, "a", "1", same_site=same_site))["SameSite"] == same_site


@pytest.mark.parametrize("same_site", ["", "lax", "none", "Lax; Domain=example.org", "\r\nX: 1"])
def test_there_are_three_kinds_of_same_site(same_site: Any) -> None:
    with pytest.raises(ValueError, match="SameSite is one of"):
        set_cookie(HTTPS, "a", "1", same_site=same_site)


@pytest.mark.parametrize("name", ["__Host-a", "__Secure-a", "__host-a", "__SECURE-a"])
def test_a_cookie_whose_name_says_so_is_secure(name: str) -> None:
    """So browsers want it (RFC 6265bis 4.1.3), and there is http only in front of a proxy."""
    assert "Secure" in attributes(set_cookie(HTTP, name, "1"))
    assert "Secure" in attributes(delete_cookie(HTTP, name))
    with pytest.raises(ValueError, match="not Secure"):
        set_cookie(HTTPS, name, "1", secure=False)


@pytest.mark.parametrize("options", [{"path": "/a"}, {"path": ""}, {"domain": "example.org"}])
def test_a_cookie_of_the_host_is_for_all_of_it_and_nothing_else(options: Any) -> None:
    with pytest.raises(ValueError, match="__Host-a"):
        set_cookie(HTTPS, "__Host-a", "1", **options)
    set_cookie(HTTPS, "__Secure-a", "1", **options)


def test_a_cookie_for_other_sites_has_to_be_secure() -> None:
    assert attributes(set_cookie(HTTPS, "a", "1", same_site="None"))["SameSite"] == "None"
    with pytest.raises(ValueError, match="Secure"):
        set_cookie(HTTP, "a", "1", same_site="None")


@pytest.mark.parametrize(
    "value", [" ", "a b", ",", ";", '"', "\\", "ä", "\0", "\r\n", "a\n", "\x7f"]
)
def test_a_value_that_no_cookie_can_have_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="encode it first"):
        set_cookie(HTTP, "a", value)


@pytest.mark.parametrize("name", ["", "a b", "a=", "a;", "ä", "a\n", "(a)", '"a"', "\0"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        set_cookie(HTTP, name, "1")


@pytest.mark.parametrize("text", ["/;", "/\r\nX: 1", "/\n", "/ä", "/\0", "/\x7f", "/; Secure"])
def test_a_path_or_a_domain_that_would_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a cookie cannot be for"):
        set_cookie(HTTP, "a", "1", path=text)
    with pytest.raises(ValueError, match="a cookie cannot be for"):
        set_cookie(HTTP, "a", "1", domain=text)


def test_a_cookie_is_deleted_with_the_path_and_the_domain_it_was_set_with() -> None:
    name, value = delete_cookie(HTTPS, "a", path="/x", domain="example.org")
    field = attributes((name, value))
    assert value.startswith("a=;")
    assert (field["Max-Age"], parse_date(field["Expires"])) == ("0", 0)
    assert (field["Path"], field["Domain"]) == ("/x", "example.org")


def test_a_cookie_is_deleted_for_the_whole_site() -> None:
    assert attributes(delete_cookie(HTTP, "a"))["Path"] == "/"


# --- there and back ---

TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=6)
OCTETS = st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;\\'], max_size=6)


@given(TOKENS, OCTETS)
def test_a_browser_sends_back_what_was_set(name: str, value: str) -> None:
    cookie = set_cookie(HTTP, name, value)[1].partition(";")[0]
    assert list(parse_cookies(cookie).pairs()) == [(name, value)]


@given(st.text(st.characters(), max_size=6), st.text(st.characters(), max_size=6))
def test_a_cookie_is_refused_or_arrives_as_it_is(name: str, value: str) -> None:
    try:
        cookie = set_cookie(HTTP, name, value)[1].partition(";")[0]
    except ValueError:
        return
    assert list(parse_cookies(cookie).pairs()) == [(name, value)]


def test_a_cookie_for_https_alone_is_deleted_as_one() -> None:
    _name, field = delete_cookie(Request({}), "__Host-s", secure=True, same_site="None")
    assert "; Secure" in field
    assert "; SameSite=None" in field
