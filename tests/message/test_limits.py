"""nativecgi.message.limits: what a request may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi import Limits
from nativecgi.message.limits import DEFAULT_LIMITS, in_force

NAMES = Limits.__struct_fields__


def variable(name: str) -> str:
    return f"NATIVECGI_{name.upper()}"


def test_the_usual_limits() -> None:
    assert Limits() == DEFAULT_LIMITS
    assert DEFAULT_LIMITS.max_body == 16 * 1024 * 1024
    assert DEFAULT_LIMITS.max_form == 64 * 1024 * 1024
    assert (DEFAULT_LIMITS.max_fields, DEFAULT_LIMITS.max_part_header) == (1000, 4096)
    assert DEFAULT_LIMITS.max_seconds == 0


def test_a_program_that_sets_no_limits_has_the_usual_ones() -> None:
    assert in_force(None, {}) == DEFAULT_LIMITS
    assert in_force(None, {"NATIVECGI_MAX_BODY": "9"}) == Limits(max_body=9)


def test_limits_do_not_change() -> None:
    with pytest.raises(AttributeError):
        DEFAULT_LIMITS.max_body = 1  # type: ignore[misc]


def test_without_variables_the_programs_limits_are_in_force() -> None:
    limits = Limits(max_body=1)
    assert in_force(limits, {"REQUEST_METHOD": "GET"}) == limits


@pytest.mark.parametrize("name", NAMES)
def test_the_servers_variable_comes_before_the_programs_limit(name: str) -> None:
    limits = Limits(**dict.fromkeys(NAMES, 7))
    changed = in_force(limits, {variable(name): "99"})
    assert {key: getattr(changed, key) for key in NAMES} == dict.fromkeys(NAMES, 7) | {name: 99}


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_reads_as_a_missing_one(name: str) -> None:
    assert in_force(DEFAULT_LIMITS, {variable(name): ""}) == DEFAULT_LIMITS


@pytest.mark.parametrize("text", ["-1", "+1", " 1", "1 ", "1k", "1_0", "1.5", "0x1", "१", "²", "x"])
def test_a_variable_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="NATIVECGI_MAX_BODY of the environment is no number"):
        in_force(DEFAULT_LIMITS, {"NATIVECGI_MAX_BODY": text})


def test_a_client_cannot_set_a_limit() -> None:
    assert in_force(DEFAULT_LIMITS, {"HTTP_NATIVECGI_MAX_BODY": "1"}) == DEFAULT_LIMITS


@given(st.integers(min_value=0, max_value=10**30))
def test_any_number_can_be_a_limit(number: int) -> None:
    env = {"NATIVECGI_MAX_FORM": str(number)}
    assert in_force(DEFAULT_LIMITS, env).max_form == number


@given(st.text(st.characters()))
def test_any_text_at_all_is_a_limit_or_refused(text: str) -> None:
    try:
        limits = in_force(DEFAULT_LIMITS, {"NATIVECGI_MAX_FORM": text})
    except ValueError:
        return
    assert limits.max_form >= 0
