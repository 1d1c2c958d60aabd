"""apps/streamed.py: ticks that arrive one by one, behind each server."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from apps import streamed
from nativecgi.testing import Client
from servers import apache, lighttpd, nginx
from servers.server import Server

SECONDS = 30
SERVING = {"apache": apache.serving, "nginx": nginx.serving, "lighttpd": lighttpd.serving}


@pytest.fixture(scope="module", params=SERVING)
def server(request: pytest.FixtureRequest, cgi_bin: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="streamed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy2(cgi_bin / "streamed", folder)
        with SERVING[request.param](folder) as running:
            yield running


# --- what is asked for ---


def test_ten_ticks_are_the_default() -> None:
    lines = Client(streamed.handle).get("/?interval=0").text.splitlines()
    assert lines == [f"tick {number} of 10" for number in range(1, 11)]


def test_a_second_is_the_default_between_two() -> None:
    started = time.monotonic()
    assert Client(streamed.handle).get("/?n=2").text == "tick 1 of 2\ntick 2 of 2\n"
    assert 1 <= time.monotonic() - started < SECONDS


@pytest.mark.parametrize("count", [1, 100])
def test_so_many_ticks_can_be_asked_for(count: int) -> None:
    answer = Client(streamed.handle).get(f"/?n={count}&interval=0")
    assert len(answer.text.splitlines()) == count


@pytest.mark.parametrize("count", ["0", "101", "-1", "2.5", "x", "", "nan", "inf", "9" * 5000])
def test_so_many_ticks_are_refused(count: str) -> None:
    answer = Client(streamed.handle).get(f"/?n={count}&interval=0")
    assert answer.status == 400
    assert answer.text == f"{count!r} is not a whole number from 1 to 100.\n"


@pytest.mark.parametrize("interval", ["-0.1", "10.1", "x", "", "nan", "inf"])
def test_such_intervals_are_refused(interval: str) -> None:
    answer = Client(streamed.handle).get(f"/?interval={interval}")
    assert answer.status == 400
    assert answer.text == f"{interval!r} is not a number from 0 to 10.\n"


# --- how it arrives ---


def test_a_tick_arrives_before_the_next_one_is_made(server: Server) -> None:
    started = time.monotonic()
    with urlopen(f"{server.url}/streamed?n=2&interval=10", timeout=SECONDS) as response:
        assert response.readline() == b"tick 1 of 2\n"
    assert time.monotonic() - started < 9


def test_ticks_arrive_one_by_one(server: Server) -> None:
    times = []
    with urlopen(f"{server.url}/streamed?n=4&interval=0.3", timeout=SECONDS) as response:
        while response.readline():
            times.append(time.monotonic())
    assert len(times) == 4
    assert times[-1] - times[0] > 0.7
