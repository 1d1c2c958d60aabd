"""tests/apps/gateways.py: WSGI and ASGI in a built program, alone and behind each server."""

import shutil
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from nativecgi.testing import Client
from servers import apache, lighttpd, nginx
from servers.server import Server
from tests.test_servers import fetch

SECONDS = 30
SERVING = {"apache": apache.serving, "nginx": nginx.serving, "lighttpd": lighttpd.serving}

both = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


@pytest.fixture(scope="module", params=SERVING)
def server(request: pytest.FixtureRequest, cgi_bin: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="gateways-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy2(cgi_bin / "gateways", folder)
        with SERVING[request.param](folder) as running:
            yield running


@pytest.fixture
def client(cgi_bin: Path) -> Client:
    return Client(cgi_bin / "gateways")


# --- alone ---


@both
def test_the_path_comes_through(client: Client, kind: str) -> None:
    answer = client.get(f"/{kind}/Zo%C3%AB")
    assert (answer.status, answer.text) == (200, f"/{kind}/Zoë")
    assert (answer.log, answer.exit_status) == ("", 0)


@both
def test_head_has_no_body(client: Client, kind: str) -> None:
    answer = client.head(f"/{kind}/")
    assert (answer.status, answer.body, answer.log, answer.exit_status) == (200, b"", "", 0)


@both
def test_a_failure_is_500_with_a_traceback_in_the_log(client: Client, kind: str) -> None:
    answer = client.get(f"/{kind}/fail")
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert "LookupError: a secret" in answer.log


# --- behind a server ---


@both
def test_the_path_comes_through_a_server(server: Server, kind: str) -> None:
    assert fetch(f"{server.url}/gateways/{kind}/Zo%C3%AB").decode() == f"/{kind}/Zoë"


@both
@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_a_body_is_read_while_it_is_sent_back(server: Server, kind: str, size: int) -> None:
    assert fetch(f"{server.url}/gateways/{kind}/echo", b"x" * size) == b"x" * size


@both
def test_a_body_in_chunks_is_whole(server: Server, kind: str) -> None:
    url = f"{server.url}/gateways/{kind}/echo"
    assert fetch(url, iter([b"x" * 50_000] * 3)) == b"x" * 150_000


@both
def test_a_piece_arrives_before_the_next_is_made(server: Server, kind: str) -> None:
    started = time.monotonic()
    with urlopen(f"{server.url}/gateways/{kind}/slow", timeout=SECONDS) as response:
        assert response.readline() == b"one\n"
    assert time.monotonic() - started < 9


@both
def test_fields_may_repeat(server: Server, kind: str) -> None:
    with urlopen(f"{server.url}/gateways/{kind}/cookies", timeout=SECONDS) as response:
        assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2", "c=3"]


@both
def test_a_failure_is_500(server: Server, kind: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{server.url}/gateways/{kind}/fail")
    caught.value.close()
    assert caught.value.code == 500
