"""`python -m bench`: builds the peers, measures them and this project's programs, reports."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench import (
    builds,
    footprint,
    frameworks,
    guestbook,
    instructions,
    machine,
    pagecache,
    programs,
    report,
    setups,
    startup,
    throughput,
    transfers,
)
from bench.errors import BenchError
from bench.programs import Program
from bench.report import Report, Table
from servers.server import ServerError

_ROOT = Path(__file__).resolve().parent.parent
_BUILD = _ROOT / "build" / "bench"
_IMPORTS = Path(__file__).with_name("apps") / "imports.py"
_WARM_UP = 10


class Options(Struct, frozen=True):
    """The command line's."""

    rounds: int
    ours: Path
    plain: Path
    output: Path
    only: str | None


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    started = time.monotonic()
    try:
        options = _options()
        if options.only:
            _bench_only(options)
        else:
            _bench(options)
        print(f"written to {options.output}, after {time.monotonic() - started:.0f} seconds")
    except (BenchError, ServerError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=_positive, default=300, metavar="N",
        help="how often each program is timed (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ours", type=Path, default=_ROOT / "dist/cgi-bin", metavar="DIR",
        help="the folder of frozen programs (default: dist/cgi-bin)",
    )  # fmt: skip
    parser.add_argument(
        "--plain", type=Path, metavar="FILE",
        default=_ROOT / "build/apps/hello/hello.dist/hello.bin",
        help="hello as Nuitka compiles it (default: build/apps/hello/hello.dist/hello.bin)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=_ROOT / "docs/benchmarks.md", metavar="FILE",
        help="the page to write (default: docs/benchmarks.md)",
    )  # fmt: skip
    parser.add_argument(
        "--only",
        choices=["startup", "instructions", "servers", "transfers", "guestbook", "frameworks"],
        help="measure this alone, and leave the rest of the page as it is",
    )  # fmt: skip
    return Options(**vars(parser.parse_args()))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _bench(options: Options) -> None:
    skipped: list[str] = []

    def skip(line: str) -> None:
        print(f"skipped: {line}")
        skipped.append(line)

    ours = _ours(options)
    peers = builds.build(_BUILD, skip)
    compared = [*ours, *(peer.program for peer in peers)]
    tables = [*_startup(compared, options), _instructions(options)]
    if tool := throughput.missing():
        skip(f"requests per second through Apache: there is no {tool}")
    else:
        tables.append(_throughput(compared, ours[0]))
        if tool := setups.missing():
            skip(f"the servers beside each other: there is no {tool}")
        else:
            tables.append(_servers(ours[0], compared))
        tables.append(_guestbook(options))
    tables += _frameworks(compared, options, skip)
    if tool := transfers.missing():
        skip(f"large transfers through Apache: there is no {tool}")
    else:
        tables.append(_transfers())
    page = Report(
        tables,
        _method(options),
        skipped,
        machine.description(),
        {peer.program.name: peer.version for peer in peers},
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(report.markdown(page))


def _bench_only(options: Options) -> None:
    needs = {
        "servers": setups.missing,
        "transfers": transfers.missing,
        "guestbook": throughput.missing,
    }
    if tool := needs.get(options.only or "", lambda: None)():
        raise BenchError(f"there is no {tool}")
    if not options.output.exists():
        raise BenchError(f"there is no page {options.output} to put it in")
    match options.only:
        case "startup":
            peers = [peer.program for peer in builds.build(_BUILD, print)]
            tables = _startup([*_ours(options), *peers], options)
        case "instructions":
            tables = [_instructions(options)]
        case "servers":
            peers = [peer.program for peer in builds.build(_BUILD, print)]
            tables = [_servers(programs.hello(options.ours.resolve()), peers)]
        case "transfers":
            tables = [_transfers()]
        case "frameworks":
            peers = [peer.program for peer in builds.build(_BUILD, print)]
            tables = _frameworks(peers, options, print)
        case _:
            tables = [_guestbook(options)]
    page = options.output.read_text()
    for table in tables:
        page = report.updated(page, table)
    options.output.write_text(page)


def _ours(options: Options) -> list[Program]:
    """This project's programs, hello first."""
    frozen = options.ours.resolve()
    print("building a program that imports much")
    return [
        programs.hello(frozen),
        programs.calculator(frozen),
        programs.httpbin(frozen),
        programs.imports(builds.frozen(_IMPORTS, _BUILD / "ours")),
        programs.plain(options.plain.resolve()),
    ]


def _startup(compared: list[Program], options: Options) -> list[Table]:
    print(f"timing {len(compared)} programs, {options.rounds} rounds")
    timings = startup.time_all(compared, options.rounds, _WARM_UP, _BUILD / "copies")
    footprints = {program: footprint.measure(program) for program in compared}
    tables = [report.startup_table(timings), report.memory_table(timings, footprints)]
    for table in tables:
        report.show(table)
    picture = options.output.with_suffix(".svg")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(report.startup_chart(timings))
    return tables


def _instructions(options: Options) -> Table:
    print("counting instructions, less than a minute")
    table = report.instructions_table(instructions.count_all(options.ours.resolve()))
    report.show(table)
    return table


def _throughput(compared: list[Program], hello: Program) -> Table:
    names = (hello.name, builds.GO, builds.DYNAMIC_C, builds.WSGIREF)
    served = [program for program in compared if program.name in names]
    seconds = len(served) * throughput.ROUNDS * throughput.SECONDS
    print(f"loading {len(served)} programs through Apache, {seconds} seconds")
    table = report.throughput_table(throughput.measure_all(served, _BUILD / "cgi-bin"))
    report.show(table)
    return table


def _servers(hello: Program, compared: list[Program]) -> Table:
    served = [hello, *(program for program in compared if program.name == builds.DYNAMIC_C)]
    seconds = len(served) * len(setups.SETUPS) * setups.ROUNDS * throughput.SECONDS
    print(f"loading {len(served)} programs through {len(setups.SETUPS)} servers, {seconds} seconds")
    table = report.servers_table(setups.measure_all(served, _BUILD / "cgi-bin"), hello)
    report.show(table)
    return table


def _guestbook(options: Options) -> Table:
    skipped: list[str] = []
    print("building guestbooks")
    ours = guestbook.ours(options.ours.resolve())
    compared = [ours, *guestbook.build(_BUILD / "guestbook", skipped.append)]
    seconds = len(compared) * 2 * guestbook.ROUNDS * guestbook.SECONDS
    print(f"loading {len(compared)} guestbooks through Apache, {seconds} seconds")
    results = guestbook.measure_all(compared, _BUILD / "cgi-bin")
    table = report.guestbook_table(results, skipped)
    report.show(table)
    return table


def _frameworks(
    compared: list[Program], options: Options, skip: Callable[[str], None]
) -> list[Table]:
    print("building applications of frameworks, some minutes for the first time")
    built = frameworks.build(_BUILD / "frameworks", skip)
    if not built:
        return []
    go = next((program for program in compared if program.name == builds.GO), None)
    rounds = min(options.rounds, frameworks.STARTS)
    print(f"timing {len(built)} frameworks, {rounds} rounds of a second or so")
    timings = frameworks.time_all(built, go, rounds, _BUILD / "copies")
    tables = [report.frameworks_startup_table(built, timings, rounds)]
    report.show(tables[0])
    if reason := frameworks.missing():
        skip(f"frameworks through Apache: {reason}")
    else:
        print(f"loading {len(built)} frameworks through Apache, three minutes")
        results = frameworks.measure_all(built, _BUILD / "cgi-bin")
        through_apache = [
            report.frameworks_throughput_table(results),
            report.frameworks_memory_table(results),
        ]
        for table in through_apache:
            report.show(table)
        tables += through_apache
    return tables


def _transfers() -> Table:
    print("moving a gibibyte each way through Apache, a few minutes")
    table = report.transfers_table(transfers.measure_all(_BUILD))
    report.show(table)
    return table


def _method(options: Options) -> list[str]:
    return [
        "A program is started with posix_spawn(3), with the environment that Apache sets for a "
        "GET request. Its standard input is /dev/null or (POST) a pipe, and its standard output "
        "is a pipe. Its output is read to the end and checked, and the process is waited for; "
        "the time is from before the spawn to after the wait. All programs take turns, in a new "
        f"order each round: {_WARM_UP} rounds to warm up, then {options.rounds} that count. 95 "
        "of 100 runs take less time than p95. `x Go` and `x C` are the ratios to the medians of "
        'Go and of dynamic C. The program "that imports much" answers as hello does, and has '
        "imported msgspec, sqlite3, re, json, hashlib, urllib, datetime, decimal, html, "
        "http.cookies, email and asyncio.",
        f"Each program's file is copied, in pieces of {pagecache.WRITE // 2**20} MiB, and the "
        "copy is dropped from the page cache. The next run reads it back; its time is `first "
        f"ms`, the median of {startup.EVICTIONS} such runs. This concerns the program's file "
        "alone: libraries of the system stay in memory. The runs that count find the file as it "
        "was last read back, as after a reboot. How a file got into the page cache makes a "
        "difference: a newly written file is there in larger pieces, which the kernel maps "
        "faster. `fresh ms` is the median of runs of a second copy that was left as it was "
        "written, in the same rounds. Scripts and programs "
        "of several files have no `fresh ms`, and scripts no `first ms`, because their interpreter "
        "stays in memory.",
        "Page faults are the median of the minor faults (getrusage(2)). Dirty is the memory "
        "that a process has for itself when it writes its answer, because it has written to it "
        "(Private_Dirty in /proc/PID/smaps_rollup). The size is that of all files of the "
        "program, without an interpreter or libraries of the system.",
        "Through Apache: the event MPM and mod_cgid on the loopback interface, loaded by `wrk "
        f"-t{throughput.THREADS} -c{throughput.CONNECTIONS} -d{throughput.SECONDS}s` for each "
        f"program in turn, {throughput.ROUNDS} times, on the same machine. An answer with a "
        "status other than 2xx or 3xx ends the benchmark with an error.",
        "To reproduce this, run `make bench` with gcc, musl-tools, golang-go, rustc, perl, "
        "python3, apache2-bin and wrk installed; peers whose tools are missing are left out. "
        "When everything is built, it takes twelve minutes on two cores, five of them for "
        "frameworks; therefore guestbooks, transfers and frameworks have few rounds. Building "
        "the frameworks' eight programs for the first time takes some minutes more, and needs "
        "PyPI. `--only` measures one part (`startup`, `instructions`, `servers`, `guestbook`, "
        "`frameworks`, `transfers`) and leaves the rest of the page as it is: "
        "`.venv-dev/bin/python -m bench --only startup`. The peers' sources are in "
        "`bench/peers/`. Times differ between machines, above all between virtual ones: compare "
        "ratios.",
    ]


if __name__ == "__main__":
    sys.exit(main())
