"""Symbols of a stopped process, found in the ELF files that it has mapped."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import ELFHashSection, GNUHashSection
from elftools.elf.sections import Symbol, SymbolTableSection

from nativecgi_build.freezer import procfs
from nativecgi_build.freezer.errors import CannotFreeze
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.procfs import Mapping

# A row of a symbol table: name, type and binding, visibility, section, address, size.
SYMBOL = struct.Struct("<IBBHQQ")
_UNDEFINED = 0  # instead of a section
_WRITABLE = 2  # a flag of segments


def addresses(pid: int, mappings: Sequence[Mapping], names: Sequence[str]) -> dict[str, int]:
    """The addresses of those of these symbols that a process has, as its dynamic linker sees them.

    Raises CannotFreeze where a file that it has mapped cannot be read.
    """
    found: dict[str, int] = {}
    for path, start in mapped_programs(pid, mappings):
        for name, address in _linked(path, start, names):
            found.setdefault(name, address)
    return found


def defined(path: Path, start: int, name: str) -> set[int]:
    """Where the ELF file that is mapped from `start` defines a symbol, hidden or not.

    Raises CannotFreeze where the file cannot be read.
    """
    with _opened(path) as elf:
        if elf is None:
            return set()
        bias = load_bias(elf, start)
        return {
            bias + address
            for table in (".dynsym", ".symtab")
            for address in _rows(elf, table, name)
        }


def writable(path: Path, start: int) -> list[tuple[int, int]]:
    """The addresses and sizes of the variables of the ELF file that is mapped from `start`."""
    with _opened(path) as elf:
        if elf is None:
            return []
        bias = load_bias(elf, start)
        return [
            (bias + segment["p_vaddr"], segment["p_memsz"])
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_flags"] & _WRITABLE
        ]


def mapped_programs(pid: int, mappings: Sequence[Mapping]) -> Iterator[tuple[Path, int]]:
    """The files whose code a process has mapped, and where they begin.

    The executable comes first: one that is linked at a fixed address has copies of its own of
    variables it uses (R_X86_64_COPY), and the dynamic linker makes the library use those. A file
    may be mapped more than once, by dlmopen(3).
    """
    code = [m.path for m in mappings if m.path.startswith("/") and "x" in m.permissions]
    for path in dict.fromkeys([str(procfs.executable(pid)), *code]):
        areas = [mapping for mapping in mappings if mapping.path == path]
        for start in _starts(Path(path), areas):
            yield Path(path), start


def _starts(path: Path, areas: Sequence[Mapping]) -> list[int]:
    """Where a file begins whose parts are at `areas`: one address for each time it is mapped.

    The file's beginning alone may be mapped twice, as the end of one segment and as the beginning
    of the next. It is mapped from where all its segments have their places behind.
    """
    beginnings = [area.start for area in areas if area.offset == 0]
    if len(beginnings) > 1:
        with _opened(path) as elf:
            if elf is not None:
                beginnings = [it for it in beginnings if _has_segments(elf, it, areas)]
    return beginnings or [min(area.start for area in areas)]


def _has_segments(elf: ELFFile, start: int, areas: Sequence[Mapping]) -> bool:
    bias = load_bias(elf, start)
    places = [
        (bias + (segment["p_vaddr"] & -PAGE), segment["p_offset"] & -PAGE)
        for segment in elf.iter_segments("PT_LOAD")
        if segment["p_filesz"]
    ]
    return all(
        any(m.start <= at < m.end and m.offset + at - m.start == offset for m in areas)
        for at, offset in places
    )


def load_bias(elf: ELFFile, start: int) -> int:
    """How far from its own addresses an ELF file lies that is mapped from `start`."""
    first = min((s["p_vaddr"] for s in elf.iter_segments("PT_LOAD")), default=start)
    return int(start - (first & -PAGE))


@contextmanager
def _opened(path: Path) -> Iterator[ELFFile | None]:
    """An ELF file to be read; None where a mapped file is none."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise CannotFreeze(f"cannot read {path}, which the program has mapped: {error}") from error
    with file:
        try:
            elf = ELFFile(file)
        except ELFError:
            elf = None
        yield elf


def _linked(path: Path, start: int, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Those of the symbols that an ELF file mapped from `start` defines, with addresses."""
    with _opened(path) as elf:
        if elf is not None:
            bias = load_bias(elf, start)
            for name in names:
                symbol = _symbol(elf, name)
                if symbol is not None and symbol["st_shndx"] != "SHN_UNDEF":
                    yield name, bias + symbol["st_value"]


def _symbol(elf: ELFFile, name: str) -> Symbol | None:
    """Look a symbol up: by hash among those for the dynamic linker, else among all."""
    for section_name in (".gnu.hash", ".hash", ".symtab"):
        match elf.get_section_by_name(section_name):
            case GNUHashSection() | ELFHashSection() as table:
                return table.get_symbol(name)
            case SymbolTableSection() as table:
                return next(iter(table.get_symbol_by_name(name) or ()), None)
    return None


def _rows(elf: ELFFile, table: str, name: str) -> Iterator[int]:
    """The addresses, as the file has them, of a symbol that a table defines."""
    section = elf.get_section_by_name(table)
    if section is None:
        return
    names, wanted = elf.get_section(section["sh_link"]).data(), name.encode() + b"\0"
    if wanted in names:
        for place, _info, _visibility, index, address, _size in SYMBOL.iter_unpack(section.data()):
            if index != _UNDEFINED and names.startswith(wanted, place):
                yield address
