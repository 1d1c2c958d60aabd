"""ELF64 headers as bytes: the ELF-64 Object File Format, version 1.5, and the AMD64 psABI."""

import struct

from msgspec import Struct

from freezer.linux import PAGE

HEADER_SIZE = 64
PROGRAM_HEADER_SIZE = 56
# The kernel executes no file with more than a page of program headers (ELF_MIN_ALIGN in
# load_elf_phdrs, fs/binfmt_elf.c): Debian's 5.10, 6.1 and 6.12 do not, though some others do.
MAX_PROGRAM_HEADERS = PAGE // PROGRAM_HEADER_SIZE

_PT_LOAD = 1
_PT_GNU_STACK = 0x6474E551
_FLAGS = {"x": 1, "w": 2, "r": 4, "-": 0}
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


def headers(entry: int, segments: list[Segment]) -> bytes:
    """The file header and the program headers of an executable at fixed addresses.

    A last program header of type PT_GNU_STACK keeps the kernel's initial stack from being
    executable.
    """
    count = len(segments) + 1
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(_IDENTIFICATION, _ET_EXEC, _EM_X86_64, _EV_CURRENT, entry, HEADER_SIZE),
        *(0, 0, HEADER_SIZE, PROGRAM_HEADER_SIZE, count, 0, 0, 0),
    )
    ordered = sorted(segments, key=lambda segment: segment.address)
    program_headers = [
        _program_header(_PT_LOAD, s.permissions, s.offset, s.address, s.size, 4096) for s in ordered
    ]
    program_headers.append(_program_header(_PT_GNU_STACK, "rw-", 0, 0, 0, 16))
    return header + b"".join(program_headers)


def _program_header(
    kind: int, permissions: str, offset: int, address: int, size: int, alignment: int
) -> bytes:
    flags = sum(_FLAGS[letter] for letter in permissions)
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, alignment)
