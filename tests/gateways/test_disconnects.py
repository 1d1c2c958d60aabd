"""Clients that leave in mid-answer and in mid-upload, many at once, behind each server."""

import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from msgspec import Struct

from servers import apache, lighttpd, nginx
from servers.server import Server
from tests.asleep import wait_until_asleep

ROOT = Path(__file__).parents[2]
CLIENTS = 200
SECONDS = 60  # after which something hangs
SOON = 10  # seconds, within which no process is left

SERVING = {"apache": apache.serving, "nginx": nginx.serving, "lighttpd": lighttpd.serving}
# So many programs run at the same time: fcgiwrap has no more processes, and the others wait.
AT_ONCE = {"apache": CLIENTS, "nginx": 8, "lighttpd": CLIENTS}
# These two have the whole body before they start a program.
IN_UPLOAD = {"apache": CLIENTS, "nginx": 0, "lighttpd": 0}

# A file of 64 MiB, and 100 GiB: more than there is room for on the way.
DOWNLOAD, STREAM = "download/64", "stream/102400"
UPLOAD = ("Content-Length: 10000000", "Content-Type: multipart/form-data; boundary=x")
PART = b'--x\r\nContent-Disposition: form-data; name="upload"; filename="large.bin"\r\n\r\n'
SENT = 1_000_000


class Site(Struct):
    """A server, and the one program that it has."""

    server: Server
    program: Path
    temporary: Path  # its folder for temporary files
    notes: Path  # where streams say that they are opened, and closed

    def request(self, method: str, path: str, *fields: str) -> bytes:
        address = urlsplit(self.server.url)
        start = f"{method} {address.path}/{self.program.name}/{path} HTTP/1.1"
        return "\r\n".join((start, f"Host: {address.netloc}", *fields, "", "")).encode()

    def processes(self) -> set[int]:
        """The program's, wherever they are, and those below the server that are to be reaped."""
        found, parents = set(), {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                start, _, rest = (process / "stat").read_text().rpartition(")")
                parents[int(process.name)] = int(rest.split()[1])
                if start.endswith(f"({self.program.name}"):
                    found.add(int(process.name))
        return {pid for pid in found if self._runs(pid) or self._is_below(pid, parents)}

    def _runs(self, pid: int) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{pid}/exe").samefile(self.program)
        return False

    def _is_below(self, pid: int, parents: dict[int, int]) -> bool:
        while pid and pid != self.server.pid:
            pid = parents.get(pid, 0)
        return pid == self.server.pid

    def noted(self, word: str) -> int:
        return sum(word in json.loads(line) for line in self.notes.read_bytes().splitlines())


@pytest.fixture(scope="module", params=SERVING)
def site(request: pytest.FixtureRequest, cgi_bin: Path) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="disconnects-") as name, cores():
        folder = Path(name)
        folder.chmod(0o755)
        programs, temporary, notes = folder / "cgi-bin", folder / "temporary", folder / "notes"
        for writable in (programs, temporary):  # a core would be written where a program is
            writable.mkdir()
            writable.chmod(0o777)
        shutil.copy2(cgi_bin / "transfers", programs)
        notes.touch()
        notes.chmod(0o666)
        environment = {"NOTES": str(notes), "TMPDIR": str(temporary)}
        with SERVING[request.param](programs, environment=environment) as server:
            yield Site(server, programs / "transfers", temporary, notes)


@contextmanager
def cores() -> Iterator[None]:
    """Let processes that are started meanwhile leave a core when they crash."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@contextmanager
def clients(site: Site, request: bytes) -> Iterator[list[socket.socket]]:
    """So many connections on which the request has been sent; all are closed at the end."""
    address = urlsplit(site.server.url)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection((address.hostname, address.port), SECONDS))
            for _number in range(CLIENTS)
        ]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda client: client.sendall(request), opened))
        yield opened


def await_bodies(opened: list[socket.socket], count: int) -> None:
    """Wait until so many clients have got the beginning of a body."""
    received = dict.fromkeys(opened, b"")
    deadline = time.monotonic() + SECONDS
    with DefaultSelector() as selector:
        for client in opened:
            selector.register(client, EVENT_READ)
        while len(opened) - len(selector.get_map()) < count:
            assert time.monotonic() < deadline
            for key, _events in selector.select(timeout=1):
                assert isinstance(key.fileobj, socket.socket)
                received[key.fileobj] += key.fileobj.recv(1000)
                head, _, body = received[key.fileobj].partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), head
                if body:
                    selector.unregister(key.fileobj)


def await_that(condition: Callable[[], object], site: Site, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, site.server.error_log.read_text(errors="replace")
        time.sleep(0.05)


def is_quiet(site: Site) -> bool:
    """Whether no program runs, nor a moment later: a server may be about to start one."""
    if site.processes():
        return False
    time.sleep(0.1)
    return not site.processes()


@contextmanager
def nothing_left(site: Site) -> Iterator[None]:
    """Whatever its clients have done: the server answers, and no program is left or has failed."""
    before = len(site.server.error_log.read_bytes())
    yield
    # This one waits behind what the clients have left in a queue.
    with urlopen(f"{site.server.url}/{site.program.name}", timeout=SECONDS) as response:
        assert response.read() == b"transfers"
    await_that(lambda: is_quiet(site), site, SOON)
    log = site.server.error_log.read_bytes()[before:].decode(errors="replace")
    ours = [line for line in log.splitlines() if "nativecgi" in line]
    assert len(ours) <= CLIENTS
    assert [line for line in ours if "the answer could not be written" not in line] == []
    assert "Traceback" not in log
    assert "Fatal" not in log
    assert list(site.program.parent.iterdir()) == [site.program]
    assert list(site.temporary.iterdir()) == []


def test_clients_that_leave_in_mid_download(site: Site) -> None:
    with nothing_left(site), clients(site, site.request("GET", DOWNLOAD)) as opened:
        await_bodies(opened, AT_ONCE[site.server.name])


@pytest.mark.parametrize("path", [STREAM, "ticks"])
def test_clients_that_leave_in_mid_stream(site: Site, path: str) -> None:
    site.notes.write_bytes(b"")
    with nothing_left(site), clients(site, site.request("GET", path)) as opened:
        await_bodies(opened, AT_ONCE[site.server.name])
    assert site.noted("opened") >= AT_ONCE[site.server.name]
    assert site.noted("closed") == site.noted("opened")


@pytest.mark.parametrize("path", ["count", "slow", "form"])
def test_clients_that_leave_in_mid_upload(site: Site, path: str) -> None:
    head = site.request("POST", path, *UPLOAD)
    with nothing_left(site), clients(site, head + PART.ljust(SENT, b"x")):
        started = IN_UPLOAD[site.server.name]
        await_that(lambda: len(site.processes()) == started, site, SECONDS)


# --- a server that is stopped ---

CLOSES_SLOWLY = """
import time
from nativecgi import *
def pieces():
    try:
        yield b"one"
        print("waiting")
        time.sleep(60)
    finally:
        print("closing")
        time.sleep(0.5)
        print("closed")
def handle(request):
    return stream(pieces())
if __name__ == "__main__":
    run(handle)
"""


def test_a_second_signal_does_not_break_off_the_closing() -> None:
    """systemd's stop of a service signals its programs, and the server that ends does as well."""
    with subprocess.Popen(
        [sys.executable, "-c", CLOSES_SLOWLY],
        env={"PYTHONPATH": str(ROOT), "REQUEST_METHOD": "GET"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr
        assert process.stderr.readline() == b"waiting\n"
        wait_until_asleep(process.pid)
        process.terminate()
        assert process.stderr.readline() == b"closing\n"
        wait_until_asleep(process.pid)
        process.terminate()
        assert process.stderr.readline() == b"closed\n"
        assert process.wait(SECONDS) == 1
