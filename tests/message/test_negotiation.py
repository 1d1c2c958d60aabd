"""nativecgi.message.negotiation: what of several things a client likes best (RFC 9110 12)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.message.negotiation import best_match

# RFC 9110 12.5.1, the last of its examples.
EXAMPLE = (
    "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, "
    "text/plain;format=fixed;q=0.4, */*;q=0.5"
)
# Every request of Java's HttpURLConnection.
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    ("field", "offers", "best"),
    [
        ("text/html", ["text/html"], "text/html"),
        ("text/html", ["text/plain"], None),
        ("text/html", ["text/plain", "text/html"], "text/html"),
        ("text/html, text/plain", ["text/plain", "text/html"], "text/plain"),
        ("text/html;q=0.5, text/plain", ["text/html", "text/plain"], "text/plain"),
        ("audio/*; q=0.2, audio/basic", ["audio/ogg", "audio/basic"], "audio/basic"),
        ("audio/*; q=0.2, audio/basic", ["audio/ogg", "text/html"], "audio/ogg"),
        ("text/plain; q=0.5, text/html, text/x-dvi; q=0.8", ["text/plain", "text/x-dvi"],
         "text/x-dvi"),
        ("*/*", ["a/b", "c/d"], "a/b"),
        ("*/*;q=0.1, c/d", ["a/b", "c/d"], "c/d"),
        ("a/*, */*;q=0.5", ["c/d", "a/b"], "a/b"),
        ("a/b;q=0, */*", ["a/b"], None),
        ("a/b;q=0, */*", ["a/b", "c/d"], "c/d"),
        ("a/*;q=0, a/b", ["a/c", "a/b"], "a/b"),
        ("text/html", [], None),
    ],
)  # fmt: skip
def test_the_best_is_what_the_most_specific_range_rates_highest(
    field: str, offers: list[str], best: str | None
) -> None:
    assert best_match(field, offers) == best


@pytest.mark.parametrize("field", ["", " ", "\t"])
def test_without_a_field_the_first_is_the_best(field: str) -> None:
    assert best_match(field, ["a/b", "c/d"]) == "a/b"
    assert best_match(field, []) is None


def test_case_does_not_count_and_the_offer_is_given_as_it_was_made() -> None:
    assert best_match("TEXT/Html;Q=1", ["text/HTML"]) == "text/HTML"


@pytest.mark.parametrize("field", ["a/b;q=0.5,c/d", " a/b ; q = 0.5 , c/d ", "a/b\t;\tq=0.5,,c/d,"])
def test_white_space_and_empty_elements_do_not_count(field: str) -> None:
    assert best_match(field, ["a/b", "c/d"]) == "c/d"


def test_a_type_that_is_listed_twice_is_rated_at_its_best() -> None:
    assert best_match("a/b;q=0.2, c/d;q=0.5, a/b;q=0.8", ["c/d", "a/b"]) == "a/b"


@pytest.mark.parametrize(
    ("weight", "is_wanted"),
    [
        ("1", True),
        ("1.000", True),
        ("0.001", True),
        ("1.", True),
        ("0.", False),
        ("0", False),
        ("0.000", False),
        ("", False),
        (".", False),
        ("-1", False),
        ("0.0001", False),
        ("1e0", False),
        ("0x1", False),
        ("nan", False),
        ("inf", False),
        ("१", False),
        ("0.१", False),
        ("0.1_1", False),
        ("0.5 x", False),
    ],
)
def test_a_weight_is_a_number_of_three_decimals_or_no_wish(weight: str, is_wanted: bool) -> None:
    assert (best_match(f"a/b;q={weight}", ["a/b"]) == "a/b") == is_wanted


# --- media types with parameters ---


@pytest.mark.parametrize(
    ("offer", "quality"),
    [("text/plain", 0.7), ("text/html", 0.3), ("image/jpeg", 0.5)],
)
def test_the_example_of_the_rfc_is_rated_as_it_says(offer: str, quality: float) -> None:
    for rival in (quality - 0.1, quality + 0.1):
        field = f"{EXAMPLE}, x/rival;q={rival:.1f}"
        assert best_match(field, [offer, "x/rival"]) == max((quality, offer), (rival, "x/rival"))[1]


def test_a_range_with_parameters_covers_what_none_without_does() -> None:
    assert best_match("application/json;charset=utf-8", ["application/json"]) == "application/json"
    assert best_match("a/b;v=1;q=0.2, a/*;q=0.9, c/d;q=0.5", ["a/b", "c/d"]) == "c/d"


def test_what_java_asks_for_by_default_can_be_had() -> None:
    assert best_match(JAVA, ["application/json"]) == "application/json"
    assert best_match(JAVA, ["application/json", "text/html"]) == "text/html"


# --- any field at all ---

RANGES = st.tuples(
    st.sampled_from(["a/b", "a/c", "a/*", "*/*", "d/e", "*", "", "a/b;v=1"]),
    st.sampled_from(["", ";q=0", ";q=0.5", ";q=1", ";q=x", ";q=.2", ";q"]),
).map("".join)


@given(st.text(st.characters()) | st.lists(RANGES).map(",".join), st.lists(st.text(max_size=3)))
def test_the_best_is_one_of_the_offers_or_none(field: str, offers: list[str]) -> None:
    assert best_match(field, offers) in [*offers, None]


@given(st.lists(RANGES).map(",".join), st.permutations(["a/b", "a/c", "d/e"]))
def test_the_order_of_the_ranges_does_not_count(field: str, offers: list[str]) -> None:
    turned = ",".join(reversed(field.split(",")))
    assert best_match(field, offers) == best_match(turned, offers)


@given(st.lists(RANGES).map(",".join))
def test_another_offer_takes_nothing_away(field: str) -> None:
    if best_match(field, ["a/b"]):
        assert best_match(field, ["a/b", "d/e"])
