"""nativecgi.pool.worker: what a worker does with its connections, and what it has."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi.pool.worker import Seat, parse
from tests.devserver.running import eventually
from tests.pool.running import Pool, started

Start = Callable[..., Pool]


# --- isolation ---


def test_with_request_isolation_each_request_has_another_process(start: Start) -> None:
    pool = start("--isolation=request")
    pids = [pool.ask("pid") for _ in range(5)]
    assert len(set(pids)) == 5


def test_with_process_isolation_a_worker_answers_all_requests(start: Start) -> None:
    pool = start("--isolation=process", "--processes=1")
    assert len({pool.ask("pid") for _ in range(5)}) == 1


def test_a_worker_gives_way_after_its_most_requests(start: Start) -> None:
    pool = start("--isolation=process", "--processes=1", "--max-requests=3")
    pids = [pool.ask("pid") for _ in range(6)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3]


# --- what a worker has ---


def test_children_of_a_worker_inherit_nothing_of_the_pool(start: Start) -> None:
    assert start().ask("descriptors") == "0 1 2 3"  # the last is of the listing itself


def test_workers_inherit_nothing_that_the_manager_has_inherited(tmp_path: Path) -> None:
    with (tmp_path / "stray").open("w") as stray, socket.socket() as another:
        given = [stray.fileno(), another.fileno()]
        with started(tmp_path, pass_fds=given) as pool:
            assert pool.ask("descriptors") == "0 1 2 3"


def test_a_program_that_the_app_starts_is_no_worker(start: Start) -> None:
    assert start().ask("variable NATIVECGI_WORKER") == "None"


def test_workers_have_the_managers_environment_but_for_what_is_the_managers(start: Start) -> None:
    pool = start(GREETING="hello", NOTIFY_SOCKET="/nowhere", LISTEN_PID="1", LISTEN_FDS="1")
    assert pool.ask("variable GREETING") == "hello"
    assert pool.ask("variable NOTIFY_SOCKET") == "None"
    assert pool.ask("variable LISTEN_FDS") == "None"


def test_a_seat_is_what_its_variable_says() -> None:
    seat = Seat("http", 3, 4, 5, 17, "process", 1000)
    assert seat.spec() == "http:3:4:5:17:process:1000"
    assert parse(seat.spec()) == seat


@pytest.mark.parametrize("spec", ["", "fastcgi", "fastcgi:3:4:5:0:request", "f:3:4:x:0:request:0"])
def test_what_describes_no_seat_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        parse(spec)


# --- SIGTERM ---


def test_an_idle_worker_that_is_told_to_end_is_replaced(start: Start) -> None:
    pool = start("--isolation=process", "--processes=1")
    eventually(lambda: pool.has_idle(1))
    (pid,) = pool.workers()
    os.kill(pid, signal.SIGTERM)
    assert pool.ask("pid") != str(pid)
    assert pool.log() == ""


def test_a_busy_worker_that_is_told_to_end_answers_first(start: Start) -> None:
    pool = start("--isolation=process", "--processes=1")
    request = pool.begin("sleep 0.5")
    eventually(lambda: pool.is_busy(1))
    (pid,) = pool.workers()
    os.kill(pid, signal.SIGTERM)
    assert request.result() == str(pid)
    assert pool.ask("pid") != str(pid)
    assert pool.log() == ""
