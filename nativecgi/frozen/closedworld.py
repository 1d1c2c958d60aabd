"""Makes a compiled program independent of the folder it was compiled to.

All modules in Python are in the program itself and can be imported at any time. Extension modules
are files, which will not be there when a handler imports one. Those that the program has imported
by its freeze point are in its memory. A mapped library costs every start some microseconds; so the
others are kept, compressed where the build has given that along, and loaded when a process imports
them.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType
from typing import NamedTuple

from nativecgi.frozen import program

_SUFFIX = ".so"
# Of a compressed copy of such a file, behind its own (packing.py).
PACKED = ".zlib"


def set_aside() -> None:
    """Keep the extension modules beside the program that it has not imported."""
    if not (folder := program.folder()):
        return
    modules, libraries = {}, {}
    for path, name in _shared_objects(folder):
        if name not in sys.modules:
            # A library may be named as a module would be; both is then possible.
            content = libraries[os.path.basename(path)] = _kept(path)
            if name:
                modules[name] = content
    if modules:
        sys.meta_path.insert(0, SetAside(modules, libraries))


class Kept(NamedTuple):
    """The content of a file."""

    data: bytes
    is_packed: bool = False

    def content(self) -> bytes:
        """As it was in the file."""
        if not self.is_packed:
            return self.data
        import zlib  # in some Pythons a library itself, which is then kept as it is

        return zlib.decompress(self.data)


def _kept(path: str) -> Kept:
    is_packed = os.path.exists(path + PACKED)
    with open(path + PACKED if is_packed else path, "rb") as file:
        return Kept(file.read(), is_packed)


def _shared_objects(folder: str) -> Iterator[tuple[str, str]]:
    """The paths of modules and libraries; of what may be a module also its name, else ""."""
    for parent, _folders, files in os.walk(folder):
        package = os.path.relpath(parent, folder).split(os.sep) if parent != folder else []
        for file in files:
            if file.endswith(_SUFFIX):
                yield os.path.join(parent, file), ".".join([*package, file.removesuffix(_SUFFIX)])
            elif f"{_SUFFIX}." in file and not file.endswith(PACKED):
                yield os.path.join(parent, file), ""


class SetAside:
    """Finds and loads modules (importlib.abc.MetaPathFinder) whose files are kept in memory.

    `modules` and `libraries` are the files', by the names of modules, and by those that one library
    needs another by (DT_NEEDED).
    """

    def __init__(self, modules: Mapping[str, Kept], libraries: Mapping[str, Kept]) -> None:
        self._modules = modules
        self._libraries = dict(libraries)

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Where a module is; None if it is none of these."""
        kept = self._modules.get(name)
        return None if kept is None else ModuleSpec(name, _Loader(self, name, kept))

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """For pkgutil: the names of those in no package, and whether each is a package.

        Nuitka's loader lists them as well, and looks for their files. What is in a package it lists
        alone.
        """
        return ((prefix + name, False) for name in self._modules if "." not in name)

    def load_libraries(self, content: bytes) -> None:
        """Load the libraries that a module or library needs, and those that they need."""
        for name in [name for name in self._libraries if name.encode() + b"\0" in content]:
            # What is loaded already the dynamic linker has by its name; so once is enough.
            library = self._libraries.pop(name, None)
            if library is not None and (needed := library.content()) != content:
                self.load_libraries(needed)
                with _as_file(needed) as path, suppress(ImportError):
                    # It has no module's function, which comes out only when it is loaded.
                    _load(ModuleSpec(name, None, origin=path))


class _Loader(ExtensionFileLoader):
    def __init__(self, world: SetAside, name: str, kept: Kept) -> None:
        super().__init__(name, "")
        self._world = world
        self._kept = kept

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        content = self._kept.content()
        self._world.load_libraries(content)
        with _as_file(content) as spec.origin:
            return _load(spec)


def _load(spec: ModuleSpec) -> ModuleType:
    return ExtensionFileLoader(spec.name, spec.origin or "").create_module(spec)


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """The path of a file for the dynamic linker to map, which takes one path for one file.

    It lies in memory (memfd_create(2)), and stays open. Without /proc, where that has a path, it
    is a temporary file.
    """
    file = os.memfd_create("module")
    path = f"/proc/self/fd/{file}"
    is_temporary = not os.path.exists(path)
    if is_temporary:
        os.close(file)
        folder = os.environ.get("TMPDIR", "/tmp")
        path = os.path.join(folder, f"{os.urandom(16).hex()}{_SUFFIX}")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o700)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        yield path
    finally:
        if is_temporary:
            os.close(file)
            os.unlink(path)
