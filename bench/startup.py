"""Times programs from spawn to exit."""

import os
import random
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench import pagecache
from bench.errors import BenchError
from bench.programs import Program

PIPE_SIZE = 65536  # of a Linux pipe: what is written at once without a reader (pipe(7))
EVICTIONS = 5


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
    # The first run's, with the file on the disk alone: median over some evictions, but a script's.
    first: float | None = None
    fresh: float | None = None  # median with the file just written, where that was measured


def time_all(
    programs: Sequence[Program], rounds: int, warm_up: int, folder: Path
) -> dict[Program, Timing]:
    """Run copies of every program in `folder`, and summarise all rounds behind the first `warm_up`.

    The rounds interleave the programs, so that whatever else the machine does hits all alike;
    each has an order of its own, so that none always runs in the wake of the same other.
    """
    with pagecache.copied(list(programs), folder) as copies:
        firsts = _first_runs([each.evicted for each in copies.values()])
        order = [each.evicted for each in copies.values()]
        order += [each.written for each in copies.values() if each.written]
        samples: dict[Program, list[Sample]] = {program: [] for program in order}
        shuffle = random.Random(0).shuffle
        for number in range(warm_up + rounds):
            shuffle(order)
            for program in order:
                sample = run(program)
                if number >= warm_up:
                    samples[program].append(sample)
    return {
        program: summary(
            samples[each.evicted],
            firsts[each.evicted],
            samples[each.written] if each.written else (),
        )
        for program, each in copies.items()
    }


def _first_runs(programs: Sequence[Program]) -> dict[Program, list[Sample]]:
    """Run each once after each of its evictions; a script's interpreter is not evicted."""
    samples: dict[Program, list[Sample]] = {program: [] for program in programs}
    for _number in range(EVICTIONS):
        for program in programs:
            pagecache.evict(program)
            sample = run(program)
            if not pagecache.is_script(program):
                samples[program].append(sample)
    return samples


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


def summary(
    samples: Sequence[Sample], first: Sequence[Sample] = (), fresh: Sequence[Sample] = ()
) -> Timing:
    """What is told of a program's runs: those with its file evicted and read back, and others."""
    milliseconds = sorted(sample.milliseconds for sample in samples)
    return Timing(
        minimum=milliseconds[0],
        median=statistics.median(milliseconds),
        p95=milliseconds[len(milliseconds) * 95 // 100],
        faults=round(statistics.median(sample.faults for sample in samples)),
        first=_median(first),
        fresh=_median(fresh),
    )


def _median(samples: Sequence[Sample]) -> float | None:
    return statistics.median(sample.milliseconds for sample in samples) if samples else None
