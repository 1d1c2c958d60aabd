"""The smaller commands: each parses its arguments and calls a module that does the work."""

from pathlib import Path
from typing import Annotated

import typer

from nativecgi_build.settings import SettingsError, settings_of
from nativecgi_build.terminal import app, failed, misused, project_folder, settings


@app.command()
def install(
    programs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROGRAM]...", help="Names of built programs; by default, all."),
    ] = None,
    to: Annotated[
        str,
        typer.Option(metavar="DIR|USER@HOST:DIR", help="A folder on this machine, or over ssh."),
    ] = "",
    folder: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="The folder of built programs.")
    ] = None,
) -> None:
    """Copy built programs to where a web server runs them, replacing older ones atomically."""
    from nativecgi_build.install.errors import InstallError
    from nativecgi_build.install.install import install as install_programs

    if not to:
        misused("nothing says where to install\nsay --to DIR, or --to user@host:DIR")
    try:
        install_programs(programs or (), (folder or settings().outputs).resolve(), to, print)
    except InstallError as error:
        failed(str(error))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Write the findings as JSON.")] = False,
) -> None:
    """List what this machine lacks for building programs, and what to type."""
    import msgspec

    from nativecgi_build.doctor.checks import all_checks
    from nativecgi_build.doctor.report import lines, reported

    try:
        cache = settings_of(project_folder()).kept
    except SettingsError:  # which is for other commands to say
        cache = None
    report = reported(all_checks(cache))
    print(msgspec.json.encode(report).decode() if as_json else "\n".join(lines(report)))
    if not report.works:
        raise typer.Exit(1)


@app.command(name="explain")
def explain_program(
    program: Annotated[str, typer.Argument(help="The path or name of a built program.")],
) -> None:
    """Show what makes a built program as large as it is."""
    from rich.console import Console

    from nativecgi_build.build.errors import BuildError
    from nativecgi_build.build.kept import parts_of
    from nativecgi_build.explain import table

    try:
        name, built = parts_of(program, settings())
    except BuildError as error:
        failed(str(error))
    Console().print(table(f"{name}, {built.size / 1e6:.1f} MB", built.parts))


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Remove the whole cache, which other projects may share.")
    ] = False,
) -> None:
    """Remove what was built of this project: its programs and their part of the cache."""
    from nativecgi_build.build.errors import BuildError
    from nativecgi_build.build.kept import clean as remove

    try:
        removed = remove(settings(), everything=everything)
    except (BuildError, OSError) as error:
        failed(str(error))
    for path in removed:
        print(f"removed {path}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The name of the project and of its folder.")],
    template: Annotated[
        str,
        typer.Option(help="One of handler, flask, django, fastapi, bottle, script."),
    ] = "handler",
) -> None:
    """Create a new project: a folder with a small app that works, and a test."""
    from nativecgi_build.new.project import CannotMake, make

    try:
        print(make(name, template, Path.cwd()))
    except CannotMake as error:
        failed(str(error))


@app.command()
def run(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[APP]",
            help="A file, a folder with __main__.py, a CGI script, or the name of an app.",
        ),
    ] = None,
    wsgi: Annotated[
        str | None, typer.Option(metavar="MODULE:NAME", help="A WSGI application.")
    ] = None,
    asgi: Annotated[
        str | None, typer.Option(metavar="MODULE:NAME", help="An ASGI application.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart the app when a file that it has read changes.")
    ] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8000,
    at: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The path of the app, by default /cgi-bin/NAME."),
    ] = None,
) -> None:
    """Serve an app with plain Python, without a build, while you develop it."""
    from nativecgi_build.devserver.http import ServeError
    from nativecgi_build.devserver.run import app_of
    from nativecgi_build.devserver.run import run as run_app
    from nativecgi_build.scripts.reference import BadReference, parsed

    project = settings()
    if sum(it is not None for it in (name, wsgi, asgi)) > 1:
        misused("there are several apps\nname one, or say --wsgi or --asgi")
    try:
        references = [parsed("wsgi", wsgi, Path.cwd(), "")] if wsgi else []
        references += [parsed("asgi", asgi, Path.cwd(), "")] if asgi else []
        found = app_of(name, project, references)
        run_app(found, project, host=host, port=port, reload=reload, root=at)
    except (ServeError, BadReference) as error:
        failed(str(error))


@app.command()
def serve(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The folder of the programs.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8000,
) -> None:
    """Serve built programs, on this machine only, to try them."""
    from nativecgi_build.devserver.http import ServeError  # which few commands need
    from nativecgi_build.devserver.serve import serve as serve_programs

    project = settings()
    try:
        serve_programs((folder or project.outputs).resolve(), port, project)
    except ServeError as error:
        failed(str(error))
