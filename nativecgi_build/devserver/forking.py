"""The app's side of `nativecgi run`: at its freeze point the process forks, once for each request.

It is run by its path, in the app's own Python, and imports little. A thaw is a fork into another
process; so what follows the freeze point in a built program follows it here, and each process sees
the same: modules as they were at the freeze point, and what nativecgi renews.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from nativecgi.frozen import freezepoint
from nativecgi.process import letterbox
from nativecgi.process.threads import count_threads

_ALL = 2**64 - 1  # in a letterbox: its content is elsewhere
_REAP_SECONDS = 0.5  # until a process that ended is noticed, when no request comes
_DESCRIPTORS = 4  # of a request: its arguments and variables, and the three standard streams
_NATIVE = ctypes.PyDLL(None)  # which keeps the interpreter's lock


def fork_at_freeze_point(connection: socket.socket, folder: str, ready: Callable[[], None]) -> None:
    """Have this process wait at its freeze point for requests, and fork for them.

    They come by `connection`, and their processes run in `folder`. `ready` is called before the
    first. When the other side closes the connection, this process and all of its children end.
    """
    stop = signal.raise_signal

    def wait(_number: int) -> None:
        signal.raise_signal = stop
        if count_threads() > 1:
            sys.exit("A thread is running at the freeze point: no program can be built so.")
        _show_descriptors(connection.fileno())
        sys.stderr.flush()
        ready()
        connection.sendall(b"ready")
        connection.settimeout(_REAP_SECONDS)
        while True:
            try:
                _, descriptors, _flags, _address = socket.recv_fds(connection, 1, _DESCRIPTORS)
            except TimeoutError:
                _reap()
                continue
            if not descriptors:
                os.killpg(0, signal.SIGKILL)
            _reap()
            # Not os.fork(), whose hooks, such as random's, no thaw runs before its own.
            pid = _NATIVE.fork()
            if pid == 0:
                connection.close()
                _become(descriptors, folder)
                return
            # It may have ended already: until it is reaped its number is its own.
            pidfd = os.pidfd_open(pid)
            socket.send_fds(connection, [b"p"], [pidfd])
            for descriptor in (pidfd, *descriptors):
                os.close(descriptor)

    signal.raise_signal = wait


def _show_descriptors(own: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the list itself
            target = os.readlink(f"/proc/self/fd/{name}")
            if int(name) > 2 and int(name) != own and not target.startswith("anon_inode:"):
                sys.stderr.write(
                    f"descriptor {name} ({target!a}) is open at the freeze point: the build "
                    "may refuse that\n"
                )


def _reap() -> None:
    """Forget the processes that have ended, and say which did so by a signal."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGTERM:
                name = signal.Signals(os.WTERMSIG(status)).name
                sys.stderr.write(f"nativecgi: a process was killed by {name}\n")
                sys.stderr.flush()


def _become(descriptors: Sequence[int], folder: str) -> None:
    """Be the process of a request, whose letterbox is filled as by a thaw."""
    content, *streams = descriptors
    with open(content, "rb") as file:
        arguments, variables = file.read().split(b"\0\0", 1)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    # What C libraries and child processes read.
    _NATIVE.clearenv()
    for variable in filter(None, variables.split(b"\0")):
        name, _, value = variable.partition(b"=")
        os.putenv(name, value)
    letterbox._from_proc = lambda: arguments + b"\0" + variables
    box = freezepoint._letterbox
    box._words[0], box._words[1] = _ALL, arguments.count(b"\0") + 1
    kinds = bytes(os.fstat(number).st_mode >> 12 for number in range(3))
    box._content[16 : 16 + len(kinds)] = kinds
