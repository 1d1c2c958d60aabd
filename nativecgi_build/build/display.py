"""Shows a build to whoever runs it: the stages with their times, and a table or JSON in the end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from nativecgi_build.build.app import App
from nativecgi_build.build.pipeline import DONE, FAILED
from nativecgi_build.build.records import Built

Show = Callable[[App, str], None]


class Stage(msgspec.Struct):
    """A stage that an app went through."""

    name: str
    seconds: float


class Program(msgspec.Struct, omit_defaults=True):
    """What became of an app, as `--json` says it."""

    name: str
    path: str = ""  # of the program
    frozen: bool | None = None
    size: int | None = None  # in bytes
    milliseconds: float | None = None  # that a request took when it was tried
    status: str | None = None  # of the answer, or "not asked"
    notes: list[str] = []
    stages: list[Stage] = []
    parts: dict[str, int] = {}  # with --explain: what makes it as large as it is, in bytes
    error: str | None = None  # why there is no program


class Stages:
    """Which stages each app went through, and how long these took."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._of: dict[str, list[Stage]] = {}

    def note(self, app: App, stage: str) -> None:
        """An app begins a stage, and ends the one before."""
        now, stages = time.monotonic(), self._of.setdefault(app.name, [])
        if stages and app.name in self._started:
            stages[-1].seconds = round(now - self._started[app.name], 3)
        self._started[app.name] = now
        if stage in (DONE, FAILED):
            del self._started[app.name]
        else:
            stages.append(Stage(stage, 0.0))

    def of(self, name: str) -> list[Stage]:
        """The stages of an app, as far as it has come."""
        return self._of.get(name, [])

    def described(self, name: str) -> str:
        """The same in words, such as `rehearsing 0.9 s, compiling 14.2 s`."""
        return ", ".join(f"{it.name} {it.seconds:.1f} s" for it in self.of(name))


@contextmanager
def progress(console: Console, stages: Stages) -> Iterator[Show]:
    """Show which stage each app is in: live on a terminal, as plain lines elsewhere."""

    def ended(app: App, stage: str) -> None:
        described = stages.described(app.name) or "nothing has changed"
        console.print(f"{app.name}: {stage} ({described})", highlight=False, soft_wrap=True)

    if not console.is_terminal:

        def say(app: App, stage: str) -> None:
            stages.note(app, stage)
            if stage in (DONE, FAILED):
                ended(app, stage)
            else:
                console.print(f"{app.name}: {stage}", highlight=False, soft_wrap=True)

        yield say
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as display:
        tasks: dict[str, TaskID] = {}

        def show(app: App, stage: str) -> None:
            stages.note(app, stage)
            if app.name in tasks:
                display.remove_task(tasks.pop(app.name))
            if stage in (DONE, FAILED):
                ended(app, stage)
            else:
                tasks[app.name] = display.add_task(f"{app.name}: {stage}")

        yield show


def table(built: Mapping[str, Built]) -> Table:
    """What was built, a row an app."""
    result = Table("app", "compiled in", "size", "per request", "answer to a trial", "")
    for name, program in sorted(built.items()):
        result.add_row(
            name,
            f"{program.seconds:.1f} s",
            f"{program.size / 1e6:.1f} MB",
            f"{program.milliseconds:.2f} ms",
            program.status,
            "frozen" if program.is_frozen else "not frozen: a folder, and a link into it",
        )
    return result


def nothing(reason: str) -> bytes:
    """The result in JSON of a build that did not begin, and why."""
    return msgspec.json.encode({"programs": [], "error": reason})


def document(
    built: Mapping[str, tuple[Built, Path]],
    failed: Mapping[str, Exception],
    stages: Stages,
    *,
    explained: bool,
) -> bytes:
    """A build's result in JSON: `{"programs": [...]}`, each as a Program.

    What was built comes with the path of its program.
    """
    programs = [
        Program(
            name,
            str(path),
            it.is_frozen,
            it.size,
            round(it.milliseconds, 3),
            it.status,
            it.notes,
            stages.of(name),
            it.parts if explained else {},
        )
        for name, (it, path) in built.items()
    ]
    programs += [
        Program(name, stages=stages.of(name), error=str(error)) for name, error in failed.items()
    ]
    programs.sort(key=lambda it: it.name)
    return msgspec.json.encode({"programs": programs})
