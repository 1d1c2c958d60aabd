"""How a manager starts anew from its file, which may be another by now: the process stays."""

import fcntl
import os
import signal
from contextlib import suppress

from nativecgi.pool.command import Command
from nativecgi.pool.listening import FIRST

# What `start_anew` tells the next manager of the workers that it gets.
VARIABLE = "NATIVECGI_FORMER_WORKERS"

# One that comes before the next manager handles it would end the process.
_HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def start_anew(command: Command, listening: int, workers: str) -> None:
    """Execute `command` in this process, which gets the descriptor `listening` and `workers`.

    Signals are held back until the next manager calls `release_signals`. If the command cannot be
    executed, everything is as before, and OSError is raised.
    """
    passed_on = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), VARIABLE: workers}
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    kept = _kept(FIRST)
    try:
        os.dup2(listening, FIRST)
        os.set_inheritable(FIRST, True)  # also where it has been there already
        os.execve(command.file, command.arguments, {**os.environ, **passed_on})
    finally:
        os.close(FIRST)
        if kept is not None:
            os.dup2(kept, FIRST, inheritable=False)
            os.close(kept)
        release_signals()


def release_signals() -> None:
    """Let those signals through that `start_anew` holds back."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def _kept(descriptor: int) -> int | None:
    """A copy of a descriptor that is about to be replaced, if there is one."""
    with suppress(OSError):
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, descriptor + 1)
    return None
