"""ELF64 headers as bytes: the ELF-64 Object File Format, version 1.5, and the AMD64 psABI."""

import os
import struct

from msgspec import Struct

from nativecgi_build.freezer.linux import PAGE

HEADER_SIZE = 64
PROGRAM_HEADER_SIZE = 56
SECTION_HEADER_SIZE = 64
# The kernel executes no file with more than a page of program headers (ELF_MIN_ALIGN in
# load_elf_phdrs, fs/binfmt_elf.c): Debian's 5.10, 6.1 and 6.12 do not, though some others do.
MAX_PROGRAM_HEADERS = PAGE // PROGRAM_HEADER_SIZE

SHT_PROGBITS = 1
SHT_SYMTAB = 2
SHT_STRTAB = 3
SHT_NOBITS = 8

_PT_LOAD = 1
_PT_GNU_STACK = 0x6474E551
_FLAGS = {"x": 1, "w": 2, "r": 4, "-": 0}
_NAMES = ".shstrtab"
_SECTION_ALIGNMENT = 8
_SECTION_FLAGS = {"x": 4, "w": 1, "r": 2, "-": 0}
_ET_EXEC = 2
_EM_X86_64 = 62
_EV_CURRENT = 1
# 64-bit, little-endian, version, System V ABI, padding
_IDENTIFICATION = b"\x7fELF" + bytes((2, 1, _EV_CURRENT, 0)) + bytes(8)


class Segment(Struct, frozen=True):
    """A part of the file and where in memory it goes, all of it from the file (PT_LOAD)."""

    address: int
    permissions: str  # such as "r-x"
    offset: int
    size: int


class Section(Struct, frozen=True):
    """A part of a file for a debugger: some of memory, or data that is nowhere in memory."""

    name: str
    kind: int
    permissions: str = "---"
    address: int = 0
    size: int = 0  # in memory
    data: bytes = b""
    link: int = 0
    info: int = 0
    entry_size: int = 0


def headers(entry: int, segments: list[Segment]) -> bytes:
    """The file header and the program headers of an executable at fixed addresses.

    A last program header of type PT_GNU_STACK keeps the kernel's initial stack from being
    executable.
    """
    ordered = sorted(segments, key=lambda segment: segment.address)
    program_headers = [
        _program_header(_PT_LOAD, s.permissions, s.offset, s.address, s.size, 4096) for s in ordered
    ]
    program_headers.append(_program_header(_PT_GNU_STACK, "rw-", 0, 0, 0, 16))
    return _file_header(entry, len(program_headers)) + b"".join(program_headers)


def with_sections(entry: int, sections: list[Section]) -> bytes:
    """A file with these sections, numbered from 1, followed by a section with their names.

    It calls itself an executable at fixed addresses, but there is nothing in it to run.
    """
    names = b"\0".join(os.fsencode(s.name) for s in (Section("", 0), *sections, Section(_NAMES, 0)))
    content, section_headers = bytearray(), bytearray(SECTION_HEADER_SIZE)  # number 0 is none
    place = 1
    for section in (*sections, Section(_NAMES, SHT_STRTAB, data=names + b"\0")):
        content += bytes(-len(content) % _SECTION_ALIGNMENT)
        section_headers += struct.pack(
            "<IIQQQQIIQQ",
            *(place, section.kind, sum(_SECTION_FLAGS[letter] for letter in section.permissions)),
            *(section.address, HEADER_SIZE + len(content), section.size or len(section.data)),
            *(section.link, section.info, 1, section.entry_size),
        )
        content += section.data
        place += len(os.fsencode(section.name)) + 1
    content += bytes(-len(content) % _SECTION_ALIGNMENT)
    count = len(section_headers) // SECTION_HEADER_SIZE
    header = _file_header(entry, 0, HEADER_SIZE + len(content), count)
    return header + bytes(content + section_headers)


def _file_header(
    entry: int, segment_count: int, section_headers: int = 0, section_count: int = 0
) -> bytes:
    """The file header; program headers follow it, section headers are where it says."""
    return struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(_IDENTIFICATION, _ET_EXEC, _EM_X86_64, _EV_CURRENT, entry),
        *(HEADER_SIZE if segment_count else 0, section_headers, 0),
        *(HEADER_SIZE, PROGRAM_HEADER_SIZE, segment_count),
        *(SECTION_HEADER_SIZE if section_count else 0, section_count, max(section_count - 1, 0)),
    )


def _program_header(
    kind: int, permissions: str, offset: int, address: int, size: int, alignment: int
) -> bytes:
    flags = sum(_FLAGS[letter] for letter in permissions)
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, alignment)
