"""Chromium without a window, driven over its DevTools protocol."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import ClientConnection, connect

SECONDS = 30  # after which something hangs


class Page:
    """A page in a tab of its own."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._calls = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; what happens meanwhile is not looked at."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        self._connection.send(json.dumps(call))
        while (answer := json.loads(self._connection.recv(SECONDS))).get("id") != self._calls:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript is."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, url: str) -> None:
        """Go there, and wait until all of it has been read."""
        self.call("Page.navigate", url=url)
        self.await_that(
            f"location.href === {json.dumps(url)} && document.readyState === 'complete'"
        )

    def show(self) -> None:
        """Have it in front of the others: what is hidden gets no focus."""
        self.call("Page.bringToFront")

    def await_that(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true."""
        deadline = time.monotonic() + SECONDS
        while not self.value(expression):
            assert time.monotonic() < deadline, (expression, self.value("document.body.innerText"))
            time.sleep(0.02)

    def write(self, text: str) -> None:
        """Type into what has the focus, and press Enter."""
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                      windowsVirtualKeyCode=13)  # fmt: skip


class Browser:
    """A running browser."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._stack = stack

    def page(self, url: str) -> Page:
        """A new tab with that address."""
        new = Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urlopen(new, timeout=SECONDS) as response:
            target = json.load(response)["webSocketDebuggerUrl"]
        connection = connect(target, proxy=None, compression=None, max_size=None)
        page = Page(self._stack.enter_context(connection))
        page.open(url)
        return page


@contextmanager
def browsing() -> Iterator[Browser]:
    """Run a browser as long as the block does."""
    program = shutil.which("chromium")
    assert program, "there is no chromium: apt-get install chromium"
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        )
        command = [
            *(program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}"),
            *("--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "about:blank",
        ]
        process = stack.enter_context(
            subprocess.Popen(
                command,
                env={**os.environ, "HOME": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        stack.callback(_stop, process)
        yield Browser(_port(Path(folder, "DevToolsActivePort"), process), stack)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End all of its processes, which would write to its folder to the last."""
    process.terminate()
    process.wait(SECONDS)
    with suppress(ProcessLookupError):
        for _time in range(200):  # a zombie that nobody reaps would stay for ever
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)


def _port(file: Path, process: "subprocess.Popen[bytes]") -> int:
    """Where the browser listens, which it writes to a file."""
    deadline = time.monotonic() + SECONDS
    while not (file.exists() and "\n" in file.read_text()):
        assert process.poll() is None, f"chromium has ended: {process.returncode}"
        assert time.monotonic() < deadline, "chromium does not start"
        time.sleep(0.02)
    return int(file.read_text().split()[0])
