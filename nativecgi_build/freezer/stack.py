"""The block that the kernel leaves on a new process's stack, and how it is moved.

From the stack pointer up it holds argc, the argv pointers, 0, the envp pointers, 0, the
auxiliary vector (pairs that end with AT_NULL), then the strings all these point to
(create_elf_tables in fs/binfmt_elf.c; getauxval(3)).
"""

import struct
from collections.abc import Iterator, Mapping

from nativecgi_build.freezer.errors import Unsupported

AT_NULL = 0
AT_IGNORE = 1
AT_PHDR = 3
AT_BASE = 7
AT_ENTRY = 9
AT_PLATFORM = 15
AT_BASE_PLATFORM = 24
AT_RANDOM = 25
AT_EXECFN = 31
AT_SYSINFO_EHDR = 33

_POINTERS = {AT_PLATFORM, AT_BASE_PLATFORM, AT_RANDOM, AT_EXECFN}
_WORD = 8


def auxiliary_vector(block: bytes) -> dict[int, int]:
    """The auxiliary vector's values by type; the last of a type that occurs more than once."""
    words = _words(block)
    return {words[i]: words[i + 1] for i in _auxiliary_indexes(words)}


def moved(block: bytes, old: int, new: int) -> bytes:
    """The block as it must read at address `new` after it was read at `old`.

    The vDSO's entry is turned into one to be ignored: a thawed process has its vDSO elsewhere,
    so the frozen one must never have known of it.
    """
    words = list(_words(block))
    vectors = _auxiliary_indexes(words)
    for index in range(1, vectors.start):
        if words[index]:  # not one of the two zeros that end argv and envp
            words[index] = _shifted(words[index], block, old, new)
    for index in vectors:
        if words[index] in _POINTERS:
            words[index + 1] = _shifted(words[index + 1], block, old, new)
        elif words[index] == AT_SYSINFO_EHDR:
            words[index : index + 2] = AT_IGNORE, 0
    head = struct.pack(f"<{len(words)}Q", *words)
    return head + block[len(head) :]


def with_auxiliary_values(block: bytes, values: Mapping[int, int]) -> bytes:
    """The block with other values in its auxiliary vector, by their types."""
    words = list(_words(block))
    for index in _auxiliary_indexes(words):
        words[index + 1] = values.get(words[index], words[index + 1])
    head = struct.pack(f"<{len(words)}Q", *words)
    return head + block[len(head) :]


def argument_strings(block: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Where the command line's strings and the executable's name are: (address, length)."""
    words = _words(block)
    pointers = list(words[1 : words[0] + 1])
    pointers.append(auxiliary_vector(block).get(AT_EXECFN, 0))
    for pointer in pointers:
        if address <= pointer < address + len(block):
            offset = pointer - address
            yield pointer, block.index(0, offset) - offset


def _words(block: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(block) // _WORD}Q", block[: len(block) // _WORD * _WORD])


def _auxiliary_indexes(words: "tuple[int, ...] | list[int]") -> range:
    """The indexes of the auxiliary vector's types among the words, without AT_NULL's."""
    first = words.index(0, words[0] + 2) + 1
    last = first
    while words[last] != AT_NULL:
        last += 2
    return range(first, last, 2)


def _shifted(pointer: int, block: bytes, old: int, new: int) -> int:
    if not old <= pointer < old + len(block):
        raise Unsupported(f"the new process's stack points outside itself, to {pointer:#x}")
    return pointer - old + new
