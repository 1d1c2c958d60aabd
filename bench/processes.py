"""The processes of a server, and the memory that they take together."""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from servers import apache
from servers.server import Server

_PSS = re.compile(r"^Pss:\s*(\d+) kB$", re.MULTILINE)


class Memory(Struct, frozen=True):
    """What some processes take at one moment."""

    processes: int
    size: int  # bytes: the sum of their proportional set sizes (Pss of /proc/PID/smaps_rollup)


def children(pid: int) -> list[int]:
    """The processes that a process has started and not waited for; none where it has ended."""
    return [int(word) for word in about(pid, f"task/{pid}/children").split()]


def about(pid: int, name: str) -> str:
    """What the kernel tells of a process in a file of its folder in /proc; it may have ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def of_server(pid: int) -> Memory:
    """The memory of a process and of all that it has started."""
    return _memory(list(_tree(pid)))


def of_programs(server: Server) -> Memory:
    """The memory of the CGI programs that run below Apache; what is Apache's own is not counted.

    A program may live for less time than it takes to look at it, so all are stopped meanwhile,
    and so is Apache, which would start others.
    """
    servers = children(server.pid)
    with _stopped(servers):
        started = [program for parent in servers for program in children(parent)]
        with _stopped(started):
            return _memory([pid for pid in started if _name(pid) != apache.PROGRAM])


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from _tree(child)


def _name(pid: int) -> str:
    return about(pid, "comm").strip()


def _memory(pids: Sequence[int]) -> Memory:
    sizes = [_PSS.search(about(pid, "smaps_rollup")) for pid in pids]
    found = [int(size[1]) * 1024 for size in sizes if size]
    return Memory(len(found), sum(found))


@contextmanager
def _stopped(pids: Sequence[int]) -> Iterator[None]:
    try:
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.kill(pid, number)
