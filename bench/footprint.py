"""What a program's process has mapped and written to as it writes its answer."""

import os
import time
from pathlib import Path

from msgspec import Struct

from bench.errors import BenchError
from bench.programs import Program
from bench.startup import PIPE_SIZE, filled

_SECONDS = 10
_WRITES = ("1", "20")  # write(2) and writev(2), on x86-64
_OWN = "Private_Dirty:"  # proc(5), /proc/PID/smaps


class Footprint(Struct, frozen=True):
    """Of one process, at the end of its work."""

    dirty: int  # bytes of memory that is its own, since it has written to it
    mappings: int


def measure(program: Program) -> Footprint:
    """Run a program once, stop it as it writes to a pipe that is full, and look at it."""
    path, stdin = str(program.path), filled(program.body)
    reader, writer = os.pipe()
    os.write(writer, bytes(PIPE_SIZE))
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, writer, 1)]
    pid = os.posix_spawn(path, [path], program.environment(), file_actions=actions)
    os.close(writer)
    os.close(stdin)
    try:
        _await_write(pid, program)
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        dirty = next(line for line in rollup.splitlines() if line.startswith(_OWN))
        mappings = len(Path(f"/proc/{pid}/maps").read_text().splitlines())
        return Footprint(int(dirty.split()[1]) * 1024, mappings)
    finally:
        while os.read(reader, PIPE_SIZE):
            pass
        os.close(reader)
        os.waitpid(pid, 0)


def _await_write(pid: int, program: Program) -> None:
    deadline = time.monotonic() + _SECONDS
    while Path(f"/proc/{pid}/syscall").read_text().split()[0] not in _WRITES:
        if time.monotonic() > deadline:
            raise BenchError(f"{program.path} writes no answer")
        time.sleep(0.001)
