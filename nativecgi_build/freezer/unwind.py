"""Unwinding tables: the .eh_frame of files that lie anywhere, as one .debug_frame.

A debugger walks up a stack by such a table, for compiled code keeps no frame pointers. Of either
kind it reads one a file. An .eh_frame gives its functions' places as distances of 32 bits from
itself, which reach from no single place to all the files of a process; a .debug_frame has
addresses of 64 bits and is otherwise the same (Linux Standard Base 5.0, 10.6; DWARF 4, 6.4.1).
"""

import struct
from collections.abc import Iterable, Iterator

from msgspec import Struct

_CIE_MARK = 0xFFFFFFFF  # stands in a .debug_frame where a function's entry has its CIE's offset
_CIE_VERSION = 3
_LONG = 0xFFFFFFFF  # an entry of 4 GiB or more: a length of 64 bits follows
_ALIGNMENT = 8

# How a pointer is written (DW_EH_PE_...): its format, and what it counts from.
_FORMATS = {0x00: "<Q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}
_ABSOLUTE, _FROM_ITSELF = 0x00, 0x10


class Table(Struct, frozen=True):
    """A file's .eh_frame, where it says it is, and how far from there the process has it."""

    data: bytes
    address: int
    bias: int


class Common(Struct, frozen=True):
    """What entries have in common (a CIE)."""

    content: bytes  # as a .debug_frame has it
    encoding: int  # of functions' addresses in the .eh_frame
    has_augmentation: bool  # there is more in the entries, headed by its length


class Function(Struct, frozen=True):
    """An entry (an FDE): how to find the caller of a function from anywhere in it."""

    common: Common
    address: int
    size: int
    instructions: bytes


def functions(table: Table) -> Iterator[Function]:
    """Read a table; an entry that is written in an unusual way is left out."""
    commons: dict[int, Common] = {}
    for start, end in _entries(table.data):
        back = int.from_bytes(table.data[start : start + 4], "little")
        if back == 0:
            commons[start] = _common(table.data[start + 4 : end])
        elif function := _function(table, start + 4, end, commons[start + 4 - back]):
            yield function


def debug_frame(functions: Iterable[Function]) -> bytes:
    """Write a table of entries of any files."""
    frame = bytearray()
    offsets: dict[Common, int] = {}
    for function in functions:
        if function.common not in offsets:
            offsets[function.common] = len(frame)
            frame += _entry(_CIE_MARK, function.common.content)
        place = struct.pack("<QQ", function.address, function.size)
        frame += _entry(offsets[function.common], place + function.instructions)
    return bytes(frame)


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    """The offsets between which entries lie, each behind its length."""
    offset = 0
    while offset + 4 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        if length in (0, _LONG):  # 0: the end
            return
        yield offset + 4, offset + 4 + length
        offset += 4 + length


def _common(content: bytes) -> Common:
    version, (augmentation, rest) = content[0], content[1:].split(b"\0", 1)
    _code_alignment, end = _number(rest, 0)
    _data_alignment, end = _number(rest, end)
    end = _number(rest, end)[1] if version > 1 else end + 1  # the return address's register
    factors, encoding = rest[:end], _ABSOLUTE
    has_augmentation = augmentation.startswith(b"z")
    if has_augmentation:
        length, start = _number(rest, end)
        end = start + length
        encoding = _address_encoding(augmentation, rest[start:end])
    # Of the rest a debugger need know but whether it is the frame of a signal's handler (S).
    kept = b"S\0" if b"S" in augmentation else b"\0"
    return Common(bytes((_CIE_VERSION,)) + kept + factors + rest[end:], encoding, has_augmentation)


def _address_encoding(augmentation: bytes, data: bytes) -> int:
    """The byte that the letter R stands for; P's and L's may come before it."""
    offset = 0
    for letter in augmentation[1:].decode("latin-1"):
        match letter:
            case "R":
                return data[offset]
            case "P":  # an encoding, and a pointer to be read by it
                offset += 1 + struct.calcsize(_FORMATS.get(data[offset] & 0x0F, "<Q"))
            case "L":
                offset += 1
    return _ABSOLUTE


def _function(table: Table, start: int, end: int, common: Common) -> Function | None:
    form, base = _FORMATS.get(common.encoding & 0x0F), common.encoding & 0xF0
    if form is None or base not in (_ABSOLUTE, _FROM_ITSELF):
        return None
    width = struct.calcsize(form)
    (address,) = struct.unpack_from(form, table.data, start)
    if base == _FROM_ITSELF:
        address += table.address + start
    size = int.from_bytes(table.data[start + width : start + 2 * width], "little")
    rest = start + 2 * width
    if common.has_augmentation:
        length, rest = _number(table.data, rest)
        rest += length
    return Function(common, (address + table.bias) % 2**64, size, table.data[rest:end])


def _entry(head: int, content: bytes) -> bytes:
    """An entry after its length, filled up with instructions that do nothing (zeros)."""
    content += bytes(-(8 + len(content)) % _ALIGNMENT)
    return struct.pack("<II", 4 + len(content), head) + content


def _number(data: bytes, offset: int) -> tuple[int, int]:
    """An unsigned LEB128 number and the offset after it; a signed number ends there, too."""
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset
