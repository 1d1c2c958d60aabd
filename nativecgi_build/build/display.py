"""What whoever builds sees of it: the stages as they go, and a table in the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from nativecgi_build.build.app import App
from nativecgi_build.build.pipeline import DONE, FAILED
from nativecgi_build.build.records import Built


@contextmanager
def progress(console: Console) -> Iterator[Callable[[App, str], None]]:
    """Show which stage each app is in: live on a terminal, as plain lines elsewhere."""
    if not console.is_terminal:
        yield lambda app, stage: console.print(f"{app.name}: {stage}", highlight=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as display:
        tasks: dict[str, TaskID] = {}

        def show(app: App, stage: str) -> None:
            if app.name in tasks:
                display.remove_task(tasks[app.name])
            if stage not in (DONE, FAILED):
                tasks[app.name] = display.add_task(f"{app.name}: {stage}")

        yield show


def table(built: dict[str, Built]) -> Table:
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
