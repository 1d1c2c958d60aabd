"""The image heap (heap.c): compiled for a program, read at its freeze point, planned for it."""

import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import cc, linux, procfs, ptrace, symbols
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.snapshot import Region
from nativecgi_build.freezer.tracee import SYSCALL_INSTRUCTION, Tracee
from nativecgi_build.freezer.watch import Area, Touched

_SOURCES = [Path(__file__).with_name(name) for name in ("heap.c", "again.c")]
_CHANCE = 16 * 1024  # bytes that a program may draw on its way and has again at each start
# As in heap.c.
_GRANULE, _CONTEXTS = 16, 2**14
_RECORD = struct.Struct("<QHHI")  # address, context, class, ordinal
_COUNTERS_SIZE = 2 * 4 * _CONTEXTS  # before the records
_RECORDS = 2**21  # places for them: of blocks that there are at a time
_IS_FROZEN, _START = "image_heap_is_frozen", "image_heap_planned"
_COUNTS, _COUNTS_SIZE = "image_heap_counts", "image_heap_counts_size"
_MOST_APART = 2**14  # blocks: of 64 MiB


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


Plan = Mapping[Block, int]  # where blocks go: the offset of each


class Sealed(Struct, frozen=True):
    """What there is of the heap at the freeze point."""

    blocks: Sequence[Block] = ()  # all there are, if they were recorded
    start: int = 0  # where the planned ones are


class Library(Struct, frozen=True):
    """Makes the library that a program is started with, in a folder."""

    folder: Path
    chance: bytes  # what all starts have of it

    def recording(self) -> Path:
        """Compile it for a start that tells which blocks there are."""
        return self._compiled(f"-DRECORDS={_RECORDS}")

    def planned(self, plan: Plan) -> Path:
        """Compile it for a start with blocks where they are planned."""
        file = self.folder.absolute() / "plan.h"
        file.write_text(_definitions(plan))
        return self._compiled(f'-DPLAN="{file}"')

    def _compiled(self, option: str) -> Path:
        file = self.folder.absolute() / "chance.h"
        file.write_text(f"#define CHANCE_BYTES {', '.join(map(str, self.chance))}\n")
        options = (*cc.LIBRARY, option, f'-DCHANCE="{file}"')
        return cc.compiled(_SOURCES, self.folder / "heap.so", *options)


def library(folder: Path, chance: Chance) -> Library:
    """The library of one build."""
    return Library(folder, chance.bytes(_CHANCE))


def seal(tracee: Tracee) -> Sealed:
    """Have what the program allocates from now on be new, and see what it has allocated."""
    names = (_IS_FROZEN, _START, _COUNTS, _COUNTS_SIZE)
    found = symbols.addresses(tracee.pid, procfs.mappings(tracee.pid), names)
    if not {*names} <= found.keys():
        return Sealed()  # where the library lies, nothing may be executed
    tracee.write(found[_IS_FROZEN], (1).to_bytes(4, "little"))
    start, counts, size = (
        tracee.read_integer(found[name]) for name in (_START, _COUNTS, _COUNTS_SIZE)
    )
    if not counts:
        return Sealed((), start)  # nothing has been allocated
    records = tracee.read(counts + _COUNTERS_SIZE, size - _COUNTERS_SIZE)
    blocks = sorted(Block(*fields) for fields in _RECORD.iter_unpack(records) if fields[0])
    instruction = ptrace.get_registers(tracee.pid).rip - len(SYSCALL_INSTRUCTION)
    tracee.call(instruction, linux.SYS_MUNMAP, counts, _whole_pages(size))
    return Sealed(blocks, start)


def areas(blocks: Sequence[Block], memory: Iterable[Region]) -> list[Area]:
    """The parts of a program's memory that blocks are in; these are in the order of addresses."""
    starts = [block.address for block in blocks]
    return [
        (region.address, region.end)
        for region in memory
        if "w" in region.permissions
        and bisect_left(starts, region.address) < bisect_left(starts, region.end)
    ]


def apart(blocks: Sequence[Block], touched: Touched) -> Plan:
    """A page for each block that is on a page that was touched: to see which block it was."""
    ordered = dict.fromkeys([*touched.written, *touched.read])
    starts = [block.address for block in blocks]
    found: dict[Block, None] = {}
    for page in ordered:
        first = max(bisect_left(starts, page) - 1, 0)
        for block in blocks[first : bisect_left(starts, page + PAGE)]:
            if block.end > page and 0 < block.size <= PAGE:
                found.setdefault(block)
    return {block: index * PAGE for index, block in enumerate([*found][:_MOST_APART])}


def together(plan: Plan, start: int, touched: Touched) -> Plan:
    """What is written to, and then what is only read, each in the order of its first use.

    `plan` had a page for each, from `start` on, of which some were touched.
    """
    by_page = {start + offset: block for block, offset in plan.items()}
    written = [by_page[page] for page in touched.written]
    both = {*touched.written}
    read = [by_page[page] for page in touched.read if page not in both]
    offsets = dict(zip(written, accumulate(_sizes(written), initial=0), strict=False))
    end = _whole_pages(sum(_sizes(written)))
    return offsets | dict(zip(read, accumulate(_sizes(read), initial=end), strict=False))


def _sizes(blocks: Iterable[Block]) -> Iterator[int]:
    return (block.size for block in blocks)


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _definitions(plan: Plan) -> str:
    """The plan in C: the places by context and then by ordinal, and where each context begins."""
    by_context = sorted(plan, key=lambda block: (block.context, block.ordinal))
    counts = Counter(block.context for block in by_context)
    starts = [0, *accumulate(counts[context] for context in range(_CONTEXTS))]
    places = [f"{{{it.ordinal}, {plan[it]}, {it.size_class}}}," for it in by_context]
    size = _whole_pages(max((plan[it] + it.size for it in plan), default=PAGE))
    return "\n".join(
        (
            f"#define PLANNED {size}",
            *("static const struct place plan[] = {", *places, "{0, 0, 0}};"),
            f"static const uint32_t plan_start[] = {{{', '.join(map(str, starts))}}};\n",
        )
    )
