"""Measurements as tables, on the terminal and in Markdown."""

import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import rich.table
from msgspec import Struct
from rich.console import Console

from bench import chart, frameworks, guestbook, instructions, setups, throughput, transfers
from bench.builds import DYNAMIC_C, GO, WSGIREF
from bench.chart import Dot
from bench.footprint import Footprint
from bench.frameworks import Built
from bench.guestbook import Result
from bench.instructions import Count
from bench.programs import OURS, Program
from bench.setups import Rates
from bench.startup import Timing
from bench.throughput import Load, Rate
from bench.transfers import DOWNLOADS, UPLOADS, Transfer

_WIDE = 120  # columns
_RESIDENT_COMMANDS = " ".join(
    f"{resident.name} is `{' '.join(resident.command)}`."
    for resident in (frameworks.GUNICORN, frameworks.UVICORN)
)
_METHOD = "## How it is measured"


class Table(Struct, frozen=True):
    """A title, column heads and rows; the first column is text, the others are numbers."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""  # a paragraph below it


class Report(Struct, frozen=True):
    """All that a run has found out."""

    tables: Sequence[Table]
    method: Sequence[str]  # paragraphs
    skipped: Sequence[str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]  # of compilers and interpreters, by what they were used for


def startup_table(timings: Mapping[Program, Timing]) -> Table:
    """From spawn to exit, fastest first."""
    medians = {program.name: timing.median for program, timing in timings.items()}
    rows = [
        (
            program.name,
            f"{timing.minimum:.2f}",
            f"{timing.median:.2f}",
            f"{timing.p95:.2f}",
            _ratio(timing.median, medians.get(GO)),
            _ratio(timing.median, medians.get(DYNAMIC_C)),
            _milliseconds(timing.fresh),
            _milliseconds(timing.first),
        )
        for program, timing in _fastest_first(timings)
    ]
    columns = ("min ms", "median ms", "p95 ms", "x Go", "x C", "fresh ms", "first ms")
    return Table("Spawn to exit", ("program", *columns), rows)


def memory_table(
    timings: Mapping[Program, Timing], footprints: Mapping[Program, Footprint]
) -> Table:
    """What memory a process takes, in the same order."""
    rows = [
        (
            program.name,
            str(timing.faults),
            f"{footprints[program].dirty / 1024:,.0f}",
            str(footprints[program].mappings),
            _size(program.size()),
        )
        for program, timing in _fastest_first(timings)
    ]
    return Table("Memory", ("program", "page faults", "dirty KiB", "mappings", "size"), rows)


def startup_chart(timings: Mapping[Program, Timing]) -> str:
    """The medians, as a picture (SVG)."""
    dots = [
        Dot(program.name, timing.median, is_ours=program.name.startswith(OURS))
        for program, timing in _fastest_first(timings)
    ]
    return chart.svg("A request's process, from spawn to exit", dots)


def instructions_table(counts: Mapping[Program, Count]) -> Table:
    """For one request, fewest first."""
    rows = [
        (program.name, f"{count.instructions:,}", f"{count.lines:,}")
        for program, count in sorted(counts.items(), key=lambda item: item[1].instructions)
    ]
    note = (
        "The instructions that one process executes in user mode, from its first instruction to "
        "its exit. The process is single-stepped with ptrace(2), and each instruction counts, a "
        "REP instruction once however often it repeats. The guestbook reads "
        f"{instructions.ENTRIES} entries. The same file under the same path takes exactly the "
        "same number each time, whatever addresses the kernel gives its stack (10 runs of "
        "hello, 20 of calculator). Each file is copied to a temporary folder first, whose "
        "random name makes a difference of up to 10; a longer path or environment takes more. "
        "When the same compilation is frozen again, hello's number differs: in 8 builds by up "
        "to 1.1 %, with a standard deviation of 0.3 %. Most of that is due to the seed of "
        "`hash()`, which determines where Python looks for a key in a dictionary: with one seed "
        "for all, 6 builds differed by 0.3 %. The rest is due to addresses, which Python hashes "
        "too. Lines are the 64 bytes each that these instructions are in, or read or write. "
        "`make instructions` records hello's numbers, and from then on `make test` fails if one "
        f"rises by {100 * instructions.TOLERANCE:.0f} %."
    )
    return Table(
        "Instructions per request", ("program", "instructions", "lines of memory"), rows, note
    )


def throughput_table(rates: Mapping[Program, Rate]) -> Table:
    """Through Apache, fastest first."""
    best = {program.name: rate.best for program, rate in rates.items()}
    rows = [
        (
            program.name,
            f"{rate.best:,.0f}",
            f"{rate.worst:,.0f}",
            _ratio(rate.best, best.get(GO)),
            _ratio(rate.best, best.get(DYNAMIC_C)),
        )
        for program, rate in sorted(rates.items(), key=lambda item: -item[1].best)
    ]
    rounds = throughput.ROUNDS
    head = ("program", f"requests/s, best of {rounds}", f"worst of {rounds}", "x Go", "x C")
    return Table("Requests per second through Apache", head, rows)


def servers_table(results: Mapping[str, Rates], hello: Program) -> Table:
    """What the servers make of the same programs, the fastest first."""
    names = list(next(iter(results.values())).medians)
    rows = [
        (name, *(f"{rates.medians[program]:,.0f}" for program in names))
        for name, rates in sorted(results.items(), key=lambda item: -item[1].medians[hello.name])
    ]
    note = (
        f"Requests per second, medians of {setups.ROUNDS} rounds of `wrk -t{throughput.THREADS} "
        f"-c{throughput.CONNECTIONS} -d{throughput.SECONDS}s`. All servers run at the same time, "
        "with the configurations in `docs/servers/`, and are loaded in turn."
    )
    return Table("The servers beside each other", ("server", *names), rows, note)


def transfers_table(rates: Mapping[Transfer, transfers.Rate]) -> Table:
    """A gibibyte each way, downloads first."""
    rows = [
        (
            f"{'upload' if transfer.is_upload else 'download'}: {transfer.name}",
            f"{rates[transfer].median:,.0f}",
            f"{rates[transfer].worst:,.0f}",
            f"{rates[transfer].best:,.0f}",
            _ratio(rates[transfer].median, rates[alike[0]].median),
            _size(rates[transfer].resident * 1024),
            _size(rates[transfer].own * 1024),
        )
        for alike in (DOWNLOADS, UPLOADS)
        for transfer in alike
    ]
    head = ("1 GiB", "MB/s, median", "worst", "best", "x sh", "peak memory", "private")
    note = (
        f"A client on the same machine moves {transfers.SIZE:,} bytes through Apache with "
        "mod_cgid. All programs take turns, in a new order each round: one round to warm up, "
        f"then {transfers.ROUNDS} that count. A megabyte is 10^6 bytes; the time is from the "
        "connection to the end of the answer. If not all bytes arrive, the benchmark ends with "
        "an error. The file is in the page cache; `form()` writes a temporary file in /var/tmp. "
        f"Memory is sampled {round(1 / transfers.PAUSE)} times a second: the peak is VmHWM, and "
        "private is RssAnon, the part that belongs to this process alone. The rest are pages of "
        "its files, which processes share. The sources are in `bench/peers/`: `transfers.sh`, "
        "`transfers.c`, `large.py`."
    )
    return Table("Large transfers", head, rows, note)


def guestbook_table(results: Mapping[Program, Result], skipped: Sequence[str]) -> Table:
    """Reads and writes of guestbooks, the fastest reader first."""
    by_name = {program.name: result for program, result in results.items()}
    rows = [
        (
            name,
            *_load_cells(result.reads, by_name, lambda other: other.reads),
            *_load_cells(result.writes, by_name, lambda other: other.writes),
        )
        for name, result in sorted(
            by_name.items(),
            key=lambda item: -statistics.median(load.rate for load in item[1].reads),
        )
    ]
    columns = ("x C", "x Python", "p50 ms", "p99 ms")
    head = ("program", "reads/s", *columns, "writes/s", *columns)
    note = (
        "[The guestbook](guestbook.md) through Apache with mod_cgid: reading a page of "
        f"{guestbook.ENTRIES} entries from an SQLite database, and adding an entry. All programs "
        "have the same statements, pragmas and page, and the pages are compared byte by byte "
        "first. Each has its own database, on a disk. They are loaded by `wrk "
        f"-t{throughput.THREADS} -c{guestbook.CONNECTIONS} -d{guestbook.SECONDS}s` on the same "
        "machine, first with reads and then with writes, and take turns in a new order each "
        f"round, {guestbook.ROUNDS} times. Numbers are medians of the rounds, and ratios are "
        "medians of the ratios within a round. A status other than 2xx or 3xx, a socket error, "
        "or a lost entry ends the benchmark with an error. The sources are in "
        "`bench/peers/guestbook*`."
    )
    if skipped:
        note += f" Not measured: {'; '.join(skipped)}."
    return Table("A guestbook", head, rows, note)


def _load_cells(
    loads: Sequence[Load],
    results: Mapping[str, Result],
    of: Callable[[Result], Sequence[Load]],
) -> Iterator[str]:
    yield f"{statistics.median(load.rate for load in loads):,.0f}"
    for name in (guestbook.C, WSGIREF):
        other = results.get(name)
        pairs = zip(loads, of(other), strict=True) if other else ()
        ratios = [one.rate / two.rate for one, two in pairs]
        yield f"{statistics.median(ratios):.2f}" if ratios else "-"
    yield f"{statistics.median(load.p50 for load in loads):.1f}"
    yield f"{statistics.median(load.p99 for load in loads):.0f}"


def frameworks_startup_table(
    built: Sequence[Built], timings: Mapping[Program, Timing], rounds: int
) -> Table:
    """Applications of frameworks from spawn to exit, beside Go's hello."""
    go = next((program for program in timings if program.name == GO), None)
    to_go = timings[go].median if go else None
    rows = []
    if go:
        timing = timings[go]
        rows.append((f"{GO}: hello", f"{timing.median:.2f}", f"{timing.p95:.2f}", "1.00", *"----"))
    for each in built:
        frozen, cold, plain = (timings[program] for program in each.programs)
        rows.append(
            (
                each.framework.name,
                f"{frozen.median:.2f}",
                f"{frozen.p95:.2f}",
                _ratio(frozen.median, to_go),
                f"{cold.median:.2f}",
                _ratio(cold.median, frozen.median),
                f"{plain.median:.1f}",
                f"{plain.median / frozen.median:.1f}",
            )
        )
    head = (
        "program",
        "median ms",
        "p95 ms",
        "x Go",
        "not warmed up: ms",
        "x",
        "CGIHandler: ms",
        "x",
    )
    installed = dict.fromkeys(each for one in built for each in one.framework.requirements)
    note = (
        "Each framework makes the same page, byte for byte: a template with the name in the "
        f"path. Measured as above, all in one run of {min(rounds, frameworks.STARTS)} rounds. "
        '"Not warmed up" is the same program built without `warmup`. CGIHandler is the '
        "application as plain Python, run by the standard library's wsgiref; FastAPI, which "
        "wsgiref cannot run, uses nativecgi's `run(from_asgi(app))` as plain Python. The column "
        "`x` after each says how many times as long this takes as the frozen program. Versions: "
        f"{', '.join(installed)}. The sources are in `bench/apps/`."
    )
    return Table("Frameworks: spawn to exit", head, rows, note)


def frameworks_throughput_table(results: Mapping[str, Mapping[str, frameworks.Result]]) -> Table:
    """What Apache serves of them, frozen and not, and what it passes to a resident server."""
    rows = [
        (
            f"{framework}: {way}",
            _rate(_median(result.loads, lambda load: load.rate)),
            f"{_median(result.loads, lambda load: load.p50):.1f}",
            f"{_median(result.loads, lambda load: load.p99):.0f}",
            _ratio(
                _median(result.loads, lambda load: load.rate),
                _median(ways[frameworks.FROZEN].loads, lambda load: load.rate),
            ),
        )
        for framework, ways in results.items()
        for way, result in ways.items()
    ]
    head = ("application", "requests/s", "p50 ms", "p99 ms", "x frozen")
    note = (
        f"Through Apache on the loopback interface, loaded by `wrk -t{throughput.THREADS} "
        f"-c{throughput.CONNECTIONS} -d{frameworks.SECONDS}s` (CGI programs of plain Python for "
        f"{frameworks.PLAIN_SECONDS} seconds), on the same machine. The variants of a framework "
        f"take turns, in a new order each round, {frameworks.ROUNDS} times, and numbers are "
        "medians of the rounds. mod_cgid runs CGI programs; a resident server is behind "
        f"mod_proxy_http, which keeps its connections open. {_RESIDENT_COMMANDS} If there are "
        "few requests, the p99 is that of the slowest. A status other than 2xx or 3xx, or a "
        "socket error, ends the benchmark with an error."
    )
    return Table("Frameworks: requests per second", head, rows, note)


def frameworks_memory_table(results: Mapping[str, Mapping[str, frameworks.Result]]) -> Table:
    """What memory the programs and the resident servers take together."""
    rows = []
    for framework, ways in results.items():
        for way, result in ways.items():
            median = frameworks.median(result.under_load)
            rows.append(
                (
                    f"{framework}: {way}",
                    str(result.at_rest.processes),
                    _mebibytes(result.at_rest.size),
                    str(median.processes),
                    _mebibytes(median.size),
                    _mebibytes(max(memory.size for memory in result.under_load)),
                )
            )
    head = ("application", "at rest: processes", "MiB", "loaded: processes", "MiB", "most")
    note = (
        "The sum of the proportional set sizes (Pss in /proc/PID/smaps_rollup) of all processes "
        "that run the application; a page that several processes share counts once, divided "
        "among them. For CGI, these are the programs that Apache is running at that moment, "
        "which are stopped while they are measured, as is Apache. For a resident server, these "
        "are all its processes, workers and others. Apache's own processes and the page cache "
        'are not counted. "At rest" is after the requests of the table above. "Loaded" is with '
        f"{frameworks.CONCURRENT} requests at a time (`wrk -c{frameworks.CONCURRENT}`), measured "
        f"{round(1 / frameworks.PAUSE)} times a second for {frameworks.SECONDS} seconds: "
        "medians, and the maximum. Pages of the interpreter's or a library's file may be shared "
        "with other programs on the machine."
    )
    return Table("Frameworks: memory", head, rows, note)


def _median(loads: Sequence[Load], of: Callable[[Load], float]) -> float:
    return statistics.median(map(of, loads))


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f}"


def show(table: Table) -> None:
    """Print a table."""
    shown = rich.table.Table(title=table.title)
    for index, name in enumerate(table.head):
        shown.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*row)
    # What is no terminal has no width, and needs none.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(shown)


def markdown(report: Report) -> str:
    """The whole report as a page."""
    return "\n".join(_lines(report))


def updated(page: str, table: Table) -> str:
    """The page with another section of the table's title, or a new one behind all tables."""
    section = "\n".join(_section(table)) + "\n"
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    titles = [part.partition("\n")[0] for part in parts]
    if (title := f"## {table.title}") in titles:
        parts[titles.index(title)] = section
    else:
        parts.insert(titles.index(_METHOD), section)
    return "".join(parts)


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Benchmarks", "", "`make bench` writes this page.", "")
    for table in report.tables:
        yield from _section(table)
    if report.skipped:
        yield from ("Not measured:", "", *(f"- {line}" for line in report.skipped), "")
    yield from (_METHOD, "")
    for paragraph in report.method:
        yield from (paragraph, "")
    for title, facts in (("The machine", report.machine), ("Compilers", report.versions)):
        table = Table(title, ("", ""), list(facts.items()))
        yield from (f"## {title}", "", *_table_lines(table, numbers=False), "")


def _section(table: Table) -> Iterator[str]:
    yield from (f"## {table.title}", "", *_table_lines(table), "")
    if table.note:
        yield from (table.note, "")


def _table_lines(table: Table, *, numbers: bool = True) -> Iterator[str]:
    other = "---:" if numbers else "---"
    yield _row(table.head)
    yield _row(("---", *(other for _name in table.head[1:])))
    yield from map(_row, table.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fastest_first(timings: Mapping[Program, Timing]) -> list[tuple[Program, Timing]]:
    return sorted(timings.items(), key=lambda item: item[1].median)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ratio(value: float, other: float | None) -> str:
    return f"{value / other:.2f}" if other else "-"


def _size(count: int) -> str:
    for factor, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
