"""A program as a pool: what one request leaves, and what the next one finds."""

import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.gateways.fastcgi.server import GET, Answer, ask

SECONDS = 30


@pytest.fixture(scope="module")
def program(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program leaver, frozen."""
    folder = tmp_path_factory.mktemp("leaver")
    app = ROOT / "tests" / "apps" / "leaver.py"
    command: list[str | Path] = [builder, ROOT / "build.py", "--fast", "-o", folder, app]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "leaver"


Pool = Callable[..., Path]


@pytest.fixture
def pool(program: Path, tmp_path: Path) -> Iterator[Pool]:
    """Starts a pool with options; its socket."""
    managers: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> Path:
        path = tmp_path / "socket"
        managers.append(subprocess.Popen([program, "--fastcgi", str(path), *options], cwd=tmp_path))
        await_listening(path)
        return path

    yield start
    for manager in managers:
        manager.send_signal(signal.SIGTERM)
        assert manager.wait(SECONDS) == 0


def await_listening(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
                return
            except OSError:
                time.sleep(0.01)
    raise AssertionError("nobody listens")


def answer(path: Path, page: str, query: str = "") -> Answer | None:
    return ask(path, {**GET, "PATH_INFO": page, "QUERY_STRING": query})


def found(path: Path, page: str = "/look", query: str = "") -> Any:
    told = answer(path, page, query)
    assert told is not None
    assert told.head.startswith("Status: 200 "), told
    return json.loads(told.body)


def lasting(state: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for all requests."""
    return {name: value for name, value in state.items() if name not in ("pid", "random")}


# A process for each request.


def test_nothing_that_a_request_leaves_is_there_for_another(pool: Pool) -> None:
    path = pool("--processes", "2", "--spare", "1")
    before = found(path)
    for _time in range(5):
        assert found(path, "/leave")["left"] == 1
        assert lasting(found(path)) == lasting(before)


def test_each_request_has_a_process_and_chance_of_its_own(pool: Pool) -> None:
    path = pool()
    states = [found(path) for _time in range(30)]
    assert len({state["pid"] for state in states}) == 30
    for values in zip(*(state["random"] for state in states), strict=True):
        assert len(set(values)) == 30


def test_hooks_run_before_each_request(pool: Pool) -> None:
    path = pool()
    assert {found(path)["begun"] for _time in range(5)} == {1}


def test_requests_beyond_all_processes_wait(pool: Pool) -> None:
    path = pool("--processes", "2")
    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(lambda _n: found(path, "/slow", "seconds=0.2"), range(8)))
    assert len({state["pid"] for state in states}) == 8


@pytest.mark.parametrize("page", ["/die"])
def test_a_process_that_dies_harms_nobody_else(pool: Pool, page: str) -> None:
    path = pool("--processes", "4")
    with ThreadPoolExecutor(4) as threads:
        others = [threads.submit(found, path, "/slow", "seconds=0.5") for _n in range(3)]
        assert answer(path, page) is None
        assert all(other.result()["begun"] == 1 for other in others)
    assert found(path)["left"] == 0


def test_a_program_that_exits_answers_all_the_same(pool: Pool) -> None:
    path = pool()
    told = answer(path, "/end")
    assert told is not None
    assert told.head.startswith("Status: 500 ")
    assert found(path)["left"] == 0


# One process for many.


def test_a_process_may_go_on_with_what_it_has(pool: Pool) -> None:
    path = pool("--isolation", "process", "--processes", "1", "--spare", "1")
    first = found(path, "/leave")
    second = found(path, "/leave")
    assert (second["pid"], second["left"], second["begun"]) == (first["pid"], 2, 1)


def test_a_process_ends_after_as_many_requests_as_it_may_answer(pool: Pool) -> None:
    path = pool(*("--isolation process --processes 1 --spare 1 --max-requests 3").split())
    counts = Counter(found(path)["pid"] for _time in range(9))
    assert max(counts.values()) == 3


def test_a_request_s_variables_are_not_the_next_one_s(pool: Pool) -> None:
    path = pool("--isolation", "process", "--processes", "1", "--spare", "1")
    ask(path, {**GET, "PATH_INFO": "/look", "LEFT": "by the server"})
    assert found(path)["variable"] is None


# How a pool begins.


def test_standard_input_may_be_the_listening_socket(program: Path, tmp_path: Path) -> None:
    with listening(tmp_path / "inherited") as (listener, path):
        manager = subprocess.Popen([program], stdin=listener.fileno())
        try:
            assert found(path)["left"] == 0
        finally:
            manager.send_signal(signal.SIGTERM)
            assert manager.wait(SECONDS) == 0


@contextmanager
def listening(path: Path) -> Iterator[tuple[socket.socket, Path]]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)
        yield listener, path


def test_a_request_in_the_environment_is_answered_as_cgi(program: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [program, "--fastcgi", tmp_path / "none"]
    result = subprocess.run(
        command,
        env={**GET, "PATH_INFO": "/look"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert result.stdout.startswith(b"Status: 200 OK")


def test_a_wrong_option_is_named(program: Path) -> None:
    result = subprocess.run(
        [program, "--fastcgi", ":0", "--processes", "none"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 2
    assert "--processes" in result.stderr


def test_help_tells_all_options(program: Path) -> None:
    result = subprocess.run(
        [program, "--help"], env={}, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    for option in ("--fastcgi", "--processes", "--spare", "--isolation", "--max-requests"):
        assert option in result.stdout
