"""A Mersenne Twister's state tells whether it was given a seed."""

import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.frozen import mersenne


def key(generator: random.Random) -> tuple[int, ...]:
    return generator.getstate()[1][:-1]  # type: ignore[no-any-return]


def numpys_key(generator: numpy.random.RandomState) -> list[int]:
    state = generator.get_state(legacy=False)
    return list(state["state"]["key"])


seeds = st.one_of(st.integers(), st.text(), st.binary(max_size=1000), st.floats(allow_nan=False))


@given(seeds)
def test_a_seed_is_found(seed: int | str | bytes | float) -> None:
    assert mersenne.is_given(key(random.Random(seed)))


@given(st.integers(0, 2**32 - 1) | st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200))
def test_a_seed_of_numpys_is_found(seed: int | list[int]) -> None:
    assert mersenne.is_given(numpys_key(numpy.random.RandomState(seed)))


@pytest.mark.parametrize("count", [1, 311, 312, 313, 625, 20_000])
def test_a_seed_is_found_when_numbers_have_been_drawn(count: int) -> None:
    generator, other = random.Random(7), numpy.random.RandomState(7)
    for _number in range(count):
        generator.random()
    other.random_sample(count)
    assert mersenne.is_given(key(generator))
    assert mersenne.is_given(numpys_key(other))


@pytest.mark.parametrize("count", [0, 1000])
def test_without_one_none_is_found(count: int) -> None:
    generator, other = random.Random(), numpy.random.RandomState()
    other.seed()
    for _number in range(count):
        generator.random()
    other.random_sample(count or 1)
    assert not mersenne.is_given(key(generator))
    assert not mersenne.is_given(numpys_key(other))


def test_a_search_ends_where_the_generator_has_seeded_itself() -> None:
    """Else it would take its longest time for most generators."""
    generator = random.Random()
    origin = key(generator)
    for _number in range(1000):
        generator.random()
    assert not mersenne.is_given(key(generator), origin)
    generator.setstate(random.Random(7).getstate())
    assert mersenne.is_given(key(generator), origin)


def test_a_state_is_turned_back_by_a_block() -> None:
    """But for the lower bits of its first word, which do not matter to what comes."""
    generator = random.Random()
    before = key(generator)
    generator.random()
    after = list(key(generator))
    assert after != list(before)
    mersenne._untwist(after)
    assert after[1:] == list(before[1:])
    assert after[0] >> 31 == before[0] >> 31
