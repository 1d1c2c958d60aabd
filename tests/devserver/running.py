"""The development servers as processes, for tests: a request each, and the terminal."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.checkout import ROOT

PATIENCE = 30


class Server:
    """A server, and what it has written to its terminal."""

    def __init__(self, process: "subprocess.Popen[str]", first: str) -> None:
        self.process = process
        self.url = first.split(" ")[1].rstrip("/")
        self.port = int(self.url.split(":")[2].partition("/")[0])
        self._log: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self._log.extend(iter(self.process.stderr.readline, ""))

    def log(self) -> str:
        """What the terminal has so far."""
        return "".join(self._log)

    def wait_for(self, text: str) -> None:
        """Wait until the terminal has a text."""
        eventually(lambda: text in self.log())

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send one request: the answer's head and its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def text(self, path: str, **options: object) -> str:
        """The body of an answer, as text."""
        return self.ask(path, **options)[1].decode()  # type: ignore[arg-type]

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does; returns its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


@contextmanager
def started(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server that is started by `nativecgi ARGUMENTS --port 0` and listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nativecgi_build", *arguments, "--port", "0"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    with process:
        first = process.stdout.readline()
        if not first:
            assert process.stderr
            raise AssertionError(process.stderr.read())
        server = Server(process, first)
        try:
            yield server
        finally:
            if process.poll() is None:
                server.stop()


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for something that takes a while."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether there is a process that has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
