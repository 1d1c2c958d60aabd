"""nativecgi.message.multidict: names with several values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_an_empty_one_is_another_empty_one() -> None:
    assert MultiDict() == MultiDict()
    assert MultiDict() == {}


def test_the_order_of_names_does_not_count_when_two_are_compared() -> None:
    assert MultiDict([("a", "1"), ("b", "2")]) == MultiDict([("b", "2"), ("a", "1")])
    assert MultiDict([("a", "1"), ("a", "2")]) != MultiDict([("a", "2"), ("a", "1")])


def test_a_plain_mapping_has_one_value_of_each_name() -> None:
    assert MultiDict([("a", "1"), ("b", "2")]) == {"b": "2", "a": "1"}
    assert MultiDict([("a", "1")]) != {"a": "2"}
    assert MultiDict([("a", "1"), ("a", "2")]) != {"a": "1"}
    assert {"a": "1"} != MultiDict([("a", "1"), ("a", "2")])  # noqa: SIM300


@pytest.mark.parametrize("other", [None, [("a", "1")], "a", 1])
def test_what_is_no_mapping_is_not_the_same(other: object) -> None:
    assert MultiDict([("a", "1")]) != other


def test_pairs_are_all_values_name_by_name() -> None:
    assert list(TAGS.pairs()) == [("tag", "a"), ("tag", ""), ("tag", "a"), ("page", "2")]


def test_it_is_a_mapping_of_first_values() -> None:
    assert dict(TAGS) == {"tag": "a", "page": "2"}
    assert list(TAGS.items()) == [("tag", "a"), ("page", "2")]
    assert {**TAGS} == {"tag": "a", "page": "2"}


def test_it_is_read_only() -> None:
    with pytest.raises(TypeError):
        TAGS["tag"] = "b"  # type: ignore[index]


def test_values_can_be_anything() -> None:
    assert MultiDict([("a", 1), ("a", None)]).getlist("a") == [1, None]


@given(st.lists(st.tuples(st.text(max_size=2), st.integers())))
def test_no_pair_is_lost(pairs: list[tuple[str, int]]) -> None:
    one = MultiDict(pairs)
    assert sorted(one.pairs()) == sorted(pairs)
    assert MultiDict(one.pairs()) == one
    assert [one[name] for name in one] == [one.getlist(name)[0] for name in one]
