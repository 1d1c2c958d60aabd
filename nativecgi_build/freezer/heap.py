"""The image heap (heap.c): compiled for a program, read at its freeze point, planned for it."""

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import cc, linux, procfs, ptrace, symbols
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.profile import Profile
from nativecgi_build.freezer.tracee import SYSCALL_INSTRUCTION, Tracee

_SOURCES = [Path(__file__).with_name(name) for name in ("heap.c", "twice.c")]
_CHANCE = 16 * 1024  # bytes that a program may draw on its way and has again the second time
# As in heap.c.
_GRANULE, _CONTEXTS = 16, 2**14
_RECORD = struct.Struct("<QHHI")  # address, context, class, ordinal
_COUNTERS_SIZE = 2 * 4 * _CONTEXTS  # before the records
_RECORDS = 2**21  # places for them: of blocks that there are at a time
_IS_FROZEN, _PLACED = "image_heap_is_frozen", "image_heap_placed"
_COUNTS, _COUNTS_SIZE = "image_heap_counts", "image_heap_counts_size"
# What is larger has pages of its own, or nearly so, wherever it is.
_LARGEST = PAGE // _GRANULE


class Block(Struct, frozen=True, order=True):
    """A block of memory that a program has at its freeze point."""

    address: int
    context: int  # what was allocated before it
    size_class: int  # its size in granules
    ordinal: int  # how many others have had the same context before

    @property
    def size(self) -> int:
        """Its bytes, rounded up."""
        return self.size_class * _GRANULE

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size


class Plan(Struct, frozen=True):
    """Where the blocks go that requests touch."""

    offsets: dict[Block, int]
    written: int  # how many bytes from the beginning are of blocks that are written to
    size: int  # of all


class Sealed(Struct, frozen=True):
    """What there is of the heap at the freeze point."""

    blocks: list[Block]  # all there are, if they were recorded
    placed: int  # how many are where it was planned


class Library(Struct, frozen=True):
    """Makes the library that a program is started with, in a folder."""

    folder: Path
    chance: bytes  # what both starts have of it

    def recording(self) -> Path:
        """Compile it for the first start."""
        return self._compiled(f"-DRECORDS={_RECORDS}")

    def planned(self, plan: Plan) -> Path:
        """Compile it for the second start."""
        file = self.folder / "plan.h"
        file.write_text(_definitions(plan))
        return self._compiled(f'-DPLAN="{file}"')

    def _compiled(self, option: str) -> Path:
        file = self.folder / "chance.h"
        file.write_text(f"#define CHANCE_BYTES {', '.join(map(str, self.chance))}\n")
        options = (*cc.LIBRARY, option, f'-DCHANCE="{file}"')
        return cc.compiled(_SOURCES, self.folder / "heap.so", *options)


def library(folder: Path, chance: Chance) -> Library:
    """The library of one build."""
    return Library(folder, chance.bytes(_CHANCE))


def seal(tracee: Tracee) -> Sealed:
    """Have what the program allocates from now on be new, and see what it has allocated."""
    names = (_IS_FROZEN, _PLACED, _COUNTS, _COUNTS_SIZE)
    found = symbols.addresses(tracee.pid, procfs.mappings(tracee.pid), names)
    if not {*names} <= found.keys():
        return Sealed([], 0)  # where the library lies, nothing may be executed
    tracee.write(found[_IS_FROZEN], (1).to_bytes(4, "little"))
    counts, size = (tracee.read_integer(found[name]) for name in (_COUNTS, _COUNTS_SIZE))
    if not counts:
        return Sealed([], 0)  # nothing has been allocated
    blocks = []
    if size > _COUNTERS_SIZE:
        records = _RECORD.iter_unpack(tracee.read(counts + _COUNTERS_SIZE, size - _COUNTERS_SIZE))
        blocks = sorted(Block(*fields) for fields in records if fields[0])
    instruction = ptrace.get_registers(tracee.pid).rip - len(SYSCALL_INSTRUCTION)
    tracee.call(instruction, linux.SYS_MUNMAP, counts, _whole_pages(size))
    return Sealed(blocks, tracee.read_integer(found[_PLACED], 4))


def plan(blocks: Sequence[Block], profile: Profile) -> Plan:
    """Put together what is written to, and what is only read, each in the order of first use.

    `blocks` are in the order of their addresses.
    """
    written = _touched(blocks, profile.writes)
    read = _touched(blocks, profile.reads)
    offsets = {}
    end = 0
    for block in written:
        offsets[block] = end
        end += block.size
    end = offset = _whole_pages(end)
    for block in read:
        if block not in written:
            offsets[block] = offset
            offset += block.size
    return Plan(offsets, end, _whole_pages(offset))


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


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
    """The plan in C: the places by context and then by ordinal, and where each context begins."""
    by_context = sorted(plan.offsets, key=lambda block: (block.context, block.ordinal))
    counts = Counter(block.context for block in by_context)
    starts = [0, *accumulate(counts[context] for context in range(_CONTEXTS))]
    places = [f"{{{it.ordinal}, {plan.offsets[it]}, {it.size_class}}}," for it in by_context]
    return "\n".join(
        (
            f"#define PLANNED {plan.size or PAGE}",
            *("static const struct place plan[] = {", *places, "{0, 0, 0}};"),
            f"static const uint32_t plan_start[] = {{{', '.join(map(str, starts))}}};\n",
        )
    )
