"""A pool as real processes, for tests: its manager, its clients, and what can be seen of it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from nativecgi.pool.scoreboard import Scoreboard, State
from tests.checkout import ROOT
from tests.devserver.running import eventually, is_running

PATIENCE = 30
_ACCEPTS = "00010000"  # the flag in /proc/net/unix
PROGRAM = Path(__file__).with_name("program.py")


class Pool:
    """A manager that has been started, and its clients."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.process = process
        self.pid = process.pid
        self._clients = ThreadPoolExecutor(16)

    def ask(self, line: str) -> str:
        """The answer to a line; "" if the connection ends without one."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.folder / "socket"))
            client.sendall(f"{line}\n".encode())
            with suppress(ConnectionResetError):
                return client.makefile().read().rstrip("\n")
            return ""

    def begin(self, line: str) -> "Future[str]":
        """The same, while the test goes on."""
        return self._clients.submit(self.ask, line)

    def workers(self) -> set[int]:
        """The processes that the manager has started, and that run."""
        return {pid for pid in self._children() if is_running(pid)}

    def _children(self) -> set[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return set(map(int, children.split()))

    def states(self) -> list[State]:
        """What the scoreboard has in its slots; that of a worker that has ended stays."""
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            if "nativecgi-scoreboard" in os.readlink(link):
                with link.open("rb") as file:
                    board = Scoreboard(file.fileno())
                    slots = os.fstat(file.fileno()).st_size // 16
                    return [board.read(slot).state for slot in range(slots)]
        return []

    def has_idle(self, count: int) -> bool:
        """Whether so many workers are there, and all of them wait for a connection."""
        return len(self.workers()) == count <= self.states().count(State.IDLE)

    def is_busy(self, count: int) -> bool:
        """Whether so many workers are busy."""
        return self.states().count(State.BUSY) == count

    def descriptors(self) -> int:
        """How many the manager has."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def zombies(self) -> int:
        """How many processes have ended that the manager has not heard of."""
        return len(self._children()) - len(self.workers())

    def peak(self, work: Callable[[], object]) -> int:
        """The most workers that were there at the same time, during `work`."""
        counts, is_over = [0], threading.Event()

        def count() -> None:
            while not is_over.wait(0.005):
                counts.append(len(self.workers()))

        counter = threading.Thread(target=count)
        counter.start()
        try:
            work()
        finally:
            is_over.set()
            counter.join()
        return max(counts)

    def log(self) -> str:
        """What the pool has written to standard error so far."""
        return (self.folder / "log").read_text()

    def wait_for(self, text: str) -> None:
        """Wait until the log has a text."""
        eventually(lambda: text in self.log())

    def send(self, number: int) -> None:
        """Send the manager a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the manager's end; returns its exit status."""
        return self.process.wait(PATIENCE)

    def wait_for_refusal(self) -> None:
        """Wait until the manager has closed its socket: it has heard that it has to end."""
        folder = Path(f"/proc/{self.pid}/fd")

        def has_closed() -> bool:
            with suppress(FileNotFoundError):
                links = [os.readlink(link) for link in folder.iterdir()]
                return sum(link.startswith("socket:") for link in links) == 2  # its channel
            return self.process.poll() is not None

        eventually(has_closed)

    def change(self, version: str) -> None:
        """Put another version in the place of the program."""
        new = self.folder / "new.py"
        new.write_text(PROGRAM.read_text().replace('VERSION = "old"', f'VERSION = "{version}"'))
        new.rename(self.folder / "program.py")

    def close(self) -> None:
        """End everything, and wait for the clients."""
        if self.process.poll() is None:
            workers = self.workers()
            self.process.kill()
            self.process.wait()
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        self._clients.shutdown()


@contextmanager
def started(
    folder: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Pool]:
    """A pool with `options` that listens on a unix socket in `folder`."""
    shutil.copy(PROGRAM, folder / "program.py")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "program.py", "--fastcgi", str(folder / "socket"), *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stderr=log,
            pass_fds=pass_fds,
        )
    pool = Pool(folder, process)
    try:
        eventually(lambda: _listens(folder / "socket") or process.poll() is not None)
        yield pool
    finally:
        pool.close()


def _listens(path: Path) -> bool:
    """Whether somebody listens on a unix socket: of a connection they would notice."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return any(words[-1] == str(path) and words[3] == _ACCEPTS for words in lines)
