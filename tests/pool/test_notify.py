"""nativecgi.pool.notify: what systemd is told."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pool.running import PATIENCE, Pool

Start = Callable[..., Pool]


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(PATIENCE)
        yield receiver


def test_systemd_is_told_how_it_goes(start: Start, tmp_path: Path, systemd: socket.socket) -> None:
    pool = start(NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert systemd.recv(99) == b"READY=1"
    before = time.monotonic_ns() // 1000
    pool.send(signal.SIGHUP)
    reloading, _, usec = systemd.recv(99).partition(b"\nMONOTONIC_USEC=")
    assert reloading == b"RELOADING=1"
    assert before <= int(usec) <= time.monotonic_ns() // 1000
    assert systemd.recv(99) == b"READY=1"
    pool.send(signal.SIGTERM)
    assert systemd.recv(99) == b"STOPPING=1"


def test_systemd_is_told_nothing_while_workers_fail(
    start: Start, tmp_path: Path, systemd: socket.socket
) -> None:
    pool = start(NOTIFY_SOCKET=str(tmp_path / "notify"), START_FAILS="1")
    pool.wait_for("at its start")
    pool.send(signal.SIGTERM)
    assert systemd.recv(99) == b"STOPPING=1"


def test_a_pool_without_spare_workers_is_ready_at_once(
    start: Start, tmp_path: Path, systemd: socket.socket
) -> None:
    start("--spare=0", NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert systemd.recv(99) == b"READY=1"
