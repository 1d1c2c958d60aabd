"""Keeps the bytecode of a program's modules, compressed, for when one is imported.

Nuitka has it in the program's read-only data, some megabytes of it. The code of what has been
imported is in memory a second time; of what has not, most is never imported. So the build gives a
compressed copy along (packing.py), and what Nuitka has is overwritten with zeros, of which a long
run takes no room in an image.
"""

import marshal
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, cast

# Beside the program: of each module its name, whether it is a package, its code's size, and that
# compressed; and one after the other their code.
INDEX, CODE = "bytecode.index", "bytecode.code"

_BETWEEN = 16  # bytes at most
# A line of /proc/self/maps up to a file's path: start and end of what is not written to.
_CONSTANT = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r-\S+ \S+ \S+ \S+ +(?=/)", re.MULTILINE)
_ENOUGH = 1024 * 1024  # bytes; the list of mappings has some ten thousand


def keep_bytecode() -> None:
    """Take over all modules whose bytecode is in the program."""
    if "__compiled__" not in globals():
        return
    folder = os.path.dirname(sys.executable)
    try:
        with open(os.path.join(folder, INDEX), "rb") as file:
            index = marshal.load(file)
    except FileNotFoundError:
        return  # it is frozen by hand
    modules, places = {}, []
    with _own_memory() as memory, open(os.path.join(folder, CODE), "rb") as codes:
        constants = list(_constants(memory))
        for name, is_package, size, packed in index:
            # Where its code is not found, it stays a matter of Nuitka's.
            if (start := _place(codes.read(size), constants)) is not None:
                modules[name] = (is_package, packed)
                places.append((start, start + size))
        del constants
        for start, end in _together(sorted(places)):
            os.pwrite(memory, bytes(end - start), start)
    sys.meta_path.insert(0, Packed(modules, folder))


@contextmanager
def _own_memory() -> Iterator[int]:
    """The process's memory as a file (proc(5)).

    It may be written to whatever it is mapped with; what is mapped from a file becomes a copy.
    """
    memory = os.open("/proc/self/mem", os.O_RDWR)
    try:
        yield memory
    finally:
        os.close(memory)


def _constants(memory: int) -> Iterator[tuple[int, bytes]]:
    """What of the program's file is mapped and not written to: addresses and contents."""
    program = os.fsencode(os.readlink("/proc/self/exe"))
    maps = bytearray(_ENOUGH)
    with open("/proc/self/maps", "rb", buffering=0) as file:
        size = 0
        while count := file.readinto(memoryview(maps)[size:]):
            size += count
    for found in _CONSTANT.finditer(maps):
        if maps.startswith(program + b"\n", found.end()):
            start, end = int(found[1], 16), int(found[2], 16)
            yield start, os.pread(memory, end - start, start)
    # It tells of the builder's file system, which must not be left in memory that is free again.
    maps[:] = bytes(_ENOUGH)


def _place(code: bytes, constants: list[tuple[int, bytes]]) -> int | None:
    for start, content in constants:
        if (offset := content.find(code)) >= 0:
            return start + offset
    return None


def _together(places: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join what is but a few bytes apart: with each code Nuitka has its size, for start-up."""
    joined: list[tuple[int, int]] = []
    for start, end in places:
        if joined and start - joined[-1][1] <= _BETWEEN:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return iter(joined)


class Packed:
    """Finds modules (importlib.abc.MetaPathFinder) whose bytecode is kept in memory.

    `modules` has by name whether one is a package, and its compressed code. They say that they are
    in `folder`, as with Nuitka.
    """

    def __init__(self, modules: Mapping[str, tuple[bool, bytes]], folder: str) -> None:
        self._modules = modules
        self._folder = folder

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Where a module is; None if it is none of these."""
        if name not in self._modules:
            return None
        is_package, packed = self._modules[name]
        place = os.path.join(self._folder, *name.split("."))
        file = os.path.join(place, "__init__.py") if is_package else f"{place}.py"
        spec = ModuleSpec(name, cast(Any, _Loader(packed)), origin=file, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [place]
        return spec


class _Loader:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Have it made as usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, _name: str) -> CodeType:
        import zlib

        code = marshal.loads(zlib.decompress(self._packed))
        assert isinstance(code, CodeType)
        return code

    def __getattr__(self, name: str) -> Any:
        """All else, such as get_data, is done by Nuitka's loader, which loaded this module."""
        return getattr(__spec__.loader, name)
