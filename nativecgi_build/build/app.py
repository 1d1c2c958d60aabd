"""What to build: an app or a script, and the files that are its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from nativecgi.frozen.rehearsal import SERVER
from nativecgi_build.build.errors import BuildError
from nativecgi_build.environments.metadata import EnvironmentFailed, Section, script_metadata
from nativecgi_build.scripts import cgiscript, project, reference
from nativecgi_build.scripts.reference import Reference

# The request that a new program is tried with, but for what its warm-up says; it runs in an empty
# folder. HEAD does what GET does in most programs, and does not wait for a stream.
TRIAL = {
    **SERVER,
    "REQUEST_METHOD": "HEAD",
    "REQUEST_URI": f"{SERVER['SCRIPT_NAME']}/",
    "PATH_INFO": "/",
}
# A script may have effects: of it a trial runs nothing (adapters/script.py).
SCRIPT_TRIAL = {**TRIAL, "NATIVECGI_TRIAL": "1"}
# What the freezer cannot know: how a program here gets around its freeze point.
HOOKS = (
    "The freeze point is the call of run(). What belongs before it goes into a function under "
    "@before_freeze, what belongs after it under @after_thaw, or into the handler."
)
SCRIPT_HOOKS = (
    "The freeze point of a script is behind its imports and definitions. What a module of yours "
    "opens when it is imported has to be opened later: see docs/scripts.md."
)
APPLICATION_HOOKS = (
    "An application is frozen when it is made. What its modules open when they are imported has to "
    "be opened later, such as in the first request."
)
# What is a module or made from one; what else is in the folder of a package is data.
CODE = {".py", ".pyc", ".pyi", ".so"}


class App(msgspec.Struct, frozen=True):
    """A program to build."""

    name: str
    source: Path  # a .py file, or the folder of a package that has a __main__.py; or a script
    is_script: bool = False
    tries: tuple[str, ...] = ()  # paths that it may be asked for at the build
    reference: Reference | None = None  # the application that it is, if that is nothing of ours
    limits: tuple[tuple[str, float], ...] = ()  # of that: fields of nativecgi.Limits
    data: tuple[str, ...] = ()  # of what is foreign: files and folders that it has besides

    @property
    def trial(self) -> dict[str, str]:
        """The environment of the request that the new program is tried with."""
        return SCRIPT_TRIAL if self.is_foreign else TRIAL

    @property
    def is_foreign(self) -> bool:
        """Whether what is compiled is made by the build: the copy of a script, or an entry."""
        return self.is_script or self.reference is not None

    @property
    def folder(self) -> Path:
        """The folder that it imports its own modules from."""
        return self.reference.root if self.reference else self.source.parent

    @property
    def hint(self) -> str:
        """What to do where it cannot be frozen as it is."""
        if self.reference:
            return APPLICATION_HOOKS
        return SCRIPT_HOOKS if self.is_script else HOOKS

    @property
    def origin(self) -> str:
        """Tells it from others of its name."""
        if not self.is_foreign:
            return str(self.source)
        kind = f"as {self.reference}" if self.reference else "a script"
        tried = "".join(f", tried with {path}" for path in self.tries)
        return f"{self.source}, {kind}{tried}{self.limits or ''}"

    def main(self, work: Path) -> Path:
        """What is compiled: of what is foreign a file that is made in the folder `work`."""
        if self.reference:
            return work / "entry" / "nativecgi_program.py"
        return work / "script" / self.source.name if self.is_script else self.source


def copy_script(app: App, work: Path, seen: project.Seen | None = None) -> None:
    """Make what is compiled of a script or of an application, as it was `seen` to be."""
    modules, target = seen.late if seen else [], app.main(work)
    if app.reference:
        text = reference.entry(
            app.reference,
            is_late=seen is None or bool(seen.variables),
            modules=modules,
            warmup=app.tries,
            limits=dict(app.limits),
        )
    else:
        text = cgiscript.freezable(app.source, tries_of(app), modules).source
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _section(app: App) -> Section:
    """What a script says of its build."""
    try:
        return script_metadata(app.source).tool.nativecgi if app.is_script else Section()
    except EnvironmentFailed as error:
        raise BuildError(str(error)) from None


def tries_of(app: App) -> Sequence[str]:
    """The paths that a script is asked for at the build."""
    return app.tries or _section(app).tries


def project_of(app: App, seen: project.Seen) -> project.Project:
    """What lies beside a script and belongs to it; of an app nothing."""
    if not app.is_foreign:
        return project.Project()
    is_root = app.reference is not None or cgiscript.freezable(app.source).is_wsgi
    return project.find(
        app.source,
        seen,
        folder=app.folder,
        is_root=is_root,
        listed=[*_section(app).data, *app.data],
    )


def notes(app: App, seen: project.Seen) -> Iterator[str]:
    """For whoever builds what is foreign: where it is frozen, and what is in its program."""
    if app.reference:
        yield from _notes_of_application(app, seen)
    else:
        yield from _notes_of_script(app, seen)
    yield from project_of(app, seen).notes()


def _notes_of_application(app: App, seen: project.Seen) -> Iterator[str]:
    if seen.variables:
        read = ", ".join(f"{name} ({place})" for name, place in sorted(seen.variables.items()))
        yield (
            f"each process makes the application, which reads {read} from its environment: set "
            "that in the server's configuration"
        )
    else:
        yield f"frozen with the application {app.reference} made"
    if not app.tries:
        yield "no page was tried, so each request may import modules that it needs: use --try /"


def _notes_of_script(app: App, seen: project.Seen) -> Iterator[str]:
    copy = cgiscript.freezable(app.source, modules=seen.late)
    if copy.is_wsgi:
        yield f"frozen at line {copy.line}, with its WSGI application made"
        if not tries_of(app):
            yield "no page was tried, so each request may import modules that it needs: use --try /"
    else:
        above = f", above line {copy.below}, which each process runs first"
        yield f"frozen at line {copy.line}{above if copy.below else ''}"
    if copy.obstacle:
        yield f"its WSGI application is made in each process, because of line {copy.obstacle}"
    if copy.late:
        names = ", ".join(copy.late)
        yield f"each process may import {names}: with --try /, the build does that"


def data_files(app: App) -> Iterator[tuple[Path, Path]]:
    """The files in a package's folder that are no code, and where they go: beside the program."""
    if app.source.is_dir():
        for file in sorted(app.source.rglob("*")):
            place = file.relative_to(app.source.parent)
            # What is hidden may be secret, such as .env.
            is_hidden = any(part.startswith((".", "__pycache__")) for part in place.parts)
            if file.is_file() and file.suffix not in CODE and not is_hidden:
                yield file, place


def _modules(app: App) -> Iterator[Path]:
    """A package's own modules, which are in its program whether they are imported or not."""
    if app.source.is_dir():
        yield from sorted(app.source.rglob("*.py"))


def own_files(app: App, seen: project.Seen | None = None) -> Iterator[Path]:
    """The app's own files, as far as they are known from what it was `seen` to do."""
    if app.source.is_dir():
        yield from _modules(app)
        yield from (file for file, _place in data_files(app))
    else:
        yield app.source
        yield from project_of(app, seen or project.Seen()).files()


def program_name(app: App) -> str:
    """The file's name beside the folders of data that packages have: a name of none of them."""
    return f"{app.name}.bin"
