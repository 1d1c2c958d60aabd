"""The command line: each command parses its arguments and calls a module that does the work.

Exit statuses: 0 when all is done, 1 when something failed, 2 when the command line is wrong.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from nativecgi_build import commands, explain
from nativecgi_build.build.app import App
from nativecgi_build.build.display import Stages, document, nothing, progress, table
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.finding import CUSTOMARY, find_apps
from nativecgi_build.build.pipeline import build_all
from nativecgi_build.build.records import Built, Wanted
from nativecgi_build.freezer import SECONDS, Unsupported, require_support
from nativecgi_build.scripts.reference import BadReference, parsed
from nativecgi_build.settings import (
    Settings,
    SettingsError,
    check_python,
    projects_below,
    settings_of,
)
from nativecgi_build.terminal import app, project_folder, set_project
from nativecgi_build.terminal import failed as _failed
from nativecgi_build.terminal import misused as _misused

__all__ = ["commands", "main"]

SECRET = "NATIVECGI_SECRET"


def main(arguments: Sequence[str] | None = None, project: Path | None = None) -> NoReturn:
    """Run a command, in the folder `project` if that is given, otherwise in the working folder."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if any(re.match("--rep[a-z]*=", argument) for argument in given):
        _misused(
            "a secret among the arguments is everybody's to read\nwrite it to a file, and say "
            f"--reproducible --secret-file FILE; or set {SECRET}"
        )
    set_project(project)
    app(list(_repeated("--script", given)), prog_name="nativecgi")
    raise AssertionError("typer exits")


def _repeated(option: str, arguments: Iterable[str]) -> Iterator[str]:
    """The arguments, with an option that had several values repeated before each of them."""
    follows = False
    for argument in arguments:
        if argument == option or argument.startswith("-"):
            follows = argument == option
            if follows:
                continue
        elif follows:
            yield option
        yield argument


def _say_version(is_asked: bool) -> None:
    if is_asked:
        print(f"nativecgi {version('nativecgi')}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Turn Python request handlers, scripts and web applications into single-file CGI programs."""


@app.command()
def build(
    apps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[APP]...", help="Files, folders, or names of apps in the project."),
    ] = None,
    script: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="CGI scripts that print their answers: all files up to the next option.",
        ),
    ] = None,
    wsgi: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:NAME", help="A WSGI application, or MODULE:FACTORY()."),
    ] = None,
    asgi: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:NAME", help="An ASGI application, or MODULE:FACTORY()."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of the program, if there is one application.")
    ] = None,
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="PATH",
            help="Ask scripts and applications for this page, such as /, at build time. It must "
            "have no effects.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder for the programs.")
    ] = None,
    no_freeze: Annotated[
        bool, typer.Option("--no-freeze", help="Stop after compiling: do not freeze.")
    ] = False,
    debug: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder for a NAME.debug of each program, which gdb needs to read core files.",
        ),
    ] = None,
    reproducible: Annotated[
        bool,
        typer.Option(
            "--reproducible",
            help="Build the same bytes from the same sources, tools and secret. Anybody who has "
            "these knows the program's addresses and random values.",
        ),
    ] = False,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"The file with the secret for --reproducible; or set {SECRET}.",
        ),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Compile nothing: run the app with plain Python and freeze that. Takes seconds.",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Freeze unchanged programs too, at new addresses."),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="The time that a program has to reach its freeze point."
        ),
    ] = SECONDS,
    native: Annotated[
        bool,
        typer.Option(
            "--native",
            help="Build for servers with this machine's CPU: OpenSSL is several times as fast.",
        ),
    ] = False,
    compile_all: Annotated[
        bool,
        typer.Option(
            "--compile-all",
            help="Also compile the packages that an app imports. Takes minutes.",
        ),
    ] = False,
    explained: Annotated[
        bool, typer.Option("--explain", help="Show what makes each program as large as it is.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write the result as JSON, and everything else to stderr."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Write only what has failed.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="How many things to do at a time.")] = (
        os.cpu_count() or 1
    ),
) -> None:
    """Build programs from apps, scripts or applications; by default, all of the project.

    An app goes through four stages: it is rehearsed (run by plain Python up to its freeze point),
    compiled by Nuitka, frozen, and tried. What has not changed since the last build is not built
    again.
    """
    try:
        projects = _projects(bool(apps or script or wsgi or asgi))
    except SettingsError as error:
        _not_begun(str(error), as_json)
    # What the build starts need not know it.
    secret_variable = os.environ.pop(SECRET, "")
    target = (output or _outputs(projects)).resolve()
    debug = debug and debug.resolve()
    if debug and debug.is_relative_to(target):
        _misused(f"what is in {target} may be served\nname another folder: --debug DIR")
    if explained and no_freeze:
        _misused("--explain is about frozen programs\nleave out --no-freeze")
    if fast and (no_freeze or compile_all or reproducible):
        _misused("--fast compiles nothing\nleave out --no-freeze, --compile-all and --reproducible")
    if debug and no_freeze:
        _misused("--debug is about frozen programs\nleave out --no-freeze")
    if secret_file and not reproducible:
        _misused("--secret-file is the secret of --reproducible\nadd that")
    try:
        secret = _secret(secret_file) if secret_file else secret_variable
    except (OSError, UnicodeDecodeError, BuildError) as error:
        _misused(f"--secret-file: {error}")
    console = Console(stderr=as_json, quiet=quiet)
    freeze = not no_freeze
    try:
        require_support()
    except Unsupported as error:
        freeze = False
        console.print(f"Not frozen: {error}", highlight=False)
    try:
        references = [parsed("wsgi", text, Path.cwd(), name or "") for text in wsgi or ()]
        references += [parsed("asgi", text, Path.cwd(), name or "") for text in asgi or ()]
        found = [
            find_apps(apps or (), it, script or (), tries or (), references) for it in projects
        ]
    except (BuildError, BadReference) as error:
        _not_begun(str(error), as_json)
    if double := [name for name, times in _names(found).items() if times > 1]:
        reason = f"several of the projects have an app {double[0]!r}\nbuild each in its own folder"
        _not_begun(reason, as_json)
    built: dict[str, Built] = {}
    failed: dict[str, Exception] = {}
    stages = Stages()
    with progress(console, stages) as show:
        for settings, its_apps in zip(projects, found, strict=True):
            wanted = Wanted(
                target,
                settings,
                freeze,
                debug if freeze else None,
                secret if reproducible else None,
                native,
                compile_all,
                timeout,
                again,
                fast=fast,
            )
            done, not_done = build_all(its_apps, wanted, jobs=max(1, jobs), show=show)
            built |= done
            failed |= not_done
    if built:
        console.print(table(built))
    for name, program in sorted(built.items()):
        for note in program.notes:
            console.print(f"{name}: {note}", highlight=False, soft_wrap=True)
    if explained:
        for name, program in sorted(it for it in built.items() if it[1].is_frozen):
            console.print(explain.table(f"{name}, {program.size / 1e6:.1f} MB", program.parts))
    if as_json:
        placed = {name: (it, target / name) for name, it in built.items()}
        print(document(placed, failed, stages, explained=explained).decode())
    for name, failure in failed.items():
        print(f"\nnativecgi: {name} was not built: {failure}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _not_begun(reason: str, as_json: bool) -> NoReturn:
    if as_json:
        print(nothing(reason).decode())
    _failed(reason)


def _projects(is_named: bool) -> list[Settings]:
    """The project to build, or the projects in the folders below if this folder is none.

    Raises SettingsError.
    """
    folder = project_folder()
    below = [] if is_named or _has_apps(folder) else projects_below(folder)
    projects = below or [settings_of(folder)]
    for settings in projects:
        check_python(settings)
    return projects


def _outputs(projects: list[Settings]) -> Path:
    """Where programs go: where their project says, or below this folder for projects below it."""
    here = project_folder()
    is_here = any(here.is_relative_to(it.folder) for it in projects)
    return projects[0].outputs if is_here else here / Settings().output


def _has_apps(folder: Path) -> bool:
    return (folder / "pyproject.toml").exists() or (folder / CUSTOMARY).is_dir()


def _names(found: list[list[App]]) -> Counter[str]:
    return Counter(app.name for apps in found for app in apps)


def _secret(file: Path) -> str:
    secret = file.read_text(encoding="utf-8").removesuffix("\n")
    if not secret:
        raise BuildError(f"{file} is empty")
    return secret
