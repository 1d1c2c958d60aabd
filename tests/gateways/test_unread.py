"""Bodies that nobody reads, through real servers: there is an answer all the same."""

import http.client
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from servers import apache, lighttpd, nginx
from servers.server import Server
from tests.conftest import ROOT

SERVING = {"apache": apache.serving, "nginx": nginx.serving, "lighttpd": lighttpd.serving}
OPTIONS = ("-e", f"PYTHONPATH={ROOT}")
TIMES = 10  # whether an answer is lost may be a matter of who is first
SCRIPT = "print('Content-Type: text/plain\\n\\nunread')\n"


@pytest.fixture(scope="module", params=SERVING)
def server(
    request: pytest.FixtureRequest,
    frozen: Callable[..., Path],
    programs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("unread")
    for name in ("script", "unread"):
        image = frozen(Path(sys.executable), programs / f"{name}.py", options=OPTIONS)
        shutil.copy2(image, folder / name)
    with SERVING[request.param](folder, environment={"SCRIPT": SCRIPT}) as running:
        yield running


@pytest.mark.parametrize("name", ["script", "unread"])
@pytest.mark.parametrize("size", [1, 100_000, 3_000_000])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_it_is_answered(server: Server, name: str, size: int, in_chunks: bool) -> None:
    url = urlsplit(f"{server.url}/{name}")
    for _time in range(TIMES):
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
        headers = {"Transfer-Encoding": "chunked"} if in_chunks else {}
        body: bytes | Iterator[bytes] = b"x" * size
        if in_chunks:
            body = (b"x" * min(left, 65536) for left in range(size, 0, -65536))
        connection.request("POST", url.path, body, headers, encode_chunked=in_chunks)
        with connection.getresponse() as answer:
            assert (answer.status, answer.read()) == (200, b"unread\n")
        connection.close()
