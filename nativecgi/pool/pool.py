"""The manager of a pool: it keeps workers ready, and never sees a request.

All that it has to know comes through one pair of sockets: workers write a byte to it when they
have become busy or idle, and Python one for each signal. To the workers it is the sign of life
of the manager, since it is closed when that ends in whatever way.
"""

import os
import select
import signal
import socket
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from nativecgi.pool.anew import VARIABLE as FORMER_WORKERS
from nativecgi.pool.anew import release_signals, start_anew
from nativecgi.pool.command import Command, Commands
from nativecgi.pool.crew import Crew, Worker
from nativecgi.pool.listening import ListeningError, listen
from nativecgi.pool.notify import notify, notify_reloading
from nativecgi.pool.options import Options
from nativecgi.pool.scoreboard import State, create
from nativecgi.pool.worker import Seat
from nativecgi.process.report import log
from nativecgi.process.streams import flush_streams

_SECOND = 10**9  # nanoseconds
_MILLISECOND = 10**6
_DAY = 86_400_000  # milliseconds: the longest wait
# Seconds until the next try where workers fail at their start: the first, and at most.
_FIRST_DELAY, _LAST_DELAY = 0.1, 30.0

_STDERR = 2


def manage(options: Options, commands: Commands) -> NoReturn:
    """Be the manager of a pool until SIGTERM or SIGINT comes, and end the process.

    The exit status is 0 then, and 1 if there is no socket to listen on, which is logged.

    SIGHUP has the process execute `commands.manager` anew, and no connection is lost. SIGUSR1
    reopens the log.
    """
    _keep_from_workers()
    try:
        if options.log:
            _redirect(options.log)
        listening = listen(options.address, options.mode, options.owner, os.environ)
    except (ListeningError, OSError) as failure:
        log(f"nativecgi: {failure}\n")
        _leave(1)
    _Pool(options, commands, listening).run()
    _leave(0)


class _Pool:
    def __init__(self, options: Options, commands: Commands, listening: socket.socket) -> None:
        self._options = options
        self._anew = commands.manager
        self._listening = listening
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._crew = self._assemble(commands.worker)
        self._has_visitor = False  # a connection waits, and nobody is there to accept it
        self._is_ready = False  # systemd knows that the service has started
        self._failures = 0  # of workers at their start, one after the other
        self._retry_at = 0  # nanoseconds of CLOCK_MONOTONIC, as all times here
        self._ends_at: int | None = None  # when what still runs is killed, once the pool ends
        self._signals: set[int] = set()  # that have come
        self._listen_to_signals()

    def _assemble(self, command: Command) -> Crew:
        options = self._options
        board = create(options.processes)
        seat = Seat(
            gateway=options.gateway,
            listening=self._listening.fileno(),
            board=board.descriptor,
            channel=self._theirs.fileno(),
            slot=0,
            isolation=options.isolation,
            max_requests=options.max_requests,
        )
        former = os.environ.pop(FORMER_WORKERS, "")
        return Crew(command, seat, board, options.processes, former)

    def _listen_to_signals(self) -> None:
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # waking up is all
        release_signals()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.add(number)

    def run(self) -> None:
        """Keep the pool until it has been told to end, and its workers have."""
        while True:
            self._look()
            self._obey()
            if self._ends_at is not None and not len(self._crew):
                return
            self._end_the_late()
            self._end_the_idle()
            self._fill()
            self._wait()

    # --- what has happened ---

    def _look(self) -> None:
        if self._crew.look():
            self._failures = 0
        for worker, status in self._crew.reap():
            self._account(worker, status)
        if not self._is_ready and self._is_working():
            self._is_ready = True
            notify("READY=1")

    def _is_working(self) -> bool:
        """Whether workers start, as far as is known."""
        return not self._options.spare or any(
            worker.record.state != State.STARTING for worker in self._crew if not worker.is_leaving
        )

    def _account(self, worker: Worker, status: int) -> None:
        """Log how a worker has ended, if that is worth it."""
        state = worker.record.state
        told = f"worker {worker.pid} {_manner(status)}"
        is_proper = status in (0, -signal.SIGTERM)
        if state in (State.BUSY, State.ENDING):
            self._failures = 0
        if worker.is_killed:
            return  # which has been logged
        if state == State.BUSY:
            log(f"nativecgi: {told} in a request\n")
        elif state == State.STARTING and not worker.is_leaving:
            self._back_off(f"{told} at its start")
        elif state == State.IDLE and not is_proper:
            self._back_off(f"{told} while it waited")
        elif not is_proper:
            log(f"nativecgi: {told}\n")

    def _back_off(self, reason: str) -> None:
        """Start no worker for a while, which is longer each time."""
        now = time.monotonic_ns()
        if now >= self._retry_at:
            delay = min(_FIRST_DELAY * 2**self._failures, _LAST_DELAY)
            self._failures = min(self._failures + 1, 16)
            self._retry_at = now + int(delay * _SECOND)
        seconds = (self._retry_at - now) / _SECOND
        log(f"nativecgi: {reason}; the next one starts in {seconds:.1f} s\n")

    # --- what the pool is told ---

    def _obey(self) -> None:
        signals, self._signals = self._signals, set()
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._end()
        elif self._ends_at is None:
            if signal.SIGUSR1 in signals and self._options.log:
                self._reopen(self._options.log)
            if signal.SIGHUP in signals:
                self._start_anew()

    def _end(self) -> None:
        """Let running requests end; being told so again leaves them no time."""
        if self._ends_at is not None:
            self._ends_at = time.monotonic_ns()
            return
        self._ends_at = time.monotonic_ns() + int(self._options.grace * _SECOND)
        notify("STOPPING=1")
        self._listening.close()
        # A request's own code may have a handler of SIGTERM. This is told to who waits next.
        self._ours.shutdown(socket.SHUT_WR)
        for worker in self._crew:
            self._crew.tell_to_end(worker)

    def _reopen(self, path: str) -> None:
        """Reopen the log; workers that have the old one end after their request."""
        try:
            _redirect(path)
        except OSError as failure:
            log(f"nativecgi: {failure}\n")
            return
        for worker in self._crew:
            self._crew.tell_to_end(worker)

    def _start_anew(self) -> None:
        notify_reloading()
        flush_streams()
        try:
            start_anew(self._anew, self._listening.fileno(), self._crew.describe())
        except OSError as failure:
            log(f"nativecgi: the pool goes on as it is, for it cannot start anew: {failure}\n")
            notify("READY=1")

    # --- what the pool does on its own ---

    def _end_the_late(self) -> None:
        now = time.monotonic_ns()
        limit = int(self._options.request_timeout * _SECOND)
        for worker in self._crew:
            if self._ends_at is not None and now >= self._ends_at and not worker.is_killed:
                self._kill(worker, "has not ended in time")
            elif limit and worker.is_engaged and now >= worker.record.since + limit:
                self._kill(worker, f"is busy for {self._options.request_timeout:g} s")

    def _kill(self, worker: Worker, reason: str) -> None:
        log(f"nativecgi: worker {worker.pid} {reason}, and is killed\n")
        self._crew.kill(worker)

    def _superfluous(self) -> list[Worker]:
        """Idle workers beyond those to be kept ready, those first that have waited longest."""
        idle = [worker for worker in self._crew if worker.is_idle]
        idle.sort(key=lambda worker: worker.record.since)
        return idle[: max(self._crew.available() - self._options.spare, 0)]

    def _end_the_idle(self) -> None:
        since = time.monotonic_ns() - int(self._options.idle_timeout * _SECOND)
        for worker in self._superfluous():
            if worker.record.since <= since:
                self._crew.tell_to_end(worker)

    def _fill(self) -> None:
        """Start the workers that are to be there."""
        wanted = max(self._options.spare, int(self._has_visitor))
        while self._may_start() and self._crew.available() < wanted:
            try:
                self._crew.start()
            except OSError as failure:
                self._back_off(f"no worker can be started: {failure}")

    def _may_start(self) -> bool:
        return (
            self._ends_at is None
            and len(self._crew) < self._options.processes
            and time.monotonic_ns() >= self._retry_at
        )

    # --- waiting ---

    def _wait(self) -> None:
        """Wait until there is something to look at."""
        poll = select.poll()
        poll.register(self._ours, select.POLLIN)
        # Where nobody is kept ready, the manager sees whether somebody is needed.
        if self._may_start() and not self._crew.available():
            poll.register(self._listening, select.POLLIN)
        ready = [descriptor for descriptor, _event in poll.poll(self._patience())]
        self._has_visitor = self._listening.fileno() in ready
        with suppress(BlockingIOError):
            self._ours.recv(65536)

    def _patience(self) -> int | None:
        """Milliseconds until something has to be done that nobody tells of."""
        now = time.monotonic_ns()
        times = [self._retry_at] if self._retry_at > now else []
        if self._ends_at is not None and self._ends_at > now:
            times.append(self._ends_at)
        if limit := int(self._options.request_timeout * _SECOND):
            times += [it.record.since + limit for it in self._crew if it.is_engaged]
        idle_timeout = int(self._options.idle_timeout * _SECOND)
        times += [worker.record.since + idle_timeout for worker in self._superfluous()]
        if not times:
            return None
        return min(max(min(times) - now, 0) // _MILLISECOND + 1, _DAY)


def _keep_from_workers() -> None:
    """Have workers inherit nothing beyond what they are given."""
    with suppress(OSError):  # /proc may be missing
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > _STDERR:
                with suppress(OSError):  # it was the listing's own
                    os.set_inheritable(number, False)


def _redirect(path: str) -> None:
    """Append standard error to a file. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    os.dup2(file, _STDERR)
    os.close(file)


def _manner(status: int) -> str:
    """How a process has ended."""
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"


def _leave(status: int) -> NoReturn:
    """End the process; what the app has registered with atexit is for its workers."""
    flush_streams()
    os._exit(status)
