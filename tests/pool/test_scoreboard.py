"""nativecgi.pool.scoreboard: what workers note, and what the manager reads."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from nativecgi.pool.scoreboard import Scoreboard, State, create
from tests.checkout import ROOT


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    made = create(3)
    yield made
    os.close(made.descriptor)


def test_a_slot_that_nobody_has_had_is_starting(board: Scoreboard) -> None:
    assert board.read(2).state == State.STARTING


@pytest.mark.parametrize("state", State)
def test_what_is_written_is_read(board: Scoreboard, state: State) -> None:
    before = time.monotonic_ns()
    board.write(1, state, 7)
    record = board.read(1)
    assert (record.state, record.served) == (state, 7)
    assert before <= record.since <= time.monotonic_ns()


def test_slots_do_not_touch_each_other(board: Scoreboard) -> None:
    board.write(0, State.BUSY, 1)
    board.write(2, State.IDLE, 2**32 - 1)
    assert [board.read(slot).served for slot in range(3)] == [1, 0, 2**32 - 1]


def test_a_count_that_has_no_room_starts_again(board: Scoreboard) -> None:
    board.write(0, State.IDLE, 2**32)
    assert board.read(0).served == 0


def test_another_process_writes_by_the_descriptor(board: Scoreboard) -> None:
    code = (
        "import sys; from nativecgi.pool.scoreboard import Scoreboard, State;"
        "Scoreboard(int(sys.argv[1])).write(1, State.BUSY, 5)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(board.descriptor)],
        pass_fds=[board.descriptor],
        cwd=ROOT,
        check=True,
    )
    assert board.read(1).served == 5


def test_nonsense_can_be_read(board: Scoreboard) -> None:
    os.pwrite(board.descriptor, b"\xff" * 48, 0)
    assert board.read(0).state in State


def test_programs_do_not_inherit_it(board: Scoreboard) -> None:
    assert not os.get_inheritable(board.descriptor)
