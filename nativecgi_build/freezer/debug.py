"""Makes the side file that tells a debugger what lies where in a frozen program.

An image is bare memory: it has no names, and no table by which to walk up a stack. Both are in
the files that the program had mapped, each of them somewhere else. Here they become one ELF file,
which needs none of those: `gdb NAME.debug core`.
"""

import os
from collections.abc import Iterator

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from msgspec import Struct

from nativecgi_build.freezer import elf, procfs, symbols, unwind
from nativecgi_build.freezer.elf import Section
from nativecgi_build.freezer.symbols import SYMBOL

# Types of symbols: those that have an address (NOTYPE, OBJECT, FUNC, GNU_IFUNC), and others.
_ADDRESSED = (0, 1, 2, 10)
_FUNCTION = 2
_FILE = 4
_LOCAL = 0  # binding
_UNDEFINED, _RESERVED, _ABSOLUTE = 0, 0xFF00, 0xFFF1  # instead of a section
# Flags of segments.
_PERMISSIONS = ((4, "r"), (2, "w"), (1, "x"))

# By this name a debugger finds the dynamic linker's list of files, and would read what lies at
# their places now: another version, after an update.
_LEFT_OUT = b"_r_debug"


class Area(Struct, frozen=True):
    """Memory that a part of a file went to."""

    address: int
    size: int
    permissions: str


class Symbol(Struct, frozen=True):
    """The name of a function or a variable."""

    name: bytes
    info: int  # its type, and above that its binding
    address: int
    size: int


class MappedFile(Struct, frozen=True):
    """An ELF file as a process had it. Of its path there is but the name."""

    name: str
    entry: int
    areas: list[Area]
    symbols: list[Symbol]
    functions: list[unwind.Function]


def mapped_files(pid: int) -> Iterator[MappedFile]:
    """The ELF files whose code a process has mapped: its executable, then the libraries."""
    for path, start in symbols.mapped_programs(pid, procfs.mappings(pid)):
        try:
            with path.open("rb") as file:
                yield _read(ELFFile(file), path.name, start)
        except ELFError:
            continue  # a mapped file that is no ELF file


def _read(file: ELFFile, name: str, start: int) -> MappedFile:
    bias = symbols.load_bias(file, start)
    areas = [
        Area(
            bias + segment["p_vaddr"],
            segment["p_memsz"],
            "".join(letter if segment["p_flags"] & bit else "-" for bit, letter in _PERMISSIONS),
        )
        for segment in file.iter_segments("PT_LOAD")
    ]
    table = file.get_section_by_name(".eh_frame")
    functions: list[unwind.Function] = []
    if table is not None and table["sh_type"] != "SHT_NOBITS":
        functions += unwind.functions(unwind.Table(table.data(), table["sh_addr"], bias))
    named = list(_symbols(file, bias))
    known = {symbol.address for symbol in named}
    # Libraries are stripped of the names of what they do not export.
    named += (
        Symbol(f"{name}+{f.address - bias:#x}".encode(), _FUNCTION, f.address, f.size)
        for f in functions
        if f.address not in known
    )
    return MappedFile(name, bias + file["e_entry"], areas, named, functions)


def _symbols(file: ELFFile, bias: int) -> Iterator[Symbol]:
    """All names, or those for the dynamic linker where the file is stripped."""
    section = file.get_section_by_name(".symtab") or file.get_section_by_name(".dynsym")
    if section is None:
        return
    names = file.get_section(section["sh_link"]).data()
    # Not by pyelftools' iter_symbols(): for some ten thousands it takes seconds.
    for place, info, _visibility, index, address, size in SYMBOL.iter_unpack(section.data()):
        name = names[place : names.index(0, place)]
        if info & 0xF in _ADDRESSED and _UNDEFINED < index < _RESERVED and name != _LEFT_OUT:
            yield Symbol(name, info, bias + address, size)


def side_file(files: list[MappedFile]) -> bytes:
    """The side file for a program that had these files mapped, its executable the first."""
    areas = [
        Section(file.name, elf.SHT_NOBITS, area.permissions, area.address, area.size)
        for file in files
        for area in file.areas
    ]
    table, names, locals = _symbol_table(files)
    frame = unwind.debug_frame(function for file in files for function in file.functions)
    return elf.with_sections(
        files[0].entry,
        [
            *areas,
            Section(
                ".symtab",
                elf.SHT_SYMTAB,
                data=table,
                link=len(areas) + 2,  # the names' section
                info=locals,
                entry_size=SYMBOL.size,
            ),
            Section(".strtab", elf.SHT_STRTAB, data=names),
            Section(".debug_frame", elf.SHT_PROGBITS, data=frame),
        ],
    )


def _symbol_table(files: list[MappedFile]) -> tuple[bytes, bytes, int]:
    """A table of all symbols, their names, and how many come first for being local."""
    local, others, names = bytearray(SYMBOL.size), bytearray(), bytearray(1)
    first = 1  # the number of the section of the file's first area
    for file in files:
        local += SYMBOL.pack(len(names), _FILE, 0, _ABSOLUTE, 0, 0)
        names += os.fsencode(file.name) + b"\0"
        for symbol in file.symbols:
            for index, area in enumerate(file.areas, first):
                if area.address <= symbol.address < area.address + area.size:
                    row = (len(names), symbol.info, 0, index, symbol.address, symbol.size)
                    (others if symbol.info >> 4 != _LOCAL else local).extend(SYMBOL.pack(*row))
                    names += symbol.name + b"\0"
        first += len(file.areas)
    return bytes(local + others), bytes(names), len(local) // SYMBOL.size
