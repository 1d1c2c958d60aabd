"""Times programs from spawn to exit."""

import os
import random
import signal
import statistics
import time
from collections.abc import Sequence

from msgspec import Struct

from bench.errors import BenchError
from bench.programs import Program

PIPE_SIZE = 65536  # of a Linux pipe: what is written at once without a reader (pipe(7))


class Sample(Struct, frozen=True):
    """One process."""

    milliseconds: float
    faults: int  # minor page faults: pages that it made the kernel map or copy


class Timing(Struct, frozen=True):
    """All processes of one program: milliseconds, and the median of the page faults."""

    minimum: float
    median: float
    p95: float
    faults: int


def time_all(programs: Sequence[Program], rounds: int, warm_up: int) -> dict[Program, Timing]:
    """Run every program once a round, and summarise all rounds behind the first `warm_up`.

    The rounds interleave the programs, so that whatever else the machine does hits all alike;
    each has an order of its own, so that none always runs in the wake of the same other.
    """
    samples: dict[Program, list[Sample]] = {program: [] for program in programs}
    order = list(programs)
    shuffle = random.Random(0).shuffle
    for number in range(warm_up + rounds):
        shuffle(order)
        for program in order:
            sample = run(program)
            if number >= warm_up:
                samples[program].append(sample)
    return {program: _summary(of_program) for program, of_program in samples.items()}


def run(program: Program) -> Sample:
    """Run a program once; raises BenchError where it fails or its answer is wrong."""
    path, environment = str(program.path), program.environment()
    stdin = filled(program.body)
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, writer, 1)]
    start = time.perf_counter()
    pid = os.posix_spawn(
        path, [path], environment, file_actions=actions, setsigdef=[signal.SIGPIPE]
    )
    os.close(writer)
    output = b""
    while piece := os.read(reader, PIPE_SIZE):
        output += piece
    _pid, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    os.close(reader)
    os.close(stdin)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise BenchError(f"{program.path} ended with status {code}, having written {output!r}")
    program.check(output)
    return Sample(seconds * 1000, usage.ru_minflt)


def evict(programs: Sequence[Program]) -> None:
    """Drop the programs' files from memory, as far as they are no others': as a reboot does.

    A file that has just been written lies in the page cache in larger pieces than one that was
    read back since, and is mapped faster. Only the latter state lasts.
    """
    for program in programs:
        for file in program.files():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)  # what is not written yet is not dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def filled(body: bytes) -> int:
    """A descriptor to read a request's body from."""
    if not body:
        return os.open(os.devnull, os.O_RDONLY)
    if len(body) > PIPE_SIZE:
        raise BenchError(f"a body of {len(body)} bytes does not fit a pipe")
    reader, writer = os.pipe()
    os.write(writer, body)
    os.close(writer)
    return reader


def _summary(samples: Sequence[Sample]) -> Timing:
    milliseconds = sorted(sample.milliseconds for sample in samples)
    return Timing(
        minimum=milliseconds[0],
        median=statistics.median(milliseconds),
        p95=milliseconds[len(milliseconds) * 95 // 100],
        faults=round(statistics.median(sample.faults for sample in samples)),
    )
