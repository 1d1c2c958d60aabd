"""nativecgi.message.headers: a request's fields, and what a response's are made of."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nativecgi import Headers
from nativecgi.message.headers import HeaderFields, lower_name, pairs

BROWSER = {
    "REQUEST_METHOD": "POST",
    "HTTP_USER_AGENT": "curl/8",
    "HTTP_X_REAL_IP": "192.0.2.7",
    "CONTENT_TYPE": "text/plain",
    "CONTENT_LENGTH": "5",
    "HTTPS": "on",
}
VARIABLES = ("CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_HOST", "HTTP_", "HTTPS")


@pytest.mark.parametrize("name", ["User-Agent", "user-agent", "USER-AGENT", "User_Agent"])
def test_a_field_is_found_in_any_spelling(name: str) -> None:
    assert Headers(BROWSER)[name] == "curl/8"


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_content_type_is_found_though_its_variable_has_no_prefix(name: str) -> None:
    assert Headers(BROWSER)[name] == "text/plain"


def test_content_length_is_found_though_its_variable_has_no_prefix() -> None:
    assert Headers(BROWSER)["Content-Length"] == "5"


def test_a_field_that_was_not_sent_raises_key_error_with_its_name() -> None:
    with pytest.raises(KeyError, match="X-Missing"):
        Headers(BROWSER)["X-Missing"]


def test_get_has_a_default() -> None:
    assert Headers(BROWSER).get("X-Missing") is None
    assert Headers(BROWSER).get("X-Missing", "none") == "none"


@pytest.mark.parametrize("name", ["Request-Method", "REQUEST_METHOD", "s", "HTTPS", ""])
def test_other_variables_are_no_fields(name: str) -> None:
    assert name not in Headers(BROWSER)


def test_iterating_gives_the_usual_spelling() -> None:
    names = ["User-Agent", "X-Real-Ip", "Content-Type", "Content-Length"]
    assert list(Headers(BROWSER)) == names
    assert len(Headers(BROWSER)) == 4


def test_items_are_names_and_values() -> None:
    assert dict(Headers({"HTTP_HOST": "a.example"})) == {"Host": "a.example"}


def test_repr_shows_all_fields() -> None:
    assert repr(Headers({"HTTP_HOST": "a.example"})) == "Headers({'Host': 'a.example'})"


# RFC 3875 4.1: a meta-variable without a value and a missing one are the same; nginx sets
# both variables for every request.
@pytest.mark.parametrize("variable", ["CONTENT_TYPE", "CONTENT_LENGTH"])
def test_an_empty_content_variable_is_no_field(variable: str) -> None:
    headers = Headers({variable: ""})
    assert list(headers) == []
    assert variable.replace("_", "-") not in headers


# What a client's field `Content_Type` becomes behind a server that takes underscores.
def test_a_prefixed_content_variable_is_no_second_field() -> None:
    headers = Headers({"HTTP_CONTENT_TYPE": "text/html", "CONTENT_TYPE": "text/plain"})
    assert dict(headers) == {"Content-Type": "text/plain"}
    assert len(headers) == 1


def test_a_prefixed_content_variable_is_no_field() -> None:
    assert dict(Headers({"HTTP_CONTENT_LENGTH": "5"})) == {}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=3)))
def test_what_iterating_gives_can_be_looked_up(env: dict[str, str]) -> None:
    headers = Headers(env)
    assert len(dict(headers)) == len(headers)
    assert all(name in headers for name in headers)


def one_by_one() -> Iterator[tuple[str, str]]:
    yield "A", "1"
    yield "A", "2"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"A": "1", "B": "2"}, [("A", "1"), ("B", "2")]),
        ([("A", "1"), ("A", "2")], [("A", "1"), ("A", "2")]),
        ((("A", "1"), ("A", "2")), [("A", "1"), ("A", "2")]),
        (one_by_one(), [("A", "1"), ("A", "2")]),
        (Headers({"HTTP_ACCEPT": "*/*"}), [("Accept", "*/*")]),
        ((), []),
    ],
    ids=["mapping", "list", "tuple", "iterator", "headers", "none"],
)
def test_pairs_takes_a_mapping_or_pairs(
    fields: HeaderFields, expected: list[tuple[str, str]]
) -> None:
    assert pairs(fields) == expected


def test_a_variable_that_no_name_leads_to_is_no_field() -> None:
    assert dict(Headers({"HTTP_User": "x", "HTTP_ACCEPT": "y"})) == {"Accept": "y"}


def test_pairs_gives_a_list_of_its_own() -> None:
    fields = [("A", "1")]
    pairs(fields).append(("B", "2"))
    assert fields == [("A", "1")]


@pytest.mark.parametrize("name", ["X", "Content-Type", "x-9", "!#$%&'*+-.^_`|~", "-"])
def test_a_token_is_a_fields_name(name: str) -> None:
    assert lower_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    ["", " ", "A B", "A:", "A\r", "A\nB", "A\0", "A\t", "Ä", "٣", "A(", "A/B", "[A]", '"', "\x7f"],
)
def test_anything_else_is_refused_as_a_fields_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a header field's name"):
        lower_name(name)
