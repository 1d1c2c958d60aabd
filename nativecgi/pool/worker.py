"""A worker: accepts a connection, has it answered, and accepts the next one or ends.

The manager holds the other end of the worker's channel, a socket. It sends nothing, so there is
something to read only once it has let go of it: it ends, or it has been killed.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from msgspec import Struct

from nativecgi.pool.scoreboard import Scoreboard, State
from nativecgi.process.leaving import leave

# The variable whose presence makes a process a worker. Its value is what `serve` takes.
VARIABLE = "NATIVECGI_WORKER"


class Seat(Struct, frozen=True):
    """What a worker is told: its place in the pool."""

    gateway: str
    listening: int  # descriptors
    board: int
    channel: int
    slot: int  # on the scoreboard
    isolation: str  # "request" or "process"
    max_requests: int  # 0: any number

    def spec(self) -> str:
        """The value of NATIVECGI_WORKER."""
        return (
            f"{self.gateway}:{self.listening}:{self.board}:{self.channel}:{self.slot}:"
            f"{self.isolation}:{self.max_requests}"
        )


def parse(spec: str) -> Seat:
    """The seat that a value of NATIVECGI_WORKER describes. Raises ValueError if it is none."""
    gateway, listening, board, channel, slot, isolation, most = spec.split(":")
    return Seat(
        gateway=gateway,
        listening=int(listening),
        board=int(board),
        channel=int(channel),
        slot=int(slot),
        isolation=isolation,
        max_requests=int(most),
    )


def serve(spec: str, answer: Callable[[socket.socket], None]) -> NoReturn:
    """Be the worker that `spec` describes: have `answer` answer connections, and end.

    `answer` is called for one connection after the other, or with request isolation for one; the
    connection is closed after it. What it raises ends the process, and the manager logs that.

    The process ends with status 0 after its last request, or once the manager has gone. SIGTERM
    ends it while it waits, and after its request if it is busy.
    """
    os.environ.pop(VARIABLE, None)  # a program that the app starts is no worker
    seat = parse(spec)
    for descriptor in (seat.listening, seat.board, seat.channel):
        os.set_inheritable(descriptor, False)
    worker = _Worker(seat)
    while (connection := worker.next()) is not None:
        with connection:
            answer(connection)
        worker.count()
    leave(0)


class _Worker:
    def __init__(self, seat: Seat) -> None:
        self._slot = seat.slot
        self._most = 1 if seat.isolation == "request" else seat.max_requests
        self._served = 0
        self._is_told_to_end = False
        self._board = Scoreboard(seat.board)
        self._listening = socket.socket(fileno=seat.listening)
        self._channel = socket.socket(fileno=seat.channel)
        self._poll = select.poll()
        self._poll.register(self._listening, select.POLLIN)
        self._poll.register(self._channel, select.POLLIN)

    def next(self) -> socket.socket | None:
        """Wait for the next connection; None if there is to be none."""
        if self._is_last():
            self._board.write(self._slot, State.ENDING, self._served)
            return None
        self._tell(State.IDLE)
        while self._is_wanted():
            with suppress(BlockingIOError, ConnectionAbortedError):  # another was quicker
                connection, _address = self._listening.accept()
                self._tell(State.BUSY)
                if self._served + 1 == self._most:
                    self._listening.close()  # the app cannot reach it
                return connection
        return None

    def count(self) -> None:
        """Count a request that has been answered."""
        self._served += 1

    def _is_last(self) -> bool:
        return bool(self._most) and self._served >= self._most

    def _is_wanted(self) -> bool:
        """Wait until there may be a connection; whether the worker may accept it.

        SIGTERM may end the process while it waits. From then on it is only remembered, since a
        connection that has been accepted must be answered.
        """
        # What comes while the disposition changes would be lost, if it were not held back.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        if self._is_told_to_end:
            return False
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        ready = [descriptor for descriptor, _event in self._poll.poll()]
        signal.signal(signal.SIGTERM, self._remember)
        return self._channel.fileno() not in ready

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._is_told_to_end = True

    def _tell(self, state: State) -> None:
        """Note a state on the scoreboard, and have the manager look."""
        self._board.write(self._slot, state, self._served)
        # A manager that has not read what is there will look anyway; one that has gone will not.
        with suppress(OSError):
            self._channel.send(b"w", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
