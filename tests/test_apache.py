"""The built programs behind a real Apache: event MPM and mod_cgid, on the loopback interface."""

import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import Struct

from servers.apache import serving
from servers.server import Server

HITS = 500


class Answer(Struct):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@pytest.fixture(scope="module")
def hits_file() -> Iterator[Path]:
    """A file that the server's user may write; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory(prefix="hits-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder, "hits.json")


@pytest.fixture(scope="module")
def server(cgi_bin: Path, hits_file: Path) -> Iterator[Server]:
    with serving(cgi_bin, environment={"HITCOUNTER_FILE": str(hits_file)}) as running:
        yield running


def fetch(url: str, body: bytes | None = None, method: str | None = None) -> Answer:
    request = urllib.request.Request(url, body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, dict(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def test_hello(server: Server) -> None:
    answer = fetch(f"{server.url}/hello")
    assert (answer.status, answer.body) == (200, b"Hello world")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_path_is_decoded(server: Server) -> None:
    assert fetch(f"{server.url}/hello/Zo%C3%AB%20B").body == "Hello Zoë B".encode()


def test_not_found(server: Server) -> None:
    assert fetch(f"{server.url}/hello/a/b").status == 404


def test_head(server: Server) -> None:
    answer = fetch(f"{server.url}/hello", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_posted_body(server: Server) -> None:
    answer = fetch(f"{server.url}/calculator", b'{"left": 6, "right": 7, "operator": "*"}')
    assert (answer.status, json.loads(answer.body)) == (200, {"result": 42})


def test_a_status_of_the_programs_own(server: Server) -> None:
    answer = fetch(f"{server.url}/calculator", b'{"left": 1, "right": 0, "operator": "/"}')
    assert (answer.status, answer.body) == (400, b"Nothing can be divided by zero.\n")


def test_a_large_body_that_nobody_reads(server: Server) -> None:
    answer = fetch(f"{server.url}/hello", b"x" * 5_000_000)
    assert (answer.status, answer.body) == (404, b"Not Found\n")


def test_httpbin(server: Server) -> None:
    shown = json.loads(fetch(f"{server.url}/httpbin/a/b?x=1&x=2").body)
    assert shown["url"] == f"{server.url}/httpbin/a/b?x=1&x=2"
    assert shown["params"] == {"x": ["1", "2"]}
    assert shown["server"].startswith("Apache/2.4")


def test_an_exception_is_in_the_error_log_and_not_on_the_page(server: Server) -> None:
    answer = fetch(f"{server.url}/probe/raise")
    assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    deadline = time.monotonic() + 10  # the log is written when the program's output is read
    while "RuntimeError: a secret" not in (log := server.error_log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "nativecgi: GET /cgi-bin/probe/raise: RuntimeError: a secret" in log
    assert "Traceback (most recent call last)" in log


def test_hits_at_the_same_time_are_all_counted(server: Server, hits_file: Path) -> None:
    with ThreadPoolExecutor(32) as pool:
        statuses = set(pool.map(lambda _hit: fetch(f"{server.url}/hitcounter").status, range(HITS)))
    assert statuses == {200}, server.error_log.read_text()
    assert json.loads(hits_file.read_bytes()) == {"hits": HITS}
