"""The count of lines: which memory the instructions of a process read and write."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from bench.lines import Profile, profile

SECONDS = 30


@pytest.fixture(scope="module")
def program(compiled: Callable[..., Path]) -> Path:
    """A program whose variables are where its file says."""
    return compiled("touches.c", "-no-pie", "-fno-pie", "-O1")


@pytest.fixture(scope="module")
def seen(program: Path) -> Profile:
    """What it does."""
    return profile(program, {}, SECONDS)


@pytest.fixture(scope="module")
def variables(program: Path) -> Mapping[str, int]:
    """The addresses of its variables."""
    return symbols(program)


@cache
def symbols(program: Path) -> dict[str, int]:
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


def test_a_variable_that_is_read(seen: Profile, variables: Mapping[str, int]) -> None:
    assert variables["is_read"] in seen.reads
    assert variables["is_read"] not in seen.writes


def test_a_variable_that_is_written_to(seen: Profile, variables: Mapping[str, int]) -> None:
    assert variables["is_written"] in seen.writes
    assert variables["is_written"] not in seen.reads


def test_a_variable_that_is_both(seen: Profile, variables: Mapping[str, int]) -> None:
    assert variables["is_added_to"] in seen.writes


def test_an_address_that_is_only_computed(seen: Profile, variables: Mapping[str, int]) -> None:
    assert variables["is_not_touched"] not in {*seen.reads, *seen.writes}


def test_a_place_in_a_table(seen: Profile, variables: Mapping[str, int]) -> None:
    row = [variables["table"] + 3 * 64 + column for column in range(0, 64, 8)]
    assert [address for address in row if address in seen.writes] == row[:1]


def test_each_byte_of_an_instruction_that_repeats(
    seen: Profile, variables: Mapping[str, int]
) -> None:
    for name, touched in (("source", seen.reads), ("target", seen.writes)):
        words = range(variables[name] // 8 * 8, variables[name] + 256, 8)
        assert {*words} <= {*touched}


def test_all_words_of_a_wide_operand(seen: Profile, variables: Mapping[str, int]) -> None:
    row = variables["table"] + 6 * 64
    assert {row, row + 8} <= {*seen.reads}
    assert {row + 32, row + 40} <= {*seen.writes}


def test_addresses_are_in_the_order_of_their_first_use(
    seen: Profile, variables: Mapping[str, int]
) -> None:
    names = ("is_written", "is_added_to", "target")
    places = [seen.writes.index(variables[name] // 8 * 8) for name in names]
    assert places == sorted(places)


def test_instructions_are_counted(seen: Profile) -> None:
    assert 10_000 < seen.instructions < 1_000_000
    assert 100 < seen.lines < seen.instructions


def test_a_program_that_does_not_end_is_left_after_its_time(compiled: Callable[..., Path]) -> None:
    assert profile(compiled("asleep.c"), {}, 0.5).instructions > 0


def test_a_program_that_crashes_is_seen_until_then(compiled: Callable[..., Path]) -> None:
    assert profile(compiled("aborts.c"), {}, SECONDS).instructions > 0
