"""A pool behind nginx, with the configuration in docs/servers/nginx-fastcgi.conf."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servers import nginx
from servers.server import Server

SECONDS = 30


@pytest.fixture(scope="module")
def server(cgi_bin: Path) -> Iterator[Server]:
    """The app httpbin, compiled."""
    with nginx.pooling(cgi_bin / "httpbin", "--processes", "4") as served:
        yield served


def fetch(server: Server, path: str = "", data: bytes | None = None) -> Any:
    url = f"{server.url}/httpbin{path}"
    with urllib.request.urlopen(url, data, timeout=SECONDS) as answer:
        return json.loads(answer.read())


def test_a_request_is_answered(server: Server) -> None:
    assert fetch(server, "/get?a=1&b=%C3%BC")["params"] == {"a": ["1"], "b": ["ü"]}


def test_a_body_arrives(server: Server) -> None:
    told = fetch(server, "/post", b"name=value&" + b"x" * 200_000)
    assert "name" in json.dumps(told)


def test_many_are_answered_at_once(server: Server) -> None:
    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(lambda n: fetch(server, f"/get?n={n}"), range(200)))
    assert [it["params"]["n"] for it in told] == [[str(n)] for n in range(200)]


def test_a_path_that_only_begins_alike_is_not_the_program_s(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/httpbinning", timeout=SECONDS)


def test_head_has_no_body(server: Server) -> None:
    request = urllib.request.Request(f"{server.url}/httpbin/get", method="HEAD")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        assert answer.read() == b""


def test_what_a_program_says_is_in_the_log_of_nginx(cgi_bin: Path) -> None:
    with nginx.pooling(cgi_bin / "guestbook") as served:
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(f"{served.url}/guestbook", timeout=SECONDS)
        log = served.error_log.read_text()
    assert "FastCGI sent in stderr" in log
    assert "GUESTBOOK_DB" in log
