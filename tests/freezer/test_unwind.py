"""unwind: entries of an .eh_frame come out as the same in a .debug_frame, with their addresses."""

import struct
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer import unwind
from nativecgi_build.freezer.unwind import Function, Table

# DW_EH_PE_...: how an address may be written, and in how many bytes.
FORMATS = {0x00: "<Q", 0x03: "<I", 0x04: "<Q", 0x0B: "<i", 0x0C: "<q"}
FROM_ITSELF = 0x10

CIE_HEAD = bytes((1, 0x78, 16))  # factors of code (1) and data (-8); the return address's register
CIE_INSTRUCTIONS = bytes((0x0C, 7, 8, 0x80 + 16, 1))  # the caller's rsp is rsp + 8, its rip below

ENTRIES = st.lists(
    st.tuples(st.integers(0, 2**30), st.integers(0, 2**20), st.binary(max_size=20)), max_size=10
)
ADDRESSES = st.integers(0, 2**30)
BIASES = st.integers(0, 2**46)


def entry(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def common(augmentation: bytes, data: bytes = b"") -> bytes:
    """A CIE; `data` is what its augmentation stands for."""
    length = bytes((len(data),)) if augmentation.startswith(b"z") else b""
    head = struct.pack("<IB", 0, 1) + augmentation + b"\0" + CIE_HEAD
    return entry(head + length + data + CIE_INSTRUCTIONS)


def function(
    offset: int, encoding: int, table_address: int, place: tuple[int, int, bytes], more: bytes
) -> bytes:
    """An FDE at an offset in a table whose CIE is at its beginning."""
    address, size, instructions = place
    form = FORMATS[encoding & 0x0F]
    if encoding & FROM_ITSELF:
        address -= table_address + offset + 8
    return entry(
        struct.pack("<I", offset + 4)
        + struct.pack(form, address)
        + struct.pack(form, size)
        + more
        + instructions
    )


def table(
    encoding: int, address: int, places: list[tuple[int, int, bytes]], head: bytes, more: bytes
) -> bytes:
    data = head
    for place in places:
        data += function(len(data), encoding, address, place, more)
    return data + bytes(4)


@pytest.mark.parametrize("encoding", [0x00, 0x03, 0x0B, 0x1B, 0x1C])
@given(address=ADDRESSES, bias=BIASES, places=ENTRIES)
def test_functions_are_found_however_their_addresses_are_written(
    encoding: int, address: int, bias: int, places: list[tuple[int, int, bytes]]
) -> None:
    data = table(encoding, address, places, common(b"zR", bytes((encoding,))), b"\0")
    found = list(unwind.functions(Table(data, address, bias)))
    assert [(f.address - bias, f.size, f.instructions) for f in found] == places


@given(address=ADDRESSES, places=ENTRIES)
def test_data_for_other_readers_is_passed_over(
    address: int, places: list[tuple[int, int, bytes]]
) -> None:
    """A personality (P), read by an encoding of its own, and a place in each entry (L)."""
    head = common(b"zPLR", struct.pack("<BiBB", 0x9B, -5, 0x1B, 0x1B))
    found = list(unwind.functions(Table(table(0x1B, address, places, head, b"\4LSDA"), address, 0)))
    assert [(f.address, f.size, f.instructions) for f in found] == places


@given(places=ENTRIES)
def test_a_table_may_have_no_augmentation(places: list[tuple[int, int, bytes]]) -> None:
    found = list(unwind.functions(Table(table(0x00, 0, places, common(b""), b""), 0, 0)))
    assert [(f.address, f.size, f.instructions) for f in found] == places


@pytest.mark.parametrize("encoding", [0x01, 0x2B, 0x9B])
def test_an_address_in_an_unusual_form_is_left_out(encoding: int) -> None:
    """A number of any length; one from the text's beginning; one that stands elsewhere."""
    places = [(0x1000, 0x10, b"")]
    data = table(0x0B, 0, places, common(b"zR", bytes((encoding,))), b"\0")
    assert list(unwind.functions(Table(data, 0, 0))) == []


def test_nothing_behind_the_end_is_read() -> None:
    data = table(0x0B, 0, [(0x1000, 0x10, b"")], common(b"zR", b"\x0b"), b"\0")
    assert len(list(unwind.functions(Table(data + data, 0, 0)))) == 1


def entries_of(path: Path) -> tuple[Table, list[tuple[int, int]]]:
    """A file's table, and what pyelftools finds in it."""
    with path.open("rb") as file:
        elf = ELFFile(BytesIO(file.read()))
    section = elf.get_section_by_name(".eh_frame")
    assert section is not None
    found = [e for e in elf.get_dwarf_info().EH_CFI_entries() if isinstance(e, FDE)]
    places = [(e.header["initial_location"], e.header["address_range"]) for e in found]
    return Table(section.data(), section["sh_addr"], 0), places


def test_a_compiler_s_table_reads_as_another_reader_reads_it(
    compiled: Callable[..., Path],
) -> None:
    for path in (compiled("probe.c"), Path(sys.executable)):
        table, expected = entries_of(path)
        assert [(f.address, f.size) for f in unwind.functions(table)] == expected
        assert expected


def written(functions: list[Function]) -> list[tuple[bytes, int, int, bytes]]:
    """A .debug_frame's functions: the CIE's content, address, size, instructions and filling."""
    data = unwind.debug_frame(functions)
    commons, found, offset = {}, [], 0
    while offset < len(data):
        length, head = struct.unpack_from("<II", data, offset)
        content = data[offset + 8 : offset + 4 + length]
        if head == 0xFFFFFFFF:
            commons[offset] = content
        else:
            found.append((commons[head], *struct.unpack("<QQ", content[:16]), content[16:]))
        offset += 4 + length
        assert offset % 8 == 0
    return found


@given(bias=BIASES, places=ENTRIES)
def test_what_is_written_has_whole_addresses(
    bias: int, places: list[tuple[int, int, bytes]]
) -> None:
    data = table(0x1B, 0, places, common(b"zR", b"\x1b"), b"\0")
    functions = list(unwind.functions(Table(data, 0, bias)))
    for (address, size, instructions), entry in zip(places, written(functions), strict=True):
        content, found_address, found_size, found_instructions = entry
        assert (found_address, found_size) == (bias + address, size)
        assert found_instructions.rstrip(b"\0") == instructions.rstrip(b"\0")
        assert content.rstrip(b"\0") == b"\3\0" + CIE_HEAD + CIE_INSTRUCTIONS


def test_a_signal_s_frame_is_still_marked() -> None:
    data = table(0x1B, 0, [(0x1000, 0x10, b"")], common(b"zRS", b"\x1b"), b"\0")
    ((content, *_place),) = written(list(unwind.functions(Table(data, 0, 0))))
    assert content.startswith(b"\3S\0" + CIE_HEAD)


def test_what_tables_have_in_common_is_written_once() -> None:
    data = table(0x1B, 0, [(0x1000, 0x10, b"")], common(b"zR", b"\x1b"), b"\0")
    functions = [f for bias in (0, 2**40) for f in unwind.functions(Table(data, 0, bias))]
    assert unwind.debug_frame(functions).count(CIE_HEAD + CIE_INSTRUCTIONS) == 1
