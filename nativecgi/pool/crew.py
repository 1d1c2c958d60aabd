"""The crew: the worker processes of a pool. What is to become of them the pool decides."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

from nativecgi.pool.command import Command
from nativecgi.pool.notify import VARIABLE as NOTIFY_SOCKET
from nativecgi.pool.scoreboard import Record, Scoreboard, State
from nativecgi.pool.worker import VARIABLE, Seat

# What a Python ignores, or a manager handles, a worker finds as the system sets it.
_DEFAULT = (
    *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGCHLD),
)


class Worker(Struct, eq=False):
    """A process of the crew."""

    pid: int
    slot: int | None  # on the scoreboard; None if it has come from the manager before this one
    record: Record  # what the scoreboard had of it when the crew was looked at
    is_leaving: bool = False  # it has been told to end
    is_killed: bool = False

    @property
    def is_available(self) -> bool:
        """Whether it will take the next connection that comes."""
        return not self.is_leaving and self.record.state in (State.STARTING, State.IDLE)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a connection."""
        return not self.is_leaving and self.record.state == State.IDLE

    @property
    def is_engaged(self) -> bool:
        """Whether its time is that of a request."""
        return not self.is_killed and self.record.state in (State.BUSY, State.ENDING)


class Crew:
    """The workers, each of which executes `command` and gets a seat like `seat`.

    `former` are the workers of the manager before this one, as its `describe` has told them.
    """

    def __init__(
        self, command: Command, seat: Seat, board: Scoreboard, slots: int, former: str = ""
    ) -> None:
        self._command = command
        self._seat = seat
        self._board = board
        self._slots = set(range(slots))  # those that are free
        self._env = {name: value for name, value in os.environ.items() if name != NOTIFY_SOCKET}
        self._workers = {worker.pid: worker for worker in _former(former)}

    def __len__(self) -> int:
        """How many there are, whatever they do."""
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        """All of them."""
        return iter(self._workers.values())

    def available(self) -> int:
        """How many will take a connection."""
        return sum(worker.is_available for worker in self)

    def start(self) -> None:
        """Start a worker. Raises OSError if that is impossible."""
        slot = min(self._slots)
        self._board.write(slot, State.STARTING)
        seat = msgspec.structs.replace(self._seat, slot=slot)
        inherited = (seat.listening, seat.board, seat.channel)
        pid = os.posix_spawn(
            self._command.file,
            self._command.arguments,
            {**self._env, VARIABLE: seat.spec()},
            # Onto itself, which has a descriptor inherited that otherwise is not.
            file_actions=[(os.POSIX_SPAWN_DUP2, number, number) for number in inherited],
            # What a terminal sends is for the manager; and what a request has started in a group
            # of its own can be killed with its worker.
            setpgroup=0,
            setsigmask=(),
            setsigdef=_DEFAULT,
        )
        self._slots.remove(slot)
        self._workers[pid] = Worker(pid, slot, self._board.read(slot))

    def look(self) -> bool:
        """Read the scoreboard; whether a worker has started since the last look."""
        has_started = False
        for worker in self:
            if worker.slot is not None:
                was_starting = worker.record.state == State.STARTING
                worker.record = self._board.read(worker.slot)
                has_started |= was_starting and worker.record.state != State.STARTING
        return has_started

    def reap(self) -> Iterator[tuple[Worker, int]]:
        """The workers that have ended, and their exit statuses, or negative signal numbers."""
        with suppress(ChildProcessError):  # none is left
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                worker = self._workers.pop(ended[0], None)
                if worker is not None:  # to the first process of a container others fall, too
                    if worker.slot is not None:
                        worker.record = self._board.read(worker.slot)
                        self._slots.add(worker.slot)
                    yield worker, os.waitstatus_to_exitcode(ended[1])

    def tell_to_end(self, worker: Worker) -> None:
        """Have a worker end: at once, or after its request."""
        worker.is_leaving = True
        os.kill(worker.pid, signal.SIGTERM)  # until it is reaped the number is its own

    def kill(self, worker: Worker) -> None:
        """Kill a worker and what it has started."""
        worker.is_leaving = worker.is_killed = True
        os.killpg(worker.pid, signal.SIGKILL)

    def describe(self) -> str:
        """The workers, for the manager that takes this one's place."""
        now = time.monotonic_ns()
        return ",".join(
            f"{worker.pid}:{worker.record.since if worker.is_engaged else now}" for worker in self
        )


def _former(description: str) -> Iterator[Worker]:
    """The workers in a description. They know that their manager has gone, and end."""
    for item in filter(None, description.split(",")):
        pid, since = map(int, item.split(":"))
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            yield Worker(pid, None, Record(State.ENDING, since, 0), is_leaving=True)
