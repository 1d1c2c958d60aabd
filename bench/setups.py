"""Measures what each server makes of the same programs: requests per second, with wrk."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from msgspec import Struct

from bench.programs import Program
from bench.throughput import check, load, serve_from
from servers import apache, lighttpd, nginx
from servers.server import Server, executable

ROUNDS = 2

_Serving = Callable[[Path], AbstractContextManager[Server]]

SETUPS: Mapping[str, tuple[str, _Serving]] = {
    "lighttpd": (lighttpd.PROGRAM, lighttpd.serving),
    "Apache, event MPM and mod_cgid": (apache.PROGRAM, apache.serving),
    "Apache, prefork MPM and mod_cgi": (
        apache.PROGRAM, partial(apache.serving, way=apache.PREFORK),
    ),
    "nginx and fcgiwrap": (nginx.PROGRAM, nginx.serving),
}  # fmt: skip


class Rates(Struct, frozen=True):
    """Requests per second of each program behind one server: medians of the rounds'."""

    medians: Mapping[str, float]


def missing() -> str | None:
    """Which tool the measurement lacks on this machine."""
    tools = [*(program for program, _serving in SETUPS.values()), nginx.WRAPPER, "wrk"]
    return next((tool for tool in tools if executable(tool) is None), None)


def measure_all(programs: Sequence[Program], folder: Path) -> dict[str, Rates]:
    """Serve the programs from `folder` behind all servers at once, and load each in turn.

    Raises BenchError and ServerError as throughput.measure_all does.
    """
    serve_from(folder, programs)
    with ExitStack() as running:
        servers = {
            name: running.enter_context(serving(folder))
            for name, (_program, serving) in SETUPS.items()
        }
        urls = {
            (name, program): f"{server.url}/{program.path.name}"
            for name, server in servers.items()
            for program in programs
        }
        for (_name, program), url in urls.items():
            check(url, program)
        rounds = [{key: load(url).rate for key, url in urls.items()} for _round in range(ROUNDS)]
    return {
        name: Rates({
            program.name: statistics.median(rates[name, program] for rates in rounds)
            for program in programs
        })
        for name in servers
    }  # fmt: skip
