"""The modules of a program that plain Python runs (`nativecgi build --fast`), and where they lie.

Such a program starts with what the build has gathered for it, in one folder: the bytecode of all
its modules, compressed; extension modules and libraries; data. It imports from there alone, before
it is frozen and after, and so nothing of it depends on the machine's files. The build starts it
with `enter` and `run`, by a copy of this file that was not imported: it may need nothing of ours.
"""

import _imp
import marshal
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from types import CodeType, ModuleType
from typing import Any, cast

# Beside the program: of each module its name, whether it is a package, its code's size, and that
# compressed.
INDEX = "bytecode.index"
_SUFFIX = ".so"
MAIN = "__main__"

place = ""  # the folder


def enter(folder: str, program: str) -> None:
    """Import everything from a folder from now on; `program` is a file's name in it."""
    global place
    place = folder
    with open(os.path.join(place, INDEX), "rb") as file:
        index = marshal.load(file)
    modules = Modules(
        {name: (is_package, code) for name, is_package, _size, code in index},
        frozenset(_extensions(folder)),
    )
    sys.executable = os.path.join(place, program)
    sys.argv[:] = [sys.executable]
    sys.path[:] = [place]
    sys.path_importer_cache.clear()
    sys.path_hooks.insert(0, modules.entry)
    sys.meta_path.insert(0, modules)


def run(main: str, file: str) -> None:
    """Run a module as the program; of a package its file is `file` as well."""
    package, _, _ = main.rpartition(".")
    if package:
        __import__(package)
    modules = next(it for it in sys.meta_path if isinstance(it, Modules))
    spec = cast(ModuleSpec, modules.find_spec(main))
    loader = cast(Loader, spec.loader)
    loader.path = os.path.join(place, file)  # a script has a name of its own
    names = vars(sys.modules[MAIN])
    names.clear()
    names.update(__name__=MAIN, __doc__=None, __package__=package or None, __loader__=loader)
    names.update(__spec__=spec if package else None, __annotations__={}, __builtins__=__builtins__)
    names.update(__file__=loader.path, __cached__=None)
    exec(loader.get_code(main), names)


def _extensions(folder: str) -> Iterator[str]:
    """The names of the extension modules in a folder."""
    for parent, _folders, files in os.walk(folder):
        package = os.path.relpath(parent, folder).split(os.sep) if parent != folder else []
        for file in files:
            if file.endswith(_SUFFIX):
                yield ".".join([*package, file.removesuffix(_SUFFIX)])


def _dots(name: str) -> Iterator[int]:
    return (at for at, character in enumerate(name) if character == ".")


class Modules:
    """Finds modules (importlib.abc.MetaPathFinder) that were gathered for the program.

    `modules` has by name whether one is a package, and its compressed code; `extensions` the names
    of extension modules. Those that a program has imported by its freeze point are in its memory,
    where the dynamic linker finds them by their path; closedworld.py finds the others before this.
    """

    def __init__(
        self, modules: Mapping[str, tuple[bool, bytes]], extensions: frozenset[str]
    ) -> None:
        self._modules = modules
        self._all_extensions = extensions
        # Some the interpreter has loaded by now, from elsewhere: the linker knows them by that.
        self._loaded = {
            name: spec.origin
            for name, module in sys.modules.items()
            if (spec := getattr(module, "__spec__", None)) and name in extensions
        }
        everything = (*modules, *extensions)
        parents = {name[:at] for name in everything for at in _dots(name)}
        self._namespaces = parents.difference(everything)  # packages of no module (PEP 420)

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Where a module is; None if it is none of these."""
        path = os.path.join(place, *name.split("."))
        if name in self._all_extensions:
            file = self._loaded.get(name) or path + _SUFFIX
            return ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
        if name in self._namespaces:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [path]
            return spec
        if name not in self._modules:
            return None
        is_package, packed = self._modules[name]
        file = os.path.join(path, "__init__.py") if is_package else f"{path}.py"
        loader: Any = Loader(name, packed, file, is_package=is_package)
        spec = ModuleSpec(name, loader, origin=file, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [path]
        return spec

    def entry(self, path: str) -> "Entry":
        """For sys.path_hooks; raises ImportError where a path is not in the folder."""
        if path != place and not path.startswith(place + os.sep):
            raise ImportError(path)
        return Entry(self, path)

    def names(self, package: str) -> Iterator[tuple[str, bool]]:
        """What is in a package, or in none where that is "": names, and whether it is a package."""
        start = f"{package}." if package else ""
        for name in (*self._modules, *self._all_extensions, *self._namespaces):
            rest = name[len(start) :]
            if name.startswith(start) and rest and "." not in rest and name != MAIN:
                yield rest, name in self._namespaces or self._modules.get(name, (False,))[0]

    def package(self, path: str) -> str:
        """The name of the package in a folder."""
        return path[len(place) + 1 :].replace(os.sep, ".")


class Entry:
    """One folder on a module search path: pkgutil asks it what is in it."""

    def __init__(self, modules: Modules, path: str) -> None:
        self._modules = modules
        self._path = path

    def find_spec(self, name: str, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Where a module is, by its whole name."""
        finders = [it for it in sys.meta_path if hasattr(it, "load_libraries")]  # closedworld.py's
        for finder in (*finders, self._modules):
            if spec := finder.find_spec(name, None, None):
                return spec
        return None

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """The modules in the folder, each with whether it is a package."""
        for name, is_package in self._modules.names(self._modules.package(self._path)):
            yield prefix + name, is_package


class Loader:
    """Loads a module from its compressed code (importlib.abc.InspectLoader)."""

    def __init__(self, name: str, packed: bytes, file: str, *, is_package: bool) -> None:
        self.name = name
        self.path = file
        self._packed = packed
        self._is_package = is_package

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Have it made as usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        exec(self.get_code(self.name), module.__dict__)

    def load_module(self, name: str) -> ModuleType:
        """Load it, or load it again, as some still ask a loader to."""
        module = sys.modules.get(name)
        if module is None:
            spec = ModuleSpec(name, self, origin=self.path, is_package=self._is_package)  # type: ignore[arg-type]
            module = sys.modules[name] = module_from_spec(spec)
        self.exec_module(module)
        return sys.modules[name]

    def get_code(self, _name: str) -> CodeType:
        """Its code."""
        return code_of(self._packed, self.path)

    def get_source(self, _name: str) -> None:
        """There is none in a program."""

    def get_filename(self, _name: str) -> str:
        """Where it says that it is."""
        return self.path

    def is_package(self, _name: str) -> bool:
        """Whether it has modules in it."""
        return self._is_package

    def get_data(self, path: str) -> bytes:
        """The content of a file beside it."""
        with open(path, "rb") as file:
            return file.read()

    def get_resource_reader(self, _name: str) -> Any:
        """What importlib.resources reads a package's files by."""
        from importlib.readers import FileReader

        return FileReader(self) if self._is_package else None  # type: ignore[arg-type]


def code_of(packed: bytes, file: str) -> CodeType:
    """The code in its compressed form, as that of a file."""
    code = marshal.loads(zlib.decompress(packed))
    assert isinstance(code, CodeType)
    # As Python does for a cached file that was made elsewhere; here it was another machine.
    _imp._fix_co_filename(code, file)  # type: ignore[attr-defined]
    return code
