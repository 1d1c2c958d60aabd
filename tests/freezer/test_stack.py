"""stack: the block of a new process reads the same wherever it lies."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from nativecgi_build.freezer import stack
from nativecgi_build.freezer.stack import (
    AT_BASE_PLATFORM,
    AT_EXECFN,
    AT_IGNORE,
    AT_NULL,
    AT_PLATFORM,
    AT_RANDOM,
    AT_SYSINFO_EHDR,
)

AT_ENTRY, AT_HWCAP, AT_PAGESZ, AT_ABSENT = 9, 16, 6, 3
POINTERS = (AT_PLATFORM, AT_BASE_PLATFORM, AT_EXECFN, AT_RANDOM)


class Start(Struct, frozen=True):
    """What a process is started with."""

    arguments: list[bytes]
    variables: list[bytes]
    random: bytes
    platform: bytes
    executable: bytes
    vdso: int
    padding: int

    def block(self, address: int) -> bytes:
        """Laid out as by create_elf_tables, to be read at `address`."""
        strings = bytearray(self.padding)
        places: list[int] = []
        for string in (
            self.random,
            *(self.platform + b"\0", self.platform + b"\0"),
            *(argument + b"\0" for argument in self.arguments),
            *(variable + b"\0" for variable in self.variables),
            self.executable + b"\0",
        ):
            places.append(len(strings))
            strings += string
        strings += bytes(8 + -len(strings) % 8)

        pairs = [
            *((AT_SYSINFO_EHDR, self.vdso), (AT_HWCAP, 0x78BFBFF), (AT_PAGESZ, 4096)),
            (AT_ENTRY, address + 8),  # looks like a pointer into the block, but is none
            *((AT_RANDOM, 0), (AT_PLATFORM, 1), (AT_BASE_PLATFORM, 2), (AT_EXECFN, -1)),
        ]
        vectors = 1 + len(self.arguments) + 1 + len(self.variables) + 1 + 2 * (len(pairs) + 1)
        base = address + 8 * vectors
        middle = 3 + len(self.arguments)
        words = [
            len(self.arguments),
            *(base + place for place in places[3:middle]),
            0,
            *(base + place for place in places[middle:-1]),
            0,
        ]
        for kind, value in pairs:
            words += kind, base + places[value] if kind in POINTERS else value
        words += AT_NULL, 0
        return struct.pack(f"<{len(words)}Q", *words) + strings


STRINGS = st.binary(max_size=20).map(lambda string: string.replace(b"\0", b"."))
STARTS = st.builds(
    Start,
    arguments=st.lists(STRINGS, min_size=1, max_size=5),
    variables=st.lists(STRINGS, max_size=5),
    random=st.binary(min_size=16, max_size=16),
    platform=st.just(b"x86_64"),
    executable=STRINGS,
    vdso=st.integers(2**46, 2**47).map(lambda address: address & -4096),
    padding=st.integers(0, 20),
)
ADDRESSES = st.integers(2**20, 2**47).map(lambda address: address & -16)


def string_at(block: bytes, address: int, pointer: int) -> bytes:
    offset = pointer - address
    assert 0 <= offset < len(block)
    return block[offset : block.index(0, offset)]


def pointers(block: bytes) -> tuple[list[int], list[int]]:
    """The pointers of argv and of envp."""
    words = struct.unpack(f"<{len(block) // 8}Q", block[: len(block) // 8 * 8])
    end = words.index(0, words[0] + 2)
    return list(words[1 : words[0] + 1]), list(words[words[0] + 2 : end])


@given(STARTS, ADDRESSES, ADDRESSES)
def test_every_pointer_still_points_to_its_string(start: Start, old: int, new: int) -> None:
    moved = stack.moved(start.block(old), old, new)
    arguments, variables = pointers(moved)
    assert [string_at(moved, new, pointer) for pointer in arguments] == start.arguments
    assert [string_at(moved, new, pointer) for pointer in variables] == start.variables
    vector = stack.auxiliary_vector(moved)
    assert string_at(moved, new, vector[AT_PLATFORM]) == start.platform
    assert string_at(moved, new, vector[AT_BASE_PLATFORM]) == start.platform
    assert string_at(moved, new, vector[AT_EXECFN]) == start.executable
    random = vector[AT_RANDOM] - new
    assert moved[random : random + 16] == start.random


@given(STARTS, ADDRESSES, ADDRESSES)
def test_nothing_but_pointers_and_the_vdso_is_changed(start: Start, old: int, new: int) -> None:
    block = start.block(old)
    before = struct.unpack(f"<{len(block) // 8}Q", block[: len(block) // 8 * 8])
    after = stack.moved(block, old, new)
    words = struct.unpack(f"<{len(after) // 8}Q", after[: len(after) // 8 * 8])
    own = {*pointers(block)[0], *pointers(block)[1]}
    own |= {value for kind, value in stack.auxiliary_vector(block).items() if kind in POINTERS}
    expected = [word - old + new if word in own else word for word in before]
    vdso = before.index(start.vdso)
    expected[vdso - 1 : vdso + 1] = AT_IGNORE, 0
    assert list(words) == expected
    assert len(after) == len(block)
    assert after[len(words) * 8 :] == block[len(words) * 8 :]


@given(STARTS, ADDRESSES, ADDRESSES)
def test_the_vdso_is_hidden(start: Start, old: int, new: int) -> None:
    assert stack.auxiliary_vector(start.block(old))[AT_SYSINFO_EHDR] == start.vdso
    vector = stack.auxiliary_vector(stack.moved(start.block(old), old, new))
    assert AT_SYSINFO_EHDR not in vector
    assert vector[AT_IGNORE] == 0


@given(STARTS, ADDRESSES)
def test_the_auxiliary_vector_is_read_by_type(start: Start, address: int) -> None:
    vector = stack.auxiliary_vector(start.block(address))
    assert (vector[AT_PAGESZ], vector[AT_ENTRY]) == (4096, address + 8)
    assert AT_NULL not in vector


@given(STARTS, ADDRESSES)
def test_the_argument_strings_are_the_command_line_and_the_executable(
    start: Start, address: int
) -> None:
    block = start.block(address)
    strings = [
        block[pointer - address : pointer - address + length]
        for pointer, length in stack.argument_strings(block, address)
    ]
    assert strings == [*start.arguments, start.executable]


@given(STARTS, ADDRESSES)
def test_a_value_of_the_auxiliary_vector_is_replaced_and_nothing_else(
    start: Start, address: int
) -> None:
    block = start.block(address)
    changed = stack.with_auxiliary_values(block, {AT_ENTRY: 1, AT_ABSENT: 2})
    assert stack.auxiliary_vector(changed) == stack.auxiliary_vector(block) | {AT_ENTRY: 1}
    back = {AT_ENTRY: stack.auxiliary_vector(block)[AT_ENTRY]}
    assert stack.with_auxiliary_values(changed, back) == block
