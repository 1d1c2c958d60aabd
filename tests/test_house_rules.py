"""Rules of the source itself, so that no reviewer has to look for them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nativecgi

PACKAGE = Path(nativecgi.__file__).parent
ROOT = PACKAGE.parent
BUILD = ROOT / "nativecgi_build"
LIBRARY = sorted(PACKAGE.rglob("*.py"))
FREEZER = sorted((BUILD / "freezer").rglob("*.py"))
TOOL = sorted(set(BUILD.rglob("*.py")) - set(FREEZER))


def name(path: Path) -> str:
    """How the rules below call a file: by its path in the repository's two packages."""
    return str(path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else BUILD))


every_file = pytest.mark.parametrize("path", LIBRARY, ids=name)
every_freezer_file = pytest.mark.parametrize("path", FREEZER, ids=name)
every_file_of_the_build = pytest.mark.parametrize("path", TOOL, ids=name)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """The top-level names of what a file imports anywhere in it."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add((node.module or "").partition(".")[0])
    return names


def rooms(path: Path, package: str) -> set[str]:
    """The folders and files of a package that a file of it imports from."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            within, _, rest = node.module.partition(".")
            if within == package:
                names |= {rest.partition(".")[0]} if rest else {it.name for it in node.names}
    return names


# --- the public names ---


def test_all_is_what_is_imported() -> None:
    froms = [node for node in tree(PACKAGE / "__init__.py").body[1:]
             if isinstance(node, ast.ImportFrom)]  # fmt: skip
    names = {alias.asname or alias.name for node in froms for alias in node.names}
    assert set(nativecgi.__all__) == names


def test_all_is_sorted_and_without_doubles() -> None:
    assert nativecgi.__all__ == sorted(set(nativecgi.__all__))


def test_init_has_the_public_names_and_nothing_else() -> None:
    docstring, *rest = tree(ROOT / "nativecgi" / "__init__.py").body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom | ast.Assign) for node in rest)


@every_file
def test_what_is_public_has_a_docstring(path: Path) -> None:
    assert list(without_docstring(tree(path))) == []


def without_docstring(parent: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    if not ast.get_docstring(parent):
        yield prefix or "the file"
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from without_docstring(node, f"{prefix}{node.name}.")
        elif not ast.get_docstring(node) and not is_overload(node):
            yield prefix + node.name


def is_overload(node: ast.FunctionDef) -> bool:
    return any(isinstance(it, ast.Name) and it.id == "overload" for it in node.decorator_list)


# --- who imports whom ---


# Each room of the library may import from itself and from the rooms above it in this list. What
# stands beside the rooms (run.py, testing.py, ...) puts them together, and may use all.
ROOMS = ("message", "process", "pool", "middleware", "transfer", "gateways", "frozen", "adapters")
# The same of what builds; its files, such as cli.py, may use all.
BUILD_ROOMS = (
    *("settings", "nuitka_plugins", "freezer", "sources", "environments", "scripts", "explain"),
    *("build", "install", "doctor", "devserver", "new"),
)


@every_file
def test_rooms_of_the_library_import_one_way(path: Path) -> None:
    room = name(path).partition("/")[0]
    if room in ROOMS:
        assert rooms(path, "nativecgi") <= set(ROOMS[: ROOMS.index(room) + 1])


@every_file
def test_the_pool_knows_no_protocol(path: Path) -> None:
    if name(path).startswith("pool/"):
        assert rooms(path, "nativecgi") <= {"pool", "process"}


@every_file_of_the_build
def test_rooms_of_the_build_import_one_way(path: Path) -> None:
    room = name(path).partition("/")[0].removesuffix(".py")
    if room in BUILD_ROOMS:
        allowed = BUILD_ROOMS[: BUILD_ROOMS.index(room) + 1]
        assert rooms(path, "nativecgi_build") <= set(allowed)


@every_file
def test_the_library_knows_nothing_of_the_build(path: Path) -> None:
    assert not imported(path) & {"nativecgi_build", "apps", "bench", "tests"}


@every_freezer_file
def test_the_freezer_knows_nothing_of_the_rest(path: Path) -> None:
    assert not imported(path) & {"nativecgi", "apps", "bench", "tests"}
    assert rooms(path, "nativecgi_build") <= {"freezer"}


@every_file_of_the_build
def test_what_builds_knows_nothing_of_what_is_built_here(path: Path) -> None:
    assert not imported(path) & {"apps", "examples", "bench", "servers", "tests", "tools"}


# A protocol each, or a grammar: halves of them would have to be read together.
LONG = {"adapters/asgi.py", "adapters/script.py", "scripts/statements.py", "freezer/tracee.py"}


@pytest.mark.parametrize("path", [*LIBRARY, *FREEZER, *TOOL], ids=name)
def test_a_file_has_at_most_350_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert (lines > 350) == (name(path) in LONG)


@every_file
def test_the_library_needs_msgspec_and_multipart_and_nothing_else(path: Path) -> None:
    extra = {"httptools"} if is_http(path) else set()  # of the extra `http`
    assert imported(path) <= sys.stdlib_module_names | {"nativecgi", "msgspec", "multipart"} | extra


@every_file
def test_only_the_http_gateway_imports_the_http_gateway(path: Path) -> None:
    names = {it.module for it in ast.walk(tree(path)) if isinstance(it, ast.ImportFrom)}
    assert is_http(path) or not {it for it in names if it and it.startswith(HTTP)}


HTTP = "nativecgi.gateways.http"


def is_http(path: Path) -> bool:
    return name(path).startswith("gateways/http/")


@every_freezer_file
def test_the_freezer_needs_msgspec_and_pyelftools_and_nothing_else(path: Path) -> None:
    assert imported(path) <= sys.stdlib_module_names | {"nativecgi_build", "msgspec", "elftools"}


# --- who touches the process ---

# Every use of os and sys in the library, less those that only compute. A file that is not here
# has none: it can be tested with a dictionary and some bytes.
EDGE = {
    "adapters/asgi.py": "os.close os.pipe2 os.read",
    "transfer/body.py": "os.readv",
    "frozen/bytecode.py": (
        "open os.close os.open os.pread os.preadv os.pwrite os.readlink sys.meta_path"
    ),
    "process/report.py": "sys.stderr",
    "frozen/chance.py": "os.urandom",
    "frozen/closedworld.py": (
        "open os.close os.environ os.memfd_create os.open os.unlink os.urandom os.walk os.write "
        "sys.meta_path"
    ),
    "process/environment.py": "os._Environ os.environ os.environb",
    "transfer/files.py": "open os.close os.fstat os.open",
    "frozen/freezepoint.py": "os.environ sys.argv sys.executable",
    "frozen/gathered.py": (
        "open os.walk sys.argv sys.executable sys.meta_path sys.path sys.path_hooks "
        "sys.path_importer_cache"
    ),
    "frozen/program.py": "sys.executable",
    "frozen/immortal.py": "open os.pwrite sys sys.version_info",
    "process/letterbox.py": "open",
    "frozen/learned.py": "open",
    "frozen/openings.py": "os.listdir os.readlink sys._getframe sys.addaudithook sys.stderr",
    "frozen/packagedata.py": (
        "open os.environ os.open os.readlink os.stat os.unlink os.urandom os.walk"
    ),
    "gateways/cgi.py": "os.environ sys.argv",
    "process/leaving.py": "os._exit",
    "pool/anew.py": "os.close os.dup2 os.environ os.execve os.getpid os.set_inheritable",
    "pool/command.py": "os.readlink sys.argv sys.executable sys.orig_argv",
    "pool/crew.py": "os.environ os.kill os.killpg os.posix_spawn os.waitid os.waitpid",
    "pool/listening.py": (
        "os.chmod os.chown os.close os.dup os.dup2 os.getpid os.lstat os.open os.set_inheritable "
        "os.umask os.unlink"
    ),
    "pool/notify.py": "os.environ",
    "pool/options.py": "os.sched_getaffinity",
    "pool/pool.py": ("os._exit os.close os.dup2 os.environ os.listdir os.open os.set_inheritable"),
    "pool/scoreboard.py": "os.ftruncate os.memfd_create os.pread os.pwrite",
    "pool/worker.py": "os.environ os.set_inheritable",
    "frozen/rehearsal.py": (
        "os.close os.dup os.dup2 os.lseek os.memfd_create os.open os.write sys.stdout"
    ),
    "frozen/renewal.py": (
        "os.register_at_fork os.urandom sys.argv sys.exc_info sys.excepthook sys.orig_argv"
    ),
    "adapters/script.py": (
        "open os._exit os.close os.dup os.dup2 os.environ os.isatty os.lseek os.memfd_create "
        "os.open os.write sys.__excepthook__ sys.__stdin__ sys.__stdout__ sys.argv "
        "sys.excepthook sys.path sys.stdin sys.stdout"
    ),
    "process/selfstart.py": (
        "open os._exit os.environ os.getpid os.posix_spawn sys.argv sys.executable sys.stderr"
    ),
    "transfer/send.py": "os.fstat os.pread os.sendfile os.write",
    "message/spool.py": "os.pread",
    "process/streams.py": (
        "open os.close os.dup os.dup2 os.fstat os.isatty os.open os.set_inheritable sys "
        "sys.__stderr__ sys.stderr sys.stdout"
    ),
    "process/threads.py": "os.stat sys._current_frames sys.stderr",
    "gateways/pooled.py": "sys.argv",
    "gateways/websocketd.py": "open",
    "adapters/wsgi.py": "sys.stderr",
}
PURE = {
    *(
        "os.O_APPEND",
        "os.O_CLOEXEC",
        "os.O_CREAT",
        "os.O_DIRECTORY",
        "os.O_EXCL",
        "os.O_NONBLOCK",
        "os.O_PATH",
        "os.O_RDONLY",
        "os.O_NOFOLLOW",
        "os.O_RDWR",
        "os.O_WRONLY",
        "os.POSIX_SPAWN_DUP2",
        "os.P_PID",
        "os.PathLike",
        "os.SEEK_CUR",
        "os.SEEK_END",
        "os.SEEK_SET",
        "os.WEXITED",
        "os.WNOHANG",
        "os.WNOWAIT",
        "os.devnull",
        "os.stat_result",
        "os.strerror",
        "os.waitstatus_to_exitcode",
        "sys.maxsize",
        "sys.stdlib_module_names",
    ),
    *("os.fsdecode", "os.fsencode", "os.fspath", "os.path", "os.curdir", "os.sep", "sys.modules"),
}


@every_file
def test_only_the_edge_touches_the_process(path: Path) -> None:
    assert touched(tree(path)) - PURE == set(EDGE.get(name(path), "").split())


def touched(module: ast.Module) -> set[str]:
    """What a file uses of os and sys, by their names; `sys` alone if it is handed on whole."""
    names, owners = set(), []
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("os", "sys"):
                names.add(f"{node.value.id}.{node.attr}")
                owners.append(node.value)
        elif isinstance(node, ast.Name) and node.id in ("os", "sys", "open", "input", "print"):
            names |= set() if node in owners else {node.id}
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in ("os", "sys"), "write os.name where it is used"
    return names


@every_file
def test_the_library_asserts_nothing_of_what_others_give_it(path: Path) -> None:
    """An assert is gone under -O; it is for a type checker's sake only."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assert):
            assert ast.unparse(node.test).startswith("isinstance(")


# --- what a program loads ---

# Modules that a program pays for in its image's size and an unfrozen run's start, and whose state
# at import (a seed, a handler of logs, an event loop) would be frozen. `random` is reseeded if
# it is there, `_socket` is there for typing_extensions.
HEAVY = (
    "argparse asyncio concurrent ctypes dataclasses email getpass gettext hashlib http.client "
    "http.server httptools json locale logging multiprocessing pathlib pickle queue random secrets "
    "select selectors shutil socket socketserver sqlite3 ssl subprocess tempfile unittest "
    "urllib.request wsgiref xml zipfile"
).split()


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}; import nativecgi; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-S", "-I", "-c", code], text=True).split()
    assert "nativecgi.run" in loaded
    # From Python 3.14 on `traceback`, which a report needs, loads them to print in colours.
    expected = ["dataclasses"] if sys.version_info >= (3, 14) else []
    assert [name for name in HEAVY if name in loaded] == expected
    assert [name for name in loaded if name.startswith("nativecgi.pool")] == []


def test_the_readme_shows_an_app_as_it_is() -> None:
    app = (ROOT / "apps" / "hello.py").read_text()
    assert f"```python\n{app}```\n" in (ROOT / "README.md").read_text()
