"""Measures requests per second through Apache, with wrk."""

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench.errors import BenchError
from bench.programs import Program
from servers import apache
from servers.server import executable

THREADS, CONNECTIONS, SECONDS, ROUNDS = 1, 8, 3, 2

_RATE = re.compile(r"Requests/sec:\s*([\d.]+)")
# wrk prints these lines only where there is something to count.
_FAILURE = re.compile(r"^.*(?:Non-2xx|Socket errors).*$", re.MULTILINE)


class Rate(Struct, frozen=True):
    """Requests per second: the best round's, and the worst's."""

    best: float
    worst: float


def missing() -> str | None:
    """Which tool the measurement lacks on this machine."""
    if executable(apache.PROGRAM) is None:
        return apache.PROGRAM
    return None if shutil.which("wrk") else "wrk"


def measure_all(programs: Sequence[Program], folder: Path) -> dict[Program, Rate]:
    """Serve the programs from `folder`, which is emptied first, and load each in turn.

    Raises BenchError where one gives a wrong answer, or any but 2xx and 3xx under load, and
    ServerError where Apache does not start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for program in programs:
        place(program.path, folder)
    with apache.serving(folder) as server:
        urls = {program: f"{server.url}/{program.path.name}" for program in programs}
        for program, url in urls.items():
            check(url, program)
        rounds = [{program: load(url) for program, url in urls.items()} for _ in range(ROUNDS)]
    rates = {program: [rates[program] for rates in rounds] for program in programs}
    return {program: Rate(max(several), min(several)) for program, several in rates.items()}


def place(file: Path, folder: Path) -> None:
    """Link the file, as a copy would not lie in the page cache as the original does."""
    try:
        (folder / file.name).hardlink_to(file)
    except OSError:  # another file system
        shutil.copy2(file, folder)


def check(url: str, program: Program) -> None:
    """Raise BenchError where the program gives another answer through the server."""
    try:
        with urllib.request.urlopen(url) as response:
            body = response.read()
    except OSError as error:
        raise BenchError(f"{program.name} at {url}: {error}") from error
    if body != program.answer:
        raise BenchError(f"{program.name} at {url} answers {body[:500]!r}")


def load(url: str) -> float:
    """Requests per second that wrk measures; raises BenchError."""
    command = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    rate, failure = _RATE.search(result.stdout), _FAILURE.search(result.stdout)
    if result.returncode or failure or not rate:
        raise BenchError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return float(rate[1])
