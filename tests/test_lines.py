"""Which memory the instructions of a process read and write."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from bench.lines import Touched, step
from nativecgi_build.freezer import ptrace


@pytest.fixture(scope="module")
def program(compiled: Callable[..., Path]) -> Path:
    """A program whose variables are where its file says."""
    return compiled("touches.c", "-no-pie", "-fno-pie", "-O1")


@pytest.fixture(scope="module")
def seen(program: Path) -> Touched:
    """What it touches."""
    touched, status = stepped(program)
    assert status == 0
    return touched


@pytest.fixture(scope="module")
def variables(program: Path) -> Mapping[str, int]:
    """The addresses of its variables."""
    return symbols(program)


def stepped(program: Path) -> tuple[Touched, int]:
    process = subprocess.Popen([program], env={}, preexec_fn=ptrace.trace_me)
    os.waitpid(process.pid, 0)
    result = step(process.pid)
    process.kill()
    process.wait()
    return result


@cache
def symbols(program: Path) -> dict[str, int]:
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


def test_a_variable_that_is_read(seen: Touched, variables: Mapping[str, int]) -> None:
    assert variables["is_read"] in seen.reads
    assert variables["is_read"] not in seen.writes


def test_a_variable_that_is_written_to(seen: Touched, variables: Mapping[str, int]) -> None:
    assert variables["is_written"] in seen.writes
    assert variables["is_written"] not in seen.reads


def test_a_variable_that_is_both(seen: Touched, variables: Mapping[str, int]) -> None:
    assert variables["is_added_to"] in seen.writes


def test_an_address_that_is_only_computed(seen: Touched, variables: Mapping[str, int]) -> None:
    assert variables["is_not_touched"] not in {*seen.reads, *seen.writes}


def test_a_place_in_a_table(seen: Touched, variables: Mapping[str, int]) -> None:
    row = [variables["table"] + 3 * 64 + column for column in range(0, 64, 8)]
    assert [address for address in row if address in seen.writes] == row[:1]


def test_each_byte_of_an_instruction_that_repeats(
    seen: Touched, variables: Mapping[str, int]
) -> None:
    for name, touched in (("source", seen.reads), ("target", seen.writes)):
        words = range(variables[name] // 8 * 8, variables[name] + 256, 8)
        assert {*words} <= {*touched}


def test_all_words_of_a_wide_operand(seen: Touched, variables: Mapping[str, int]) -> None:
    row = variables["table"] + 6 * 64
    assert {row, row + 8} <= {*seen.reads}
    assert {row + 32, row + 40} <= {*seen.writes}


def test_addresses_are_in_the_order_of_their_first_use(
    seen: Touched, variables: Mapping[str, int]
) -> None:
    names = ("is_written", "is_added_to", "target")
    places = [seen.writes.index(variables[name] // 8 * 8) for name in names]
    assert places == sorted(places)


def test_instructions_and_lines_are_counted(seen: Touched) -> None:
    assert 10_000 < seen.instructions < 1_000_000
    assert 100 < seen.code < seen.lines < seen.instructions


def test_a_program_that_gets_a_signal_is_seen_until_then(compiled: Callable[..., Path]) -> None:
    touched, status = stepped(compiled("aborts.c"))
    assert touched.instructions > 0
    assert os.WSTOPSIG(status) == signal.SIGABRT
