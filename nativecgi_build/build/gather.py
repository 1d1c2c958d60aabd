"""Instead of the second stage (`--fast`): what plain Python runs an app from, in one folder.

The folder is like the one that Nuitka makes: extension modules and libraries, data, and beside it a
list of the bytecode of all modules. Those are the standard library, what the app requires, and the
app's own; nothing else can be imported by the program.
"""

import ast
import marshal
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SourceFileLoader
from importlib.metadata import requires
from pathlib import Path
from types import CodeType

from packaging.requirements import Requirement

from nativecgi_build import sources
from nativecgi_build.build.app import App, data_files, notes, own_files, program_name, project_of
from nativecgi_build.build.compile import compiler, fast_options, require_compiler, tools_hash
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.packing import LIST
from nativecgi_build.build.records import Compiled, Rehearsed
from nativecgi_build.environments.environment import Environment
from nativecgi_build.nuitka_plugins.data import data_files as package_data
from nativecgi_build.nuitka_plugins.imports import imports_of

MAIN = "__main__"
LIBRARY = "libnativecgi.so.1"
STARTER = "nativecgi.frozen.gathered"

_PLUGINS = Path(__file__).resolve().parents[1] / "nuitka_plugins"
_PACKAGES = Path(__file__).resolve().parents[2]
_C = (
    *("datafiles.c", "datafiles_module.c", "crash.c", "environment.c", "zone.c"),
    "image_heap.c",
)
# Assertions would name the folder of these.
_OPTIONS = ("-O1", "-shared", "-fPIC", "-s", "-DNDEBUG", "-DBUILT_IN")

# Of the standard library what no program on a server can use, or has a window for.
_LEFT_OUT = {
    *("test", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo", "ensurepip", "venv"),
    *("site-packages", "dist-packages", "__pycache__", "lib-dynload", "pydoc_data"),
}
_LEFT_OUT_MODULES = re.compile(r"_tkinter|_test|_xxtestfuzz|xxlimited|_ctypes_test")
# What a process has in any case, or by the C library alone.
_GLIBC = re.compile(r"(ld-linux|linux-vdso|lib(c|m|dl|pthread|rt|util|resolv)\.)")


class Gathered:
    """What goes into the folder: modules by their names, other files by their places."""

    def __init__(self) -> None:
        self.modules: dict[str, Path] = {}  # in Python
        self.files: dict[Path, Path] = {}  # places in the folder, and where each comes from

    def module(self, name: str, file: Path) -> None:
        """Add a module by its name, in Python or an extension module."""
        if file.suffix == ".py":
            self.modules.setdefault(name, file)
        elif file.name.endswith(tuple(EXTENSION_SUFFIXES)):
            self.files.setdefault(Path(*name.split(".")).with_suffix(".so"), file)

    def tree(self, name: str, folder: Path) -> None:
        """Add a package: all that is in its folder."""
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                if path.name != "__pycache__" and path.name.isidentifier():
                    self.tree(f"{name}.{path.name}", path)
            elif path.name == "__init__.py":
                self.module(name, path)
            else:
                self.module(f"{name}.{path.name.partition('.')[0]}", path)
        place = Path(*name.split("."))
        for file in package_data(folder):
            self.files.setdefault(place / file.relative_to(folder), file)

    def named(self, name: str, folder: Path) -> bool:
        """Add the module or package of a name that is in a folder; whether there is one."""
        if (folder / name).is_dir():
            self.tree(name, folder / name)
            return True
        for suffix in (".py", *EXTENSION_SUFFIXES):
            if (file := folder / f"{name}{suffix}").is_file():
                self.module(name, file)
                return True
        return False


def gather(app: App, work: Path, packages: Environment, rehearsed: Rehearsed) -> Compiled:
    """Fill the folder of an app, and list its bytecode; raises BuildError."""
    require_compiler()
    started = time.monotonic()
    found = Gathered()
    main = f"{app.name}.{MAIN}" if app.source.is_dir() else MAIN
    _add_own(found, app, work, rehearsed)
    _add_required(found, packages)
    _add_standard_library(found)
    folder = folder_of(app, work)
    shutil.rmtree(folder, ignore_errors=True)
    for place, file in found.files.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    for library in _libraries([file for place, file in found.files.items() if _is_code(place)]):
        shutil.copy2(library, folder / library.name)
    _add_c(folder)
    listed = [
        (name, file.name == "__init__.py", marshal.dumps(_code(name, file)))
        for name, file in sorted(found.modules.items())
    ]
    if main == MAIN:
        source = app.main(work)
        code = compile(source.read_bytes(), app.source.name, "exec", dont_inherit=True)
        listed.append((MAIN, False, marshal.dumps(code)))
    (work / LIST).write_bytes(marshal.dumps(listed))
    own = own_files(app, rehearsed.seen)
    files = {*found.modules.values(), *found.files.values(), *own}
    return Compiled(
        app.origin,
        tools_hash(),
        sources.digests(sorted(files)),
        time.monotonic() - started,
        environment=packages.made_from,
        trial=rehearsed.trial,
        is_rehearsed=True,
        options=fast_options(),
        modules=rehearsed.modules,
        seen=rehearsed.seen,
        notes=list(notes(app, rehearsed.seen)) if app.is_foreign else [],
        source=str(app.source),
    )


def folder_of(app: App, work: Path) -> Path:
    """The folder that is filled."""
    return work / f"{app.name}.gathered"


def command(app: App, folder: Path) -> list[str]:
    """What runs an app from a folder, where it may have been copied to."""
    main = f"{app.name}.{MAIN}" if app.source.is_dir() else MAIN
    file = f"{app.name}/{MAIN}.py" if app.source.is_dir() else app.source.name
    start = START.format(name=STARTER, folder=str(folder), program=program_name(app))
    start += f"starter.run({main!r}, {file!r})"
    # -I, -S: what the builder's variables and site-packages say is not for the program.
    return [os.path.realpath(sys.executable), "-I", "-S", "-X", "utf8", "-c", start]


# The interpreter finds nothing of ours before this has told it where.
START = """
import marshal, sys, zlib
with open({folder!r} + "/bytecode.index", "rb") as file:
    index = marshal.load(file)
starter = type(sys)({name!r})
packed = next(packed for name, _, _, packed in index if name == {name!r})
exec(marshal.loads(zlib.decompress(packed)), vars(starter))
del index, packed, file
sys.modules[{name!r}] = starter
starter.enter({folder!r}, {program!r})
"""


def _add_own(found: Gathered, app: App, work: Path, rehearsed: Rehearsed) -> None:
    """Add the app's modules: those that it has imported, and those that it names."""
    own = [app.folder, *rehearsed.seen.folders_of(app.folder)]
    if app.source.is_dir():
        found.tree(app.name, app.source)
        for file, place in data_files(app):
            found.files.setdefault(place, file)
    parts = project_of(app, rehearsed.seen)
    for name in (*parts.modules, *parts.packages):
        any(found.named(name, folder) for folder in own)
    for file, place in parts.data:
        found.files[place] = file
    imported = {name: Path(file) for name, file in rehearsed.seen.imported.items() if file}
    for name, file in imported.items():
        if any(map(file.is_relative_to, own)):
            found.module(name, file)
    pending = [app.main(work) if not app.source.is_dir() else None, *found.modules.values()]
    seen = set[Path]()
    while pending:
        file_or_none = pending.pop()
        if file_or_none is None or file_or_none in seen:
            continue
        seen.add(file_or_none)
        known = {*found.modules}
        for name in _imported(file_or_none):
            any(found.named(name, folder) for folder in own)
        pending += [found.modules[name] for name in found.modules.keys() - known]


def _imported(file: Path) -> set[str]:
    """The top-level names that a module imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return set()
    return {it.name.partition(".")[0] for it in imports_of(tree) if not it.level and it.name}


def _add_required(found: Gathered, packages: Environment) -> None:
    """Add what the app requires, and what nativecgi is and needs."""
    installed = packages.packages()
    for name in sorted(packages.top_level()):
        if name.isidentifier():
            found.named(name, installed)
    for file, place in packages.metadata():
        found.files.setdefault(place, file)
    found.tree("nativecgi", _PACKAGES / "nativecgi")
    own = Path(sysconfig.get_path("purelib"))
    for need in map(Requirement, requires("nativecgi") or []):
        if need.marker is None and need.name in _RUNTIME and need.name not in found.modules:
            found.named(need.name, own)


# Of what nativecgi requires, what a program runs.
_RUNTIME = {"msgspec", "multipart"}


def _add_standard_library(found: Gathered) -> None:
    for name, file in _standard_library().items():
        found.module(name, file)


@cache
def _standard_library() -> Mapping[str, Path]:
    """The modules of the standard library, by their names."""
    library = Gathered()
    folder = Path(sysconfig.get_path("stdlib"))
    for path in sorted(folder.iterdir()):
        name = path.name.partition(".")[0]
        if name and name not in _LEFT_OUT and not name.startswith("config-"):
            library.named(name, folder)
    modules = {**library.modules}
    dynload = Path(sysconfig.get_config_var("DESTSHARED") or "/none")
    for file in sorted(dynload.glob("*.so")):
        name = file.name.partition(".")[0]
        if not _LEFT_OUT_MODULES.match(name):
            modules.setdefault(name, file)
    return modules


def _code(name: str, file: Path) -> CodeType:
    """A module's code, with a path that is not the builder's; raises BuildError."""
    place = f"{name.replace('.', '/')}{'/__init__' if file.name == '__init__.py' else ''}.py"
    try:
        code = SourceFileLoader(name, str(file)).get_code(name)
    except (SyntaxError, ValueError, UnicodeDecodeError):
        # It is there for another version of Python, say, and fails when it is imported.
        source = f"raise ImportError('{name} is not for this Python', name={name!r})"
        code = compile(source, place, "exec")
    assert code is not None
    return _moved(code, place)


def _moved(code: CodeType, place: str) -> CodeType:
    constants = tuple(_neutral(it, place) for it in code.co_consts)
    return code.replace(co_filename=place, co_consts=constants)


def _neutral(constant: object, place: str) -> object:
    """A constant that does not tell where the builder's Python is installed, as sysconfig's do."""
    if isinstance(constant, CodeType):
        return _moved(constant, place)
    if isinstance(constant, str) and not sys.base_prefix.startswith("/usr"):
        return constant.replace(sys.base_prefix, "/usr")
    return constant


def _is_code(place: Path) -> bool:
    return place.suffix == ".so"


def _libraries(modules: list[Path]) -> Iterator[Path]:
    """The libraries of the system that extension modules need, but for glibc's."""
    if not modules:
        return
    told = subprocess.run(
        ["ldd", *map(str, modules)], capture_output=True, text=True, check=False
    ).stdout
    for found in {*re.findall(r"=> (/\S+)", told)}:
        if not _GLIBC.match(Path(found).name):
            yield Path(found)


def _add_c(folder: Path) -> None:
    """Compile what a program has in C, to be loaded before all else."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [*compiler(), *_OPTIONS, f"-I{sysconfig.get_path('include')}", *_C]
    result = subprocess.run(
        [*command, "-o", str(folder / LIBRARY)],
        cwd=_PLUGINS,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BuildError(
            f"{command[0]} could not compile what a program has in C:\n{result.stderr}"
        )
