"""nativecgi.pool.anew: a manager that starts anew from its file, and loses no connection."""

import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.devserver.running import eventually
from tests.pool.running import PATIENCE, Pool

Start = Callable[..., Pool]


def test_the_new_file_is_started_in_the_same_process(start: Start) -> None:
    pool = start()
    assert pool.ask("version") == "old"
    pool.change("new")
    pool.send(signal.SIGHUP)
    eventually(lambda: pool.ask("version") == "new")
    assert pool.process.poll() is None


@pytest.mark.parametrize("isolation", ["request", "process"])
def test_no_connection_is_lost_while_it_starts_anew(start: Start, isolation: str) -> None:
    pool = start(f"--isolation={isolation}", "--processes=3")
    answers: list[str] = []
    is_over = threading.Event()

    def visit() -> None:
        while not is_over.is_set():
            answers.append(pool.ask("version"))

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    eventually(lambda: bool(answers))
    versions = ("second", "third", "fourth")
    for version in versions:
        pool.change(version)
        pool.send(signal.SIGHUP)
        eventually(lambda: answers[-1:] == [version])  # noqa: B023
    is_over.set()
    for visitor in visitors:
        visitor.join(PATIENCE)
    assert set(answers) == {"old", *versions}
    assert pool.log() == ""


def test_a_signal_that_comes_too_early_for_the_new_manager_is_not_lost(start: Start) -> None:
    pool = start()
    for _ in range(20):
        pool.send(signal.SIGHUP)
        time.sleep(0.005)
    assert pool.ask("pid")
    pool.send(signal.SIGHUP)
    pool.send(signal.SIGTERM)
    assert pool.wait() == 0


def test_requests_that_run_while_it_starts_anew_are_answered(start: Start) -> None:
    pool = start("--isolation=process", "--processes=2")
    request = pool.begin("sleep 1")
    eventually(lambda: pool.is_busy(1))

    def work() -> None:
        pool.change("new")
        pool.send(signal.SIGHUP)
        eventually(lambda: pool.ask("version") == "new")
        assert request.result()

    assert pool.peak(work) <= 2  # the busy one counts


def test_the_time_limit_goes_on_while_it_starts_anew(start: Start) -> None:
    pool = start("--request-timeout=1")
    request = pool.begin("sleep 60")
    eventually(lambda: pool.is_busy(1))
    pool.send(signal.SIGHUP)
    assert request.result() == ""
    assert "is busy for 1 s, and is killed" in pool.log()


def test_a_file_that_cannot_be_executed_leaves_everything_as_it_is(start: Start) -> None:
    pool = start("--isolation=process", "--processes=1", MISSING="1")
    pid = pool.ask("pid")
    pool.send(signal.SIGHUP)
    pool.wait_for("the pool goes on as it is, for it cannot start anew: [Errno 2] No such file")
    assert pool.ask("pid") == pid
    pool.send(signal.SIGTERM)
    assert pool.wait() == 0
