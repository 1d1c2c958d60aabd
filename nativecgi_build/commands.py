"""The smaller commands: each reads its arguments here, and is a call of what does the work."""

from pathlib import Path
from typing import Annotated

import typer

from nativecgi_build.terminal import app, failed, misused, settings


@app.command()
def install(
    programs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROGRAM]...", help="Names of built programs; by default all."),
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="DIR|USER@HOST:DIR", help="A folder here, or one over ssh.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="The folder of built programs.")
    ] = None,
) -> None:
    """Put built programs where a web server runs them; each replaces an older one at once."""
    from nativecgi_build.install.errors import InstallError
    from nativecgi_build.install.install import install as install_programs

    if not to:
        misused("say where to install: --to DIR, or --to user@host:DIR")
    try:
        install_programs(programs or (), (folder or settings().outputs).resolve(), to, print)
    except InstallError as error:
        failed(str(error))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Write what was found in JSON.")] = False,
) -> None:
    """Say what this machine lacks for building programs, and what to type. Status 1: it does."""
    import msgspec

    from nativecgi_build.doctor.checks import all_checks
    from nativecgi_build.doctor.report import lines, reported

    report = reported(all_checks(settings().kept))
    print(msgspec.json.encode(report).decode() if as_json else "\n".join(lines(report)))
    if not report.works:
        raise typer.Exit(1)


@app.command(name="explain")
def explain_program(
    program: Annotated[str, typer.Argument(help="A built program, by its path or its name.")],
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
        bool, typer.Option("--all", help="The whole cache, which other projects may share.")
    ] = False,
) -> None:
    """Remove what was built of this project: its programs, and what the cache has of them."""
    from nativecgi_build.build.errors import BuildError
    from nativecgi_build.build.kept import clean as remove

    try:
        removed = remove(settings(), everything=everything)
    except (BuildError, OSError) as error:
        failed(str(error))
    for path in removed:
        print(f"removed {path}")
