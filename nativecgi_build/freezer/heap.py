"""The image heap (heap.c): compiled for a program, read at its freeze point, planned for it."""

import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import cc, linux, procfs, ptrace, symbols
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.snapshot import Area, Region
from nativecgi_build.freezer.tracee import SYSCALL_INSTRUCTION, Tracee
from nativecgi_build.freezer.watch import Touched

_SOURCES = [Path(__file__).with_name(name) for name in ("heap.c", "again.c")]
_CHANCE = 16 * 1024  # bytes that a program may draw on its way and has again at each start
# As in heap.c.
_GRANULE, _CONTEXTS = 16, 2**14
_RECORD = struct.Struct("<QHHI")  # address, context, class, ordinal
_COUNTERS_SIZE = 2 * 4 * _CONTEXTS  # before the records
_RECORDS = 2**21  # places for them: of blocks that there are at a time
_SEAL, _START = "image_heap_seal", "image_heap_planned"
_COUNTS, _COUNTS_SIZE = "image_heap_counts", "image_heap_counts_size"
_PLAN, _PLAN_SIZE = "image_heap_plan", "image_heap_plan_size"
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
        for name, text in _definitions(plan).items():
            self.folder.joinpath(name).write_text(text)
        return self._compiled("-DPLAN", f"-I{self.folder.absolute()}")

    def _compiled(self, *options: str) -> Path:
        file = self.folder.absolute() / "chance.h"
        file.write_text(f"#define CHANCE_BYTES {', '.join(map(str, self.chance))}\n")
        options = (*cc.LIBRARY, *options, f'-DCHANCE="{file}"')
        return cc.compiled(_SOURCES, self.folder / "heap.so", *options)


def library(folder: Path, chance: Chance) -> Library:
    """The library of one build."""
    return Library(folder, chance.bytes(_CHANCE))


def seal(tracee: Tracee) -> Sealed:
    """Have what the program allocates from now on be new, and see what it has allocated."""
    names = (_SEAL, _START, _COUNTS, _COUNTS_SIZE, _PLAN, _PLAN_SIZE)
    found = symbols.addresses(tracee.pid, procfs.mappings(tracee.pid), names)
    if not {*names} <= found.keys():
        return Sealed()  # where the library lies, nothing may be executed
    tracee.call_function(found[_SEAL], tracee.scratch())
    start, counts, size, plan, plan_size = (
        tracee.read_integer(found[name]) for name in names if name != _SEAL
    )
    tracee.write(plan, bytes(plan_size))
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


def on_pages(blocks: Sequence[Block], touched: Touched) -> list[Block]:
    """The blocks that are on pages that were touched, those first that are on pages written to."""
    ordered = dict.fromkeys([*touched.written, *touched.read])
    starts = [block.address for block in blocks]
    found: dict[Block, None] = {}
    for page in ordered:
        first = max(bisect_left(starts, page) - 1, 0)
        for block in blocks[first : bisect_left(starts, page + PAGE)]:
            if block.end > page and block.size:
                found.setdefault(block)
    return [*found]


def apart(blocks: Iterable[Block]) -> Plan:
    """A page for each block, if it is not larger: to see which block it is that is touched."""
    small = [block for block in blocks if block.size <= PAGE]
    return {block: index * PAGE for index, block in enumerate(small[:_MOST_APART])}


def at_pages(plan: Plan, start: int, pages: Iterable[int]) -> list[Block]:
    """The blocks that have these pages to themselves, in a plan that begins at `start`."""
    by_page = {start + offset: block for block, offset in plan.items()}
    return [by_page[page] for page in pages]


def together(
    written: Sequence[Block],
    read: Iterable[Block],
    found: Iterable[Block],
    blocks: Iterable[Block],
) -> Plan:
    """What is written to and then what is only read, each in the order of its first use, together.

    Behind them are the large ones of what was `found` on pages that are touched, of which not all
    may be; and before them all others of `blocks`.
    """
    hot = dict.fromkeys(written)
    only_read = [block for block in read if block not in hot]
    large = [block for block in found if block.size > PAGE]
    hot |= dict.fromkeys([*only_read, *large])
    cold = [block for block in blocks if block.size and block not in hot]
    plan: dict[Block, int] = {}
    for part in (cold, written, only_read, large):
        plan |= _in_a_row(part, _whole_pages(_end(plan)))
    return plan


def page_count(blocks: Iterable[Block]) -> int:
    """How many pages these take together."""
    return _whole_pages(sum(block.size for block in blocks)) // PAGE


def _in_a_row(blocks: Sequence[Block], start: int) -> dict[Block, int]:
    offsets = accumulate((block.size for block in blocks), initial=start)
    return dict(zip(blocks, offsets, strict=False))


def _end(plan: Plan) -> int:
    return max((offset + block.size for block, offset in plan.items()), default=0)


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _definitions(plan: Plan) -> dict[str, str]:
    """The plan in C, by the names of files: the places by context and then by ordinal, and where
    each context begins.
    """
    by_context = sorted(plan, key=lambda block: (block.context, block.ordinal))
    counts = Counter(block.context for block in by_context)
    starts = [0, *accumulate(counts[context] for context in range(_CONTEXTS))]
    places = [f"{{{it.ordinal}, {plan[it]}, {it.size_class}}},\n" for it in by_context]
    sizes = {"PLANNED": max(_whole_pages(_end(plan)), PAGE), "PLACES": len(places) + 1}
    return {
        "plan.h": "".join(f"#define {name} {value}\n" for name, value in sizes.items()),
        "places.h": "".join(places),
        "starts.h": ",\n".join(map(str, starts)),
    }
