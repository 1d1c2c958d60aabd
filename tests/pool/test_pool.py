"""nativecgi.pool.pool: a manager, its workers and their clients, as processes."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.devserver.running import eventually, is_running
from tests.pool.running import Pool

Start = Callable[..., Pool]


# --- how many workers there are ---


def test_spare_workers_are_there_before_the_first_request(start: Start) -> None:
    pool = start("--spare=3")
    eventually(lambda: pool.has_idle(3))


def test_spare_workers_are_there_again_while_others_are_busy(start: Start) -> None:
    pool = start("--spare=1", "--processes=3")
    request = pool.begin("sleep 1")
    eventually(lambda: len(pool.workers()) == 2)
    assert request.result()


def test_without_spare_workers_one_starts_when_a_request_waits(start: Start) -> None:
    pool = start("--spare=0")
    assert pool.workers() == set()
    assert pool.ask("pid")
    eventually(lambda: pool.workers() == set())


def test_without_spare_workers_requests_run_beside_each_other(start: Start) -> None:
    pool = start("--spare=0", "--processes=2", "--isolation=process")
    requests = [pool.begin("sleep 0.5"), pool.begin("sleep 0.5")]
    eventually(lambda: len(pool.workers()) == 2)
    assert len({request.result() for request in requests}) == 2


@pytest.mark.parametrize("isolation", ["request", "process"])
@pytest.mark.parametrize("spare", [0, 2])
def test_more_requests_than_processes_are_all_answered(
    start: Start, isolation: str, spare: int
) -> None:
    pool = start("--processes=3", f"--spare={spare}", f"--isolation={isolation}")

    def work() -> None:
        requests = [pool.begin("sleep 0.1") for _ in range(12)]
        assert all(request.result() for request in requests)

    assert pool.peak(work) <= 3


def test_idle_workers_beyond_the_spare_ones_end(start: Start) -> None:
    pool = start("--spare=1", "--processes=3", "--isolation=process", "--idle-timeout=0.3")
    requests = [pool.begin("sleep 0.3") for _ in range(3)]
    eventually(lambda: len(pool.workers()) == 3)
    assert all(request.result() for request in requests)
    eventually(lambda: pool.has_idle(1))


# --- workers that fail ---


@pytest.mark.parametrize(
    ("line", "how"),
    [("die", "was killed by SIGSEGV"), ("fail", "ended with status 1"), ("quit", "ended with sta")],
)
def test_a_worker_that_dies_harms_only_its_client(start: Start, line: str, how: str) -> None:
    pool = start("--isolation=process", "--processes=2")
    other = pool.begin("sleep 0.5")
    assert pool.ask(line) == ""
    pool.wait_for(how)
    assert " in a request\n" in pool.log()
    assert other.result()
    assert pool.ask("pid")


def test_an_idle_worker_that_is_killed_is_replaced(start: Start) -> None:
    pool = start("--isolation=process", "--processes=1")
    eventually(lambda: pool.has_idle(1))
    (pid,) = pool.workers()
    os.kill(pid, signal.SIGKILL)
    assert pool.ask("pid") != str(pid)
    assert f"worker {pid} was killed by SIGKILL while it waited; the next one" in pool.log()


def test_workers_that_fail_at_their_start_are_not_started_at_once_again(start: Start) -> None:
    pool = start("--spare=1", START_FAILS="1")
    pool.wait_for("the next one starts in 0.4 s")
    lines = pool.log().splitlines()
    assert "ended with status 3 at its start; the next one starts in 0.1 s" in lines[0]
    assert len(lines) <= 4


def test_a_worker_that_takes_too_long_is_killed_with_its_children(
    start: Start, tmp_path: Path
) -> None:
    pool = start("--request-timeout=0.5")
    assert pool.ask(f"await 60 {tmp_path}/child") == ""
    assert "is busy for 0.5 s, and is killed" in pool.log()
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not is_running(child))


def test_the_time_limit_is_that_of_a_request_not_of_a_worker(start: Start) -> None:
    pool = start("--request-timeout=1", "--isolation=process", "--processes=1")
    for _ in range(4):
        assert pool.ask("sleep 0.4")
    assert pool.log() == ""


# --- the end ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("isolation", ["request", "process"])
def test_running_requests_end_before_the_pool_does(
    start: Start, number: int, isolation: str
) -> None:
    pool = start(f"--isolation={isolation}")
    request = pool.begin("sleep 0.7")
    eventually(lambda: pool.is_busy(1))
    workers = pool.workers()
    pool.send(number)
    pool.wait_for_refusal()
    assert int(request.result()) in workers
    assert pool.wait() == 0
    assert not any(map(is_running, workers))
    assert pool.log() == ""


def test_what_runs_longer_than_the_grace_is_killed(start: Start) -> None:
    pool = start("--grace=0.3")
    request = pool.begin("sleep 60")
    eventually(lambda: pool.is_busy(1))
    pool.send(signal.SIGTERM)
    assert request.result() == ""
    assert pool.wait() == 0
    assert "has not ended in time, and is killed" in pool.log()


def test_a_second_signal_leaves_no_grace(start: Start) -> None:
    pool = start("--grace=600")
    request = pool.begin("sleep 600")
    eventually(lambda: pool.is_busy(1))
    pool.send(signal.SIGINT)
    pool.wait_for_refusal()
    pool.send(signal.SIGINT)
    assert request.result() == ""
    assert pool.wait() == 0


@pytest.mark.parametrize("isolation", ["request", "process"])
def test_a_killed_manager_leaves_no_process(start: Start, isolation: str) -> None:
    pool = start(f"--isolation={isolation}")
    request = pool.begin("sleep 0.5")
    eventually(lambda: pool.is_busy(1))
    workers = pool.workers()
    pool.send(signal.SIGKILL)
    pool.wait()
    eventually(lambda: sum(map(is_running, workers)) <= 1)
    assert int(request.result()) in workers
    eventually(lambda: not any(map(is_running, workers)))


# --- the log ---


def test_the_log_is_reopened(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "errors"
    pool = start(f"--log={log}", "--isolation=process", "--processes=1")
    pool.ask("die")
    eventually(lambda: log.read_text().count("SIGSEGV") == 1)
    log.rename(tmp_path / "errors.1")
    pool.send(signal.SIGUSR1)
    eventually(log.exists)
    pool.ask("fail")
    eventually(lambda: "ValueError: as it was told" in log.read_text())
    assert "ValueError" not in (tmp_path / "errors.1").read_text()
    assert pool.log() == ""


def test_a_log_that_cannot_be_opened_is_told(start: Start) -> None:
    pool = start("--log=/nowhere/log")
    assert pool.wait() == 1
    assert "No such file or directory: '/nowhere/log'" in pool.log()


# --- what it leaves ---


def test_many_requests_leave_no_descriptor_and_no_zombie(start: Start) -> None:
    pool = start("--spare=2", "--processes=4", "--isolation=process", "--max-requests=10")
    eventually(lambda: pool.has_idle(2))
    before = pool.descriptors()
    requests = [pool.begin("pid") for _ in range(500)]
    assert len({request.result() for request in requests}) >= 50
    eventually(lambda: pool.has_idle(2))
    eventually(lambda: pool.descriptors() == before)
    eventually(lambda: pool.zombies() == 0)
    assert pool.log() == ""


def test_a_socket_that_is_in_use_is_told(start: Start, tmp_path: Path) -> None:
    start()
    second = start("--log=second")
    assert second.wait() == 1
    told = (tmp_path / "second").read_text()
    assert told == f"nativecgi: cannot listen on '{tmp_path}/socket': Address already in use\n"
