"""The image heap (heap.c): compiled for a program, read at its freeze point, planned for it."""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import cc, linux, procfs, ptrace, symbols
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.profile import Profile
from nativecgi_build.freezer.tracee import SYSCALL_INSTRUCTION, Tracee

_SOURCE = Path(__file__).with_name("heap.c")
# As in heap.c.
_GRANULE, _CLASSES = 16, 4096
_RECORD = struct.Struct("<QII")  # address, class, ordinal
_RECORDS = 2**21  # places for them: of blocks that there are at a time
_IS_FROZEN, _TABLE = "image_heap_is_frozen", "image_heap_records"
# What is larger has pages of its own, or nearly so, wherever it is.
_LARGEST = PAGE // _GRANULE


class Block(Struct, frozen=True, order=True):
    """A block of memory that a program has at its freeze point."""

    address: int
    size_class: int  # its size in granules
    ordinal: int  # among all blocks of that size

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size_class * _GRANULE


class Plan(Struct, frozen=True):
    """Where the blocks go that requests touch."""

    places: list[tuple[int, int, int]]  # class, ordinal and offset of each
    written: int  # how many bytes from the beginning are of blocks that are written to
    size: int  # of all


def recording(folder: Path) -> Path:
    """The library for a program's first start, compiled into `folder`."""
    return cc.compiled(_SOURCE, folder / "heap.so", *cc.LIBRARY, f"-DRECORDS={_RECORDS}")


def planned(folder: Path, plan: Plan) -> Path:
    """The library for its second start."""
    file = folder / "plan.h"
    file.write_text(_definitions(plan))
    return cc.compiled(_SOURCE, folder / "heap.so", *cc.LIBRARY, f'-DPLAN="{file}"')


def seal(tracee: Tracee) -> list[Block]:
    """Have what comes after the freeze point be new; returns the blocks there are, if recorded."""
    mappings = procfs.mappings(tracee.pid)
    found = symbols.addresses(tracee.pid, mappings, (_IS_FROZEN, _TABLE))
    if _IS_FROZEN not in found:
        return []  # the program has taken our library out of its environment, or allocates nothing
    tracee.write(found[_IS_FROZEN], (1).to_bytes(4, "little"))
    table, size = tracee.read_integer(found[_TABLE]), _RECORDS * _RECORD.size
    if not table:
        return []
    records = tracee.read(table, size)
    instruction = ptrace.get_registers(tracee.pid).rip - len(SYSCALL_INSTRUCTION)
    tracee.call(instruction, linux.SYS_MUNMAP, table, size)
    return sorted(Block(*fields) for fields in _RECORD.iter_unpack(records) if fields[0])


def plan(blocks: Sequence[Block], profile: Profile) -> Plan:
    """Put together what is written to, and what is only read, each in the order of first use."""
    written = _touched(blocks, profile.writes)
    read = [block for block in _touched(blocks, profile.reads) if block not in written]
    places, offset = [], 0
    for group in (list(written), read):
        for block in group:
            places.append((block.size_class, block.ordinal, offset))
            offset += block.size_class * _GRANULE
        if group is not read:
            offset = end = -(-offset // PAGE) * PAGE
    return Plan(places, end, max(-(-offset // PAGE) * PAGE, PAGE))


def _touched(blocks: Sequence[Block], addresses: Iterable[int]) -> dict[Block, None]:
    """The blocks in which these addresses are, in their order."""
    starts = [block.address for block in blocks]
    found: dict[Block, None] = {}
    for address in addresses:
        index = bisect_right(starts, address) - 1
        if index >= 0 and address < blocks[index].end and 0 < blocks[index].size_class <= _LARGEST:
            found.setdefault(blocks[index])
    return found


def _definitions(plan: Plan) -> str:
    """The plan in C: all places by class and then by ordinal, and where each class begins."""
    counts = [0] * _CLASSES
    for size_class, _ordinal, _offset in plan.places:
        counts[size_class] += 1
    starts = [0, *accumulate(counts)]
    return "\n".join(
        (
            f"#define PLANNED {plan.size}",
            "static const struct place plan[] = {",
            *(f"{{{ordinal}, {offset}}}," for _class, ordinal, offset in sorted(plan.places)),
            "{0, 0}};",
            f"static const uint32_t plan_start[] = {{{', '.join(map(str, starts))}}};\n",
        )
    )
