"""nativecgi.message.credentials: a client's name and password (RFC 7617)."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi import BasicCredentials
from nativecgi.message.credentials import parse_basic


def basic(credentials: bytes) -> str:
    return "Basic " + b64encode(credentials).decode()


@pytest.mark.parametrize(
    ("field", "username", "password"),
    [
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),  # RFC 7617 2
        ("Basic dGVzdDoxMjPCow==", "test", "123£"),  # RFC 7617 2.1
        ("basic dGVzdDoxMjPCow==", "test", "123£"),
        ("BASIC   dGVzdDoxMjPCow==  ", "test", "123£"),
        (basic(b"a:b:c"), "a", "b:c"),
        (basic(b":"), "", ""),
        (basic(b"a:"), "a", ""),
        (basic(b":b"), "", "b"),
        (basic(b"\xff:\xfe"), "\udcff", "\udcfe"),
    ],
)
def test_credentials_are_name_and_password(field: str, username: str, password: str) -> None:
    assert parse_basic(field) == BasicCredentials(username, password)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Basic",
        "Basic ",
        "Basic\tYTpi",
        "BasicYTpi",
        "Bearer YTpi",
        'Digest username="a"',
        "YTpi",
        basic(b"no colon"),
        "Basic YTp",
        "Basic YT pi",
        "Basic YT\npi",
        "Basic Y_-i",
        "Basic =",
        "Basic ====",
        "Basic YTpi\0",
        "Basic ä",
        "Basic \udcff",
        "Basic YTpi, Basic YTpi",
    ],
)
def test_without_well_formed_credentials_there_are_none(field: str) -> None:
    assert parse_basic(field) is None


@given(st.text(st.characters()), st.sampled_from(["", "Basic ", "Basic YTpi"]))
def test_any_text_at_all_has_credentials_or_none(text: str, start: str) -> None:
    assert isinstance(parse_basic(start + text), BasicCredentials | None)


@given(st.binary().filter(lambda name: b":" not in name), st.binary())
def test_a_client_may_have_any_name_and_password(username: bytes, password: bytes) -> None:
    credentials = parse_basic(basic(username + b":" + password))
    assert credentials is not None
    assert credentials.username.encode("utf-8", "surrogateescape") == username
    assert credentials.password.encode("utf-8", "surrogateescape") == password
