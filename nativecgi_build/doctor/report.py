"""What a check of this machine has found, and how a user reads it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

# missing: nothing can be built. poor: something works less well, or only some apps need it.
State = Literal["ok", "poor", "missing"]


class Check(msgspec.Struct, frozen=True):
    """What one check has found."""

    name: str
    state: State
    found: str
    advice: str = ""  # what to do, or to type


class Report(msgspec.Struct, frozen=True):
    """What all checks have found."""

    works: bool  # programs can be built here
    checks: Sequence[Check]


def reported(checks: Iterable[Check]) -> Report:
    """The report of checks."""
    found = list(checks)
    return Report(all(it.state != "missing" for it in found), found)


def lines(report: Report) -> Iterator[str]:
    """The report as text."""
    width = max(len(it.name) for it in report.checks)
    for it in report.checks:
        yield f"{it.state:<7}  {it.name:<{width}}  {it.found}"
        if it.advice:
            yield f"{'':<7}  {'':<{width}}  -> {it.advice}"
    yield ""
    if report.works:
        yield "Programs can be built on this machine."
    else:
        names = ", ".join(it.name for it in report.checks if it.state == "missing")
        yield f"Programs cannot be built on this machine yet: see {names}."
