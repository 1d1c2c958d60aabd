"""apps/clock.py: a page and the events that it shows."""

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from apps import clock
from nativecgi.testing import Client
from servers import apache
from servers.server import Server
from tests.browser import browsing

SECONDS = 30
TIME = re.compile(r"[0-2]\d:[0-5]\d:[0-5]\d")


@pytest.fixture(scope="module")
def server(cgi_bin: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="clock-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy2(cgi_bin / "clock", folder)
        with apache.serving(folder) as running:
            yield running


def test_an_event_has_the_time_and_an_id() -> None:
    before = int(time.time())
    lines = Client(clock.handle).get("/events?seconds=1").text.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["event", "id", "retry", "data", ""]
    now = int(lines[1].removeprefix("id: "))
    assert before <= now <= time.time()
    assert lines[3] == time.strftime("data: %H:%M:%S", time.gmtime(now))


@pytest.mark.parametrize(
    ("asked", "length"),
    [("0", 0), ("1", 1), ("59", 59), ("60", 60), ("61", 60), ("9" * 5000, 60)]
    + [(asked, 60) for asked in ("", "x", "-1", "1.5", "²")],
)
def test_a_stream_lasts_as_long_as_asked_for_and_no_longer_than_a_minute(
    asked: str, length: int
) -> None:
    assert clock.length(asked) == length


def test_the_second_that_was_seen_is_not_seen_again() -> None:
    time.sleep(1 - time.time() % 1)
    now = int(time.time())
    answer = Client(clock.handle).get("/events?seconds=1", headers={"Last-Event-ID": str(now)})
    assert f"id: {now + 1}\n" in answer.text


def test_another_path_is_not_found() -> None:
    assert Client(clock.handle).get("/other").status == 404


def test_events_arrive_one_by_one(server: Server) -> None:
    times = []
    request = Request(f"{server.url}/clock/events?seconds=3")
    with urlopen(request, timeout=SECONDS) as response:
        for line in response:
            if line.startswith(b"data: "):
                times.append((time.monotonic(), line))
    assert len({line for _time, line in times}) == 3
    assert times[-1][0] - times[0][0] > 0.7


def test_the_page_shows_the_time_and_goes_on_when_the_stream_has_ended(server: Server) -> None:
    with browsing() as browser:
        page = browser.page(f"{server.url}/clock?seconds=1")
        shown = "document.querySelector('time').textContent"
        page.await_that(f"{shown} !== '--:--:--'")
        first = page.value(shown)
        assert TIME.fullmatch(first)
        page.await_that(f"{shown} !== '{first}'")
        assert TIME.fullmatch(page.value(shown))
