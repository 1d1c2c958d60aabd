"""The part of docs/contract.md that is made from the table: where an answer differs, and why."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.contract.case import NO_ANSWER, WAYS, Case

PAGE = Path(__file__).parent.parent.parent / "docs" / "contract.md"

BEGIN, END = "<!-- made by python -m tests.contract -->\n", "<!-- to here -->\n"


def with_table(page: str, cases: Iterable[Case]) -> str:
    """The page with what is between the marks made anew."""
    before, _begin, rest = page.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return "".join((before, BEGIN, *_lines(list(cases)), END, after))


def _lines(cases: list[Case]) -> Iterator[str]:
    yield "\n| a request | where | status | why |\n| --- | --- | --- | --- |\n"
    for case in cases:
        for ways, status, because in _exceptions(case):
            yield f"| {case.name} | {', '.join(ways)} | {status} | {because} |\n"
    yield "\n| a request | only where | why |\n| --- | --- | --- |\n"
    for case in cases:
        if case.because:
            yield f"| {case.name} | {', '.join(case.only_on)} | {case.because} |\n"
    yield "\n"


def _exceptions(case: Case) -> Iterator[tuple[list[str], str, str]]:
    """The ways that differ, together where they differ alike."""
    reasons = {
        way: (_status(case, way), case.except_on[way].because)
        for way in WAYS
        if way in case.except_on
    }
    for reason in dict.fromkeys(reasons.values()):
        yield [way for way in reasons if reasons[way] == reason], *reason


def _status(case: Case, way: str) -> str:
    status, usual = case.except_on[way].status, case.expected.status
    shown = "no answer" if status == NO_ANSWER else str(status)
    return shown if status == usual else f"{shown}, not {usual}"
