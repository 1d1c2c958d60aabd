"""What belongs to a script and lies beside it: modules, and data that they look for.

A module of a program finds beside its `__file__` what the build has put there. So where a script
imports modules from its folder, data goes with them. The folder may be a cgi-bin that has much
else in it: what nothing imports is no module of the script, and only some folders are data.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from nativecgi_build.scripts import cgiscript

# Folders of these names are looked for beside a module, by frameworks or by custom.
CUSTOMARY = (
    "assets", "i18n", "locale", "locales", "public", "static", "templates", "translations", "views"
)  # fmt: skip
# Folders that packages are installed in.
INSTALLED = ("site-packages", "dist-packages")
_LARGEST = 16 * 1024 * 1024  # bytes of a file that a program takes along
# What is made from a module, or is one.
_CODE = frozenset((".py", ".pyc", ".pyi", ".pyo", ".so"))
_SCRIPTS = frozenset((".cgi", ".fcgi", ".pl", ".php", ".sh"))
# What changes as a program runs, and would not in a program; what is left of an editor; keys.
_LEFT_OUT = frozenset(
    ".bak .db .db-journal .db-shm .db-wal .key .lock .log .orig .p12 .pem .pfx .pid .sqlite "
    ".sqlite3 .swp .tmp".split()
)
# A string that may name a module.
_DOTTED = re.compile(rb"""['"]([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)['"]""")
_PRIVATE = ("id_dsa", "id_ecdsa", "id_ed25519", "id_rsa")
_SHOWN = 8  # names in a list for a reader


class Seen(msgspec.Struct):
    """What a script did as plain Python, in the rehearsal or as it was tried."""

    imported: dict[str, str] = {}  # modules and their files
    late: list[str] = []  # modules that it imported below its freeze point, in order
    folders: list[str] = []  # what it added to sys.path
    # Variables that its own code, or what reads settings for it, took from the environment, each
    # with a place in the code. Of an application alone (reference.py).
    variables: dict[str, str] = {}

    def folders_of(self, folder: Path) -> list[Path]:
        """Where its own modules may be: its folder, and those that it has added."""
        added = [Path(folder) for folder in self.folders]
        return list(dict.fromkeys([folder, *filter(Path.is_absolute, added)]))


class Project(msgspec.Struct):
    """What goes into a script's program, and what does not."""

    modules: list[str] = []
    packages: list[str] = []  # all of their modules
    data: list[tuple[Path, Path]] = []  # files, and where they go: beside the program
    left: list[Path] = []  # what lies beside the script as well, and is not taken

    def files(self) -> Iterator[Path]:
        """All files of it that may change."""
        yield from (file for file, _place in self.data)

    def notes(self) -> Iterator[str]:
        """For whoever builds it: what was taken along, and what was not."""
        parts = [f"{name}.py" for name in self.modules if "." not in name]
        parts += [f"{name}/" for name in self.packages]
        roots = dict.fromkeys(place.parts[0] for _file, place in self.data)
        parts += [_counted(root, self.data) for root in roots if root not in self.packages]
        if parts:
            yield f"from its folder the program has {listed(parts)}"
        if self.left:
            names = [f"{path.name}/" if path.is_dir() else path.name for path in self.left]
            yield f"not in the program, though beside its modules: {listed(names)}"


def find(
    script: Path,
    seen: Seen,
    *,
    folder: Path | None = None,
    is_root: bool = False,
    listed: Iterable[str] = (),
) -> Project:
    """The modules of a script that are in its folders, and their data.

    Its `folder` is the one that it lies in, unless given. With `is_root` the script looks for data
    as a module does. `listed` is data that its author has named, as paths relative to the folder.
    Raises ScriptError where there is none at such a path.
    """
    result = Project()
    # What is installed comes with its packages (nuitka_plugins/include_data.py).
    folder = folder or script.parent
    folders = [it for it in seen.folders_of(folder) if it.name not in INSTALLED]
    names = cgiscript.imported(script.read_bytes())
    own = {name for name, file in seen.imported.items() if is_in(Path(file), folders)}
    foreign = {name.partition(".")[0] for name in seen.imported.keys() - own}
    roots = [folder] if is_root else []
    names = {name.partition(".")[0] for name in names | own}
    for name, place in _own(names, folders, foreign):
        if place.is_dir():
            found = result.packages if (place / "__init__.py").exists() else None
            if found is None:
                result.modules += _modules(place)
            else:
                found.append(name)
            _take(place, place.parent, result)
        elif place != script:
            result.modules.append(name)
            roots.append(place.parent)
    for root in dict.fromkeys(roots):
        for custom in CUSTOMARY:
            if (root / custom).is_dir() and custom not in (*result.packages, *listed):
                _take(root / custom, root, result)
    for name in listed:
        _takelisted(folder, name, result)
    if roots:
        result.left += _others(folder, result)
    return result


def named(files: Iterable[Path], folder: Path) -> set[str]:
    """The modules below a folder that strings in Python files name, and strings in these modules.

    A framework imports what its settings and its own tables name, such as a database's backend,
    when it needs it: "django.db.models.sql.compiler" or "package.module.Class".
    """
    found: set[str] = set()
    waiting = [file for file in files if file.suffix == ".py" and file.is_file()]
    while waiting:
        for text in _DOTTED.findall(waiting.pop().read_bytes()):
            name, file = _module(text.decode(), folder)
            if file and name not in found:
                found.add(name)
                waiting.append(file)
    return found


def _module(name: str, folder: Path) -> tuple[str, Path | None]:
    """The module that a name is of, or of something in, and its file."""
    while "." in name:
        place = folder.joinpath(*name.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return name, file
        name = name.rpartition(".")[0]
    return name, None


def _own(names: set[str], folders: Sequence[Path], foreign: set[str]) -> Iterator[tuple[str, Path]]:
    """Modules and packages of these names in the folders, and what they import from there.

    Those of the names `foreign` were found elsewhere.
    """
    waiting, seen = sorted(names - foreign), names | foreign
    while waiting:
        name = waiting.pop(0)
        place = _place(name, folders)
        if place is None:
            continue
        yield name, place
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            further = {it.partition(".")[0] for it in cgiscript.imported(file.read_bytes())}
            waiting += sorted(further - seen)
            seen |= further


def _place(name: str, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        if (folder / name / "__init__.py").is_file():
            return folder / name
        if (folder / f"{name}.py").is_file():
            return folder / f"{name}.py"
    # A package without an __init__.py comes last (PEP 420).
    if name in sys.stdlib_module_names:
        return None
    found = (folder / name for folder in folders if (folder / name).is_dir())
    return next((path for path in found if any(path.rglob("*.py"))), None)


def _modules(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        if all(part.isidentifier() for part in parts):
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_in(file: Path, folders: Sequence[Path]) -> bool:
    """Whether it is in one of the folders, and not in a virtual environment there."""
    return any(
        file.is_relative_to(folder)
        and not any(part in INSTALLED for part in file.relative_to(folder).parts)
        for folder in folders
    )


def _take(folder: Path, root: Path, result: Project) -> None:
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(root)
        if _is_hidden(place) or path.suffix in _CODE or not path.is_file():
            continue
        if _is_data(path, root):
            result.data.append((path, place))
        else:
            result.left.append(path)


def _takelisted(folder: Path, name: str, result: Project) -> None:
    path = folder / name
    place = Path(os.path.normpath(name))
    if place.is_absolute() or ".." in place.parts or _is_hidden(place) or not path.exists():
        raise cgiscript.ScriptError(
            f"data names {name!r}: it has to be a file or folder beside the script, and not hidden"
        )
    if path.is_dir():
        _take(path, folder, result)
    else:
        result.data.append((path, place))


def _is_data(path: Path, root: Path) -> bool:
    """Whether a file is one that all processes may share, and is meant to be given away."""
    is_own = path.resolve().is_relative_to(root.resolve())
    is_private = path.suffix in _LEFT_OUT or path.stem in _PRIVATE or path.name.endswith("~")
    return is_own and not is_private and path.stat().st_size <= _LARGEST


def _is_hidden(place: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in place.parts)


def _others(folder: Path, taken: Project) -> Iterator[Path]:
    """What lies beside a script, is not hidden, and is neither taken nor a program."""
    roots = {place.parts[0] for _file, place in taken.data}
    roots |= {*taken.packages, *(name.partition(".")[0] for name in taken.modules)}
    for path in sorted(folder.iterdir()):
        is_program = path.suffix in _CODE | _SCRIPTS or (
            path.is_file() and os.access(path, os.X_OK)
        )
        if not (_is_hidden(Path(path.name)) or is_program or path.name in roots):
            yield path


def _counted(root: str, data: Sequence[tuple[Path, Path]]) -> str:
    count = sum(place.parts[0] == root for _file, place in data)
    is_file = any(place == Path(root) for _file, place in data)
    return root if is_file else f"{root}/ ({count} {'file' if count == 1 else 'files'})"


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
