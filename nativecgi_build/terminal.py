"""What all commands share: the command line, the project that they are about, and their errors."""

import sys
from pathlib import Path
from typing import NoReturn

import typer
from typer.core import TyperGroup

from nativecgi_build.settings import Settings, SettingsError, settings_of

# As they are needed in a project's life.
ORDER = ("new", "run", "build", "serve", "install", "explain", "doctor", "clean")


class Commands(TyperGroup):
    """The commands, which the help lists in that order."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Their names."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="nativecgi",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_project: Path | None = None


def set_project(folder: Path | None) -> None:
    """Choose the project's folder, instead of the working folder."""
    global _project
    _project = folder


def project_folder() -> Path:
    """The folder whose project commands are about."""
    return _project or Path.cwd()


def settings() -> Settings:
    """The settings of that project; a command ends where they cannot be used."""
    try:
        return settings_of(project_folder())
    except SettingsError as error:
        failed(str(error))


def failed(reason: str) -> NoReturn:
    """End a command that failed: what is wrong, and in a second line what to do."""
    print(f"nativecgi: {reason}", file=sys.stderr)
    raise typer.Exit(1)


def misused(reason: str) -> NoReturn:
    """End a command that was called in a wrong way."""
    print(f"nativecgi: {reason}", file=sys.stderr)
    sys.exit(2)
