"""Writes a snapshot as an executable file.

The file begins with the few pages that hold the ELF headers and the thaw stub; the memory of
the process follows, piece by piece. Every segment is as long in memory as in the file: what the
kernel does with a longer one has changed between versions, so the stub maps zeros itself.
"""

import os
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from freezer import elf, thaw
from freezer.elf import Segment
from freezer.errors import CannotFreeze
from freezer.linux import HUGE_PAGE, PAGE
from freezer.segments import common_permissions, grouped, merged, split
from freezer.snapshot import Region, Snapshot

_MODE = 0o755
_STUB_ALIGNMENT = 16


def write(
    path: Path, snapshot: Snapshot, stub_address: int, written_to: Iterable[tuple[int, int]] = ()
) -> None:
    """Write the image of `snapshot` to `path`, which is replaced at once or not at all.

    `written_to` are the parts of its memory, as addresses and sizes, that a process is known
    to write to: they are copied from the file at once instead of page by page.
    """
    regions = []
    reservations = list(snapshot.inaccessible)
    for region in merged(snapshot.memory):
        kept, zeros = split(region)
        regions += kept
        reservations += zeros
    # Two program headers are not for memory: the stub's and the one about the stack.
    groups = grouped(regions, elf.MAX_PROGRAM_HEADERS - 2)
    count = len(groups) + 2
    if count > elf.MAX_PROGRAM_HEADERS:
        raise CannotFreeze(
            f"the program has {len(groups)} separate pieces of memory, too many for an ELF file"
        )
    calls = [
        *map(thaw.mapping_call, reservations),
        *(
            thaw.protecting_call(region)
            for group in groups
            for region in group
            if region.permissions != common_permissions(group)
        ),
        *(
            thaw.huge_page_call(region.address, len(region.data))
            for region in regions
            if len(region.data) >= HUGE_PAGE
        ),
        *(thaw.populating_call(address, size) for address, size in written_to),
    ]

    # The headers' size depends on their number alone.
    headers_size = elf.HEADER_SIZE + count * elf.PROGRAM_HEADER_SIZE
    entry = stub_address + _aligned(headers_size, _STUB_ALIGNMENT)
    assembled = thaw.assemble()
    # The program's own calls are the last: a handler of SIGILL that it has is the one that counts.
    calls += [thaw.illegal_instruction_call(assembled, entry), *snapshot.calls]
    stub = thaw.link(assembled, entry, snapshot, calls)
    first = Segment(stub_address, "r-x", 0, _aligned(entry - stub_address + len(stub), PAGE))
    segments = [first]
    for group in groups:
        address, size = group[0].address, group[-1].end - group[0].address
        offset = _offset(segments[-1].offset + segments[-1].size, address, size)
        segments.append(Segment(address, common_permissions(group), offset, size))
    _require_disjoint(segments)
    head = elf.headers(entry, segments).ljust(entry - stub_address, b"\0") + stub
    _replace(path, head, list(zip(segments[1:], groups, strict=True)))


def _offset(free: int, address: int, size: int) -> int:
    """Where in the file a segment goes, at `free` or as soon behind it as it may.

    A large one is placed so that its huge pages are the file's too: those that the page cache
    holds in one piece are then mapped in one piece.
    """
    if size < HUGE_PAGE:
        return free
    return free + (address - free) % HUGE_PAGE


def _require_disjoint(segments: list[Segment]) -> None:
    ordered = sorted(segments, key=lambda segment: segment.address)
    for below, above in pairwise(ordered):
        if below.address + below.size > above.address:
            raise CannotFreeze(f"the program has taken the thaw stub's place at {above.address:#x}")


def _replace(path: Path, head: bytes, parts: list[tuple[Segment, list[Region]]]) -> None:
    """Write beside `path`, then rename: nobody ever sees half an image."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(head)
            for segment, group in parts:
                file.seek(segment.offset)
                file.writelines(region.data for region in group)
            file.flush()
            # The page cache holds in small pieces what it was written in. It is made to forget
            # the file, for the first start to read back in huge pages.
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.fchmod(handle, _MODE)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
