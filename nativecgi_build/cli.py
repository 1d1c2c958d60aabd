"""The command line: each command reads its arguments here, and is a call of what does the work.

Exit statuses: 0 when all is done, 1 when something failed, 2 when the command line is wrong.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from nativecgi_build import explain
from nativecgi_build.build.app import find_apps
from nativecgi_build.build.display import progress, table
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.pipeline import build_all
from nativecgi_build.build.records import Wanted
from nativecgi_build.freezer import SECONDS, Unsupported, require_support
from nativecgi_build.scripts.reference import BadReference, parsed
from nativecgi_build.settings import Settings, SettingsError, settings_of

SECRET = "NATIVECGI_SECRET"

app = typer.Typer(
    name="nativecgi",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None, project: Path | None = None) -> NoReturn:
    """Run a command; in the folder of a `project`, whatever the working folder is."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if any(re.match("--rep[a-z]*=", argument) for argument in given):
        _misused(
            "a secret among the arguments is everybody's to read: write it to a file, and say "
            f"--reproducible --secret-file FILE; or set {SECRET}"
        )
    global _project
    _project = project
    app(list(_repeated("--script", given)), prog_name="nativecgi")
    raise AssertionError("typer exits")


def _repeated(option: str, arguments: Iterable[str]) -> Iterator[str]:
    """Arguments where an option stands before each of the values that followed it once."""
    follows = False
    for argument in arguments:
        if argument == option or argument.startswith("-"):
            follows = argument == option
            if follows:
                continue
        elif follows:
            yield option
        yield argument


_project: Path | None = None


def _settings() -> Settings:
    try:
        return settings_of(_project or Path.cwd())
    except SettingsError as error:
        _failed(str(error))


def _failed(reason: str) -> NoReturn:
    print(f"nativecgi: {reason}", file=sys.stderr)
    raise typer.Exit(1)


def _misused(reason: str) -> NoReturn:
    print(f"nativecgi: {reason}", file=sys.stderr)
    sys.exit(2)


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
    """Make CGI programs of one file from Python request handlers, scripts and web applications."""


@app.command()
def build(
    apps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[APP]...", help="Files, folders, or names of the project's apps."),
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
        str | None, typer.Option(help="What the program of the only application is called.")
    ] = None,
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="PATH",
            help="Ask scripts and applications for this page, such as /, at the build. It must "
            "have no effects.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder where the programs go.")
    ] = None,
    no_freeze: Annotated[
        bool, typer.Option("--no-freeze", help="Leave it at what Nuitka makes.")
    ] = False,
    debug: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where a NAME.debug of each program goes, with which gdb reads its core files.",
        ),
    ] = None,
    reproducible: Annotated[
        bool,
        typer.Option(
            "--reproducible",
            help="Build the same bytes from the same sources, tools and secret. Whoever knows "
            "these knows a program's addresses and random values.",
        ),
    ] = False,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"The file with the secret of --reproducible; otherwise {SECRET} may hold it.",
        ),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Compile nothing: plain Python runs the app, and is frozen. Takes some seconds.",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Freeze what has not changed, too, at new addresses."),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long a program may take to get to its freeze point."
        ),
    ] = SECONDS,
    native: Annotated[
        bool,
        typer.Option(
            "--native",
            help="For CPUs that have what this machine's has: OpenSSL is several times as fast.",
        ),
    ] = False,
    compile_all: Annotated[
        bool,
        typer.Option(
            "--compile-all",
            help="Compile the packages that an app imports, too, which takes minutes.",
        ),
    ] = False,
    explained: Annotated[
        bool, typer.Option("--explain", help="Show what makes each program as large as it is.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="How much to do at a time.")] = (
        os.cpu_count() or 1
    ),
) -> None:
    """Build programs of one file from apps or scripts, by default all of the project's.

    An app goes through four stages: it is rehearsed (run by plain Python up to its freeze point),
    compiled by Nuitka, frozen, and tried. What has not changed since the last build is not built
    again.
    """
    settings = _settings()
    # What the build starts need not know it.
    secret_variable = os.environ.pop(SECRET, "")
    target = (output or settings.outputs).resolve()
    debug = debug and debug.resolve()
    if debug and debug.is_relative_to(target):
        _misused(f"what is in {target} may be served: --debug needs another folder")
    if explained and no_freeze:
        _misused("--explain is about frozen programs: leave out --no-freeze")
    if fast and (no_freeze or compile_all or reproducible):
        _misused("--fast compiles nothing: leave out --no-freeze, --compile-all and --reproducible")
    if debug and no_freeze:
        _misused("--debug is about frozen programs: leave out --no-freeze")
    if secret_file and not reproducible:
        _misused("--secret-file is the secret of --reproducible: add that")
    try:
        secret = _secret(secret_file) if secret_file else secret_variable
    except (OSError, UnicodeDecodeError, BuildError) as error:
        _misused(f"--secret-file: {error}")
    console = Console()
    freeze = not no_freeze
    try:
        require_support()
    except Unsupported as error:
        freeze = False
        console.print(f"Not frozen: {error}", highlight=False)
    try:
        references = [parsed("wsgi", text, Path.cwd(), name or "") for text in wsgi or ()]
        references += [parsed("asgi", text, Path.cwd(), name or "") for text in asgi or ()]
        found = find_apps(apps or (), settings, script or (), tries or (), references)
    except (BuildError, BadReference) as error:
        _failed(str(error))
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
    with progress(console) as show:
        built, failed = build_all(found, wanted, jobs=max(1, jobs), show=show)
    if built:
        console.print(table(built))
    for name, program in sorted(built.items()):
        for note in program.notes:
            console.print(f"{name}: {note}", highlight=False, soft_wrap=True)
    if explained:
        for name, program in sorted(it for it in built.items() if it[1].is_frozen):
            console.print(explain.table(f"{name}, {program.size / 1e6:.1f} MB", program.parts))
    for name, failure in failed.items():
        print(f"\n{name} was not built: {failure}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _secret(file: Path) -> str:
    secret = file.read_text(encoding="utf-8").removesuffix("\n")
    if not secret:
        raise BuildError(f"{file} is empty")
    return secret


@app.command()
def serve(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The folder of the programs.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8000,
) -> None:
    """Serve built programs on this machine alone, for trying them."""
    from nativecgi_build.devserver.serve import ServeError  # which few commands need
    from nativecgi_build.devserver.serve import serve as serve_programs

    settings = _settings()
    try:
        serve_programs((folder or settings.outputs).resolve(), port, settings)
    except ServeError as error:
        _failed(str(error))
