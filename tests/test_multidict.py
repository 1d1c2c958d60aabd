"""nativecgi.multidict: names with several values."""

import pytest

from nativecgi import MultiDict

TAGS = MultiDict([("tag", "a"), ("page", "2"), ("tag", ""), ("tag", "a")])


def test_a_names_value_is_its_first() -> None:
    assert TAGS["tag"] == "a"
    assert TAGS.get("tag") == "a"


def test_getlist_gives_all_values_in_order() -> None:
    assert TAGS.getlist("tag") == ["a", "", "a"]


def test_getlist_of_an_unknown_name_is_empty() -> None:
    assert TAGS.getlist("nobody") == []


def test_an_unknown_name_raises_key_error_with_the_name() -> None:
    with pytest.raises(KeyError, match="nobody"):
        TAGS["nobody"]


def test_get_has_a_default() -> None:
    assert TAGS.get("nobody") is None
    assert TAGS.get("nobody", "x") == "x"


def test_names_come_once_and_in_order_of_appearance() -> None:
    assert list(TAGS) == ["tag", "page"]
    assert len(TAGS) == 2


def test_an_empty_value_is_there() -> None:
    assert "flag" in MultiDict([("flag", "")])


def test_the_list_that_getlist_gives_is_the_callers() -> None:
    TAGS.getlist("tag").clear()
    assert len(TAGS.getlist("tag")) == 3


def test_repr_shows_all_values() -> None:
    assert repr(MultiDict([("a", "1"), ("a", "2")])) == "MultiDict({'a': ['1', '2']})"


def test_without_pairs_it_is_empty() -> None:
    assert not MultiDict()


def test_all_values_count_when_two_are_compared() -> None:
    assert MultiDict([("a", "1"), ("a", "2")]) == MultiDict([("a", "1"), ("a", "2")])
    assert MultiDict([("a", "1"), ("a", "2")]) != MultiDict([("a", "1"), ("a", "3")])
