"""Counting a program's instructions, and that hello takes no more of them than it did."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench import instructions, programs
from bench.errors import BenchError
from bench.instructions import Count
from bench.programs import Program

ASSEMBLED = ("-nostdlib", "-static", "-no-pie")
INSTRUCTIONS = 12  # of answers.S

Answering = Callable[..., Program]


@pytest.fixture(scope="module")
def hello(cgi_bin: Path) -> Count:
    """What hello takes."""
    return instructions.count(programs.hello(cgi_bin))


@pytest.fixture
def answering(compiled: Callable[..., Path]) -> Answering:
    """A program of known instructions: `answering("-DSTATUS=3")`."""

    def compile_program(*flags: str) -> Program:
        return Program("answers", compiled("answers.S", *ASSEMBLED, *flags))

    return compile_program


def test_each_instruction_counts_and_a_repeated_one_once(answering: Answering) -> None:
    assert instructions.count(answering()).instructions == INSTRUCTIONS


def test_a_program_that_gives_another_answer_is_not_counted(answering: Answering) -> None:
    with pytest.raises(BenchError, match="without b'Hello moon'"):
        instructions.count(replace(answering(), answer=b"Hello moon"))


def test_a_program_that_fails_is_not_counted(answering: Answering) -> None:
    with pytest.raises(BenchError, match="ended with status 3"):
        instructions.count(answering("-DSTATUS=3"))


def test_a_program_that_gets_a_signal_is_not_counted(answering: Answering) -> None:
    with pytest.raises(BenchError, match="SIGILL"):
        instructions.count(answering("-DKILLED"))


def test_a_baseline_is_recorded_beside_those_of_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "instructions.json"
    file.write_text('{"another": {"instructions": 1, "lines": 1}}')
    monkeypatch.setattr(instructions, "BASELINE", file)
    assert instructions.baseline() is None
    instructions.record(Count(instructions=2, lines=1))
    assert instructions.baseline() == Count(instructions=2, lines=1)
    assert '"another"' in file.read_text()


@pytest.mark.parametrize("what", ["instructions", "lines"])
def test_hello_takes_no_more_than_it_did(hello: Count, what: str) -> None:
    before = instructions.baseline()
    if before is None:
        pytest.skip(
            f"none are recorded for {instructions.machine()}: make instructions counts and "
            f"records those of hello, in {instructions.BASELINE}"
        )
    now, recorded = getattr(hello, what), getattr(before, what)
    more = now / recorded - 1
    assert more <= instructions.TOLERANCE, (
        f"hello takes {now:,} {what} for a request, {more:.1%} more than the {recorded:,} "
        f"recorded. If that is worth what it takes them for: make instructions records the new "
        f"number"
    )
