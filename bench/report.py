"""Measurements as tables, on the terminal and in Markdown."""

import sys
from collections.abc import Iterator, Mapping, Sequence

import rich.table
from msgspec import Struct
from rich.console import Console

from bench import throughput
from bench.builds import DYNAMIC_C, GO
from bench.programs import Program
from bench.startup import Timing
from bench.throughput import Rate

_WIDE = 120  # columns


class Table(Struct, frozen=True):
    """A title, column heads and rows; the first column is text, the others are numbers."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


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
            str(timing.faults),
            _size(program.size()),
        )
        for program, timing in sorted(timings.items(), key=lambda item: item[1].median)
    ]
    head = ("program", "min ms", "median ms", "p95 ms", "x Go", "x C", "page faults", "size")
    return Table("Spawn to exit", head, rows)


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


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Benchmarks", "", "`make bench` writes this page anew.", "")
    for table in report.tables:
        yield from (f"## {table.title}", "", *_table_lines(table), "")
    if report.skipped:
        yield from ("Not measured:", "", *(f"- {line}" for line in report.skipped), "")
    yield from ("## How it is measured", "")
    for paragraph in report.method:
        yield from (paragraph, "")
    for title, facts in (("The machine", report.machine), ("Compilers", report.versions)):
        table = Table(title, ("", ""), list(facts.items()))
        yield from (f"## {title}", "", *_table_lines(table, numbers=False), "")


def _table_lines(table: Table, *, numbers: bool = True) -> Iterator[str]:
    other = "---:" if numbers else "---"
    yield _row(table.head)
    yield _row(("---", *(other for _name in table.head[1:])))
    yield from map(_row, table.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(value: float, other: float | None) -> str:
    return f"{value / other:.2f}" if other else "-"


def _size(count: int) -> str:
    for factor, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
