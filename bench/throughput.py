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
_COUNT = re.compile(r"(\d+) requests in")
_LATENCY = re.compile(r"^ +(50|99)% +([\d.]+)(us|ms|s|m) *$", re.MULTILINE)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
# wrk prints these lines only where there is something to count.
_BAD_STATUS, _SOCKET_ERRORS = "Non-2xx", "Socket errors"


class Load(Struct, frozen=True):
    """What wrk saw of one address in one round."""

    rate: float  # requests per second
    count: int  # of requests that were answered
    p50: float  # milliseconds
    p99: float


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
    serve_from(folder, programs)
    with apache.serving(folder) as server:
        urls = {program: f"{server.url}/{program.path.name}" for program in programs}
        for program, url in urls.items():
            check(url, program)
        rounds = [{program: load(url).rate for program, url in urls.items()} for _ in range(ROUNDS)]
    rates = {program: [rates[program] for rates in rounds] for program in programs}
    return {program: Rate(max(several), min(several)) for program, several in rates.items()}


def serve_from(folder: Path, programs: Sequence[Program]) -> None:
    """Have these programs, and nothing else, in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for program in programs:
        place(program.path, folder)


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


def load(url: str, *options: str, connections: int = CONNECTIONS, seconds: int = SECONDS) -> Load:
    """Have wrk load an address, with more of its options; raises BenchError."""
    return parsed(run(url, *options, connections=connections, seconds=seconds))


def run(url: str, *options: str, connections: int, seconds: int) -> str:
    """What wrk says of an address, connections that fail included; raises BenchError."""
    command = ["wrk", f"-t{THREADS}", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += [*options, url]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or _BAD_STATUS in result.stdout:
        raise BenchError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def parsed(output: str) -> Load:
    """What wrk says that it saw; raises BenchError where that is nothing, or an error."""
    if _SOCKET_ERRORS in output:
        raise BenchError(f"wrk saw errors:\n{output}")
    rate, count = _RATE.search(output), _COUNT.search(output)
    latency = {
        percent: float(number) * _MILLISECONDS[unit]
        for percent, number, unit in _LATENCY.findall(output)
    }
    if not rate or not count or int(count[1]) == 0:
        raise BenchError(f"wrk saw no answer:\n{output}")
    return Load(float(rate[1]), int(count[1]), latency["50"], latency["99"])
