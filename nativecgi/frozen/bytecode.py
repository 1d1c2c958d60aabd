"""Keeps the bytecode of a program's modules, compressed, for when one is imported.

Nuitka has it in the program's read-only data, some megabytes of it. The code of a module that was
imported is in memory a second time; that of most others is never asked for. So the build provides
compressed copies (packing.py), and what Nuitka has is overwritten with zeros: an image does not
contain a long run of them.

Imports find the copies by sys.meta_path. Nuitka's loader, and Python's own of frozen modules, can
still be asked by somebody who holds one of them. They find a module's code by a pointer. All these
pointers lead to a stand-in from then on, which runs the module's code from here.
"""

import _imp
import marshal
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, NamedTuple, cast

from nativecgi.frozen import program

# Beside the program: of each module its name, whether it is a package, its code's size, and that
# compressed; and one after the other their code.
INDEX, CODE = "bytecode.index", "bytecode.code"

# A loader knows the size of a module's code, and reads as much of it as it needs. So this takes the
# place of any code that is not shorter.
STAND_IN = marshal.dumps(
    compile(f"__import__({__name__!r}, fromlist=['execute']).execute(globals())", "", "exec")
)

_BETWEEN = 16  # bytes at most
# A line of /proc/self/maps up to a file's path: start and end of memory that can be read, and a w
# if it can be written to.
_MAPPING = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) r(.)\S+ \S+ \S+ \S+ *", re.MULTILINE)
_ENOUGH = 1024 * 1024  # bytes; the list of mappings has some ten thousand
_POINTER = 8  # bytes
_PAGE = 4096

# By the names of the modules that are kept, whether one is a package, and its compressed code.
_kept: dict[str, tuple[bool, bytes]] = {}


def keep_bytecode() -> None:
    """Take over all modules whose bytecode is in the program."""
    if not program.is_compiled():
        return
    folder = program.folder()
    try:
        with open(os.path.join(folder, INDEX), "rb") as file:
            index = marshal.load(file)
    except FileNotFoundError:
        return  # it is frozen by hand
    with _own_memory() as memory, open(os.path.join(folder, CODE), "rb") as codes:
        mapped = _mapped()
        base = mapped.constant[0][0]
        starts = _starts(memory, mapped.constant, (codes.read(size) for _, _, size, _ in index))
        pointers = _pointers(memory, mapped.writable, base, set(starts))
        # What is not found, or by nothing, Nuitka keeps as well.
        places = [
            (start, start + size)
            for (_, _, size, _), start in zip(index, starts, strict=True)
            if start is not None and start in pointers and size >= len(STAND_IN)
        ]
        _replace(memory, base, sorted(places), pointers)
    _kept.update((name, (is_package, packed)) for name, is_package, _size, packed in index)
    sys.meta_path.insert(0, Packed(_kept, folder))
    _adopt()


def execute(namespace: dict[str, Any]) -> None:
    """Run a module's code in its namespace, for the stand-in."""
    spec = namespace["__spec__"]
    exec(_code(_kept[spec.name][1], spec.origin), namespace)


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


class _Mapped(NamedTuple):
    """Starts and ends of memory."""

    constant: list[tuple[int, int]]  # of the program's file, and not written to
    writable: list[tuple[int, int]]


def _mapped() -> _Mapped:
    program = os.fsencode(os.readlink("/proc/self/exe"))
    maps = bytearray(_ENOUGH)
    with open("/proc/self/maps", "rb", buffering=0) as file:
        size = 0
        while count := file.readinto(memoryview(maps)[size:]):
            size += count
    mapped = _Mapped([], [])
    for found in _MAPPING.finditer(maps):
        place = int(found[1], 16), int(found[2], 16)
        if found[3] == b"w":
            mapped.writable.append(place)
        elif maps.startswith(program + b"\n", found.end()):
            mapped.constant.append(place)
    # The list names the builder's files, and must not stay in memory that is free again.
    maps[:] = bytes(_ENOUGH)
    return mapped


# Code is found by how far it is behind `base`. An address must not be in a set or dictionary: that
# has the number's hash, which is the number, and would be taken for a pointer.


def _starts(
    memory: int, constant: list[tuple[int, int]], codes: Iterator[bytes]
) -> list[int | None]:
    """Where each piece of code is, if it is there."""
    base = constant[0][0]
    contents = [(start - base, os.pread(memory, end - start, start)) for start, end in constant]
    return [_start(code, contents) for code in codes]


def _start(code: bytes, contents: list[tuple[int, bytes]]) -> int | None:
    for start, content in contents:
        if (offset := content.find(code)) >= 0:
            return start + offset
    return None


def _pointers(
    memory: int, writable: list[tuple[int, int]], base: int, starts: Collection[int | None]
) -> dict[int, list[int]]:
    """By the starts of code, the addresses of what looks like a pointer to it."""
    found: dict[int, list[int]] = {}
    content = bytearray(_PAGE)
    words = memoryview(content).cast("Q")
    for page in (page for start, end in writable for page in range(start, end, _PAGE)):
        with suppress(OSError):  # it may have been unmapped since
            os.preadv(memory, [content], page)
            for number, word in enumerate(words):
                if word - base in starts:
                    found.setdefault(word - base, []).append(page + number * _POINTER)
    content[:] = bytes(_PAGE)
    return found


def _replace(
    memory: int, base: int, places: list[tuple[int, int]], pointers: dict[int, list[int]]
) -> None:
    """Overwrite code, and turn the pointers to it to the stand-in, which takes the first place."""
    for start, end in _together(places):
        os.pwrite(memory, bytes(end - start), base + start)
    if places:
        stand_in = places[0][0]
        os.pwrite(memory, STAND_IN, base + stand_in)
        for start, _end in places:
            for pointer in pointers[start]:
                # It may have been in memory that was free, and is another's by now.
                if os.pread(memory, _POINTER, pointer) == _word(base + start):
                    os.pwrite(memory, _word(base + stand_in), pointer)


def _word(address: int) -> bytes:
    return address.to_bytes(_POINTER, "little")


def _together(places: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join ranges that are only a few bytes apart: Nuitka stores each code with its size."""
    joined: list[tuple[int, int]] = []
    for start, end in places:
        if joined and start - joined[-1][1] <= _BETWEEN:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return iter(joined)


def _adopt() -> None:
    """Give the modules that Nuitka's loader has loaded one that also has their code."""
    for name, (_is_package, packed) in _kept.items():
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if module is not None and spec and type(spec.loader) is type(__spec__.loader):
            spec.loader = module.__loader__ = _Loader(packed, spec.origin)


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
        spec = ModuleSpec(
            name, cast(Any, _Loader(packed, file)), origin=file, is_package=is_package
        )
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [place]
        return spec


class _Loader:
    def __init__(self, packed: bytes, file: str) -> None:
        self._packed = packed
        self._file = file

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Have it made as usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        # Nuitka tells modules in this way that they are in a program, and code that it puts into
        # some, such as site and matplotlib, relies on it.
        vars(module)["__uncompiled__"] = globals().get("__compiled__")
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, _name: str) -> CodeType:
        return _code(self._packed, self._file)

    def __getattr__(self, name: str) -> Any:
        """All else, such as get_data, is done by Nuitka's loader, which loaded this module."""
        return getattr(__spec__.loader, name)


def _code(packed: bytes, file: str) -> CodeType:
    import zlib  # in some Pythons a library itself

    code = marshal.loads(zlib.decompress(packed))
    assert isinstance(code, CodeType)
    # As Python does for a cached file that was made elsewhere; here it was another machine.
    _imp._fix_co_filename(code, file)  # type: ignore[attr-defined]
    return code
