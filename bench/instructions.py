"""Counts what a program executes for one request: instructions, and the lines that they touch.

`python -m bench.instructions PROGRAM` counts those of hello; with `--record`, tests take that for
what it may take from then on.
"""

import argparse
import importlib.metadata
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench import guestbook, programs
from bench.errors import BenchError
from bench.lines import step
from bench.programs import OURS, Program
from bench.startup import PIPE_SIZE, filled
from nativecgi_build.freezer import ptrace

BASELINE = Path(__file__).resolve().parent.parent / "tests" / "instructions.json"
TOLERANCE = 0.03  # freezing the same program anew makes a difference of a third of that
ENTRIES = 10  # in the guestbook: each takes 20,000 instructions, and each of these 20 microseconds

# Where programs run to be counted: the length of their paths shows in the count.
_FOLDER = Path("/var/tmp")


class Count(msgspec.Struct, frozen=True):
    """What one request takes."""

    instructions: int
    lines: int  # of 64 bytes, of code and data


def count(program: Program) -> Count:
    """What one process of it takes, from its first instruction to its exit.

    These are the ones in user mode, of its main thread; a REP instruction is one, however often it
    repeats. An image takes as many each time, but for a few that depend on its temporary path.
    Raises BenchError where the program fails or its answer is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_FOLDER) as folder, _one_processor():
        path = Path(shutil.copy2(program.path, Path(folder, "program")))
        reader, writer = os.pipe()
        stdin = filled(program.body)
        with os.fdopen(reader, "rb") as output:
            process = subprocess.Popen(
                [path], env=program.environment(), cwd=folder,
                stdin=stdin, stdout=writer, preexec_fn=ptrace.trace_me,
            )  # fmt: skip
            os.close(writer)
            os.close(stdin)
            counted = _stepped(process)
            if process.returncode:
                raise BenchError(f"{program.path} ended with status {process.returncode}")
            program.check(output.read(PIPE_SIZE))
    return counted


def count_all(frozen: Path) -> dict[Program, Count]:
    """Count those of this project's programs, in the folder `frozen`; the guestbook has entries.

    Raises BenchError where one has not been built.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_FOLDER) as folder:
        database = Path(folder, "guestbook.db")
        guestbook.fill(database, ENTRIES)
        variables = (("GUESTBOOK_DB", str(database)),)
        read = replace(guestbook.ours(frozen), name=f"{OURS}: guestbook", variables=variables)
        counted = (programs.hello(frozen), programs.calculator(frozen), read)
        return {program: count(program) for program in counted}


def machine() -> str:
    """What a count depends on beside the program: it is compared with none from elsewhere."""
    compiler = subprocess.run(
        ["cc", "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return ", ".join(
        (
            f"{python} ({platform.python_compiler()})",
            f"Nuitka {importlib.metadata.version('nuitka')}",
            f"cc {compiler}",
            " ".join(platform.libc_ver()),
        )
    )


def baseline() -> Count | None:
    """What hello took on such a machine when that was recorded."""
    return _recorded().get(machine())


def _recorded() -> dict[str, Count]:
    return msgspec.json.decode(BASELINE.read_bytes(), type=dict[str, Count])


def record(counted: Count) -> None:
    """Have tests on such a machine compare with this."""
    recorded = _recorded() | {machine(): counted}
    text = msgspec.json.format(msgspec.json.encode(dict(sorted(recorded.items()))), indent=2)
    BASELINE.write_bytes(text + b"\n")


@contextmanager
def _one_processor() -> Iterator[None]:
    """Run on one processor, the programs too: a step then takes a third of the time."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _stepped(process: "subprocess.Popen[bytes]") -> Count:
    """Run a process, which is about to stop at its first instruction, to its end."""
    try:
        os.waitpid(process.pid, 0)
        ptrace.set_options(process.pid, ptrace.O_EXITKILL)
        touched, status = step(process.pid)
        if os.WIFSTOPPED(status):
            name = signal.Signals(os.WSTOPSIG(status)).name
            raise BenchError(f"the program gets {name} as it is counted")
        process.returncode = os.waitstatus_to_exitcode(status)
        return Count(touched.instructions, touched.lines)
    finally:
        process.kill()
        process.wait()


def _compared(what: str, now: int, before: int | None) -> str:
    change = f", {now / before - 1:+.2%} beside the recorded {before:,}" if before else ""
    return f"{now:,} {what}{change}"


def main() -> int:
    """Count, and record, as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("program", type=Path, help="a frozen hello")
    parser.add_argument("--record", action="store_true", help="have tests compare with the result")
    options = parser.parse_args()
    try:
        now = count(Program("hello", options.program.resolve()))
    except BenchError as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 1
    before = baseline()
    print(_compared("instructions", now.instructions, before.instructions if before else None))
    print(_compared("lines of memory", now.lines, before.lines if before else None))
    print(machine())
    if options.record:
        record(now)
        print(f"recorded in {BASELINE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
