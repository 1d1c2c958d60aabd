"""Writes a snapshot as an executable file.

The file begins with the few pages that hold the ELF headers and the thaw stub; the memory of
the process follows, piece by piece. Every segment is as long in memory as in the file: what the
kernel does with a longer one has changed between versions, so the stub maps zeros itself.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from nativecgi_build.freezer import elf, thaw
from nativecgi_build.freezer.elf import Segment
from nativecgi_build.freezer.errors import CannotFreeze
from nativecgi_build.freezer.linux import HUGE_PAGE, PAGE
from nativecgi_build.freezer.segments import common_permissions, grouped, merged, runs, split
from nativecgi_build.freezer.snapshot import Region, Snapshot, Touch

_MODE = 0o777  # but for what the umask takes
_STUB_ALIGNMENT = 16


def write(path: Path, snapshot: Snapshot, stub_address: int, touches: Sequence[Touch] = ()) -> None:
    """Write the image of `snapshot` to `path`, which is replaced at once or not at all.

    `touches` are pages that a process is known to touch: the stub does it first, in this order.
    """
    regions = []
    reservations = list(snapshot.reservations)
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
    areas = list(_areas(groups))
    calls = [
        # Before there are zeros between them, which the kernel would otherwise make in huge pages.
        *(
            thaw.huge_page_call(area[0][0].address, _size(area))
            for area in areas
            if _is_large(area)
        ),
        *map(thaw.mapping_call, reservations),
        *(
            thaw.protecting_call(region)
            for group in groups
            for region in group
            if region.permissions != common_permissions(group)
        ),
    ]

    # The headers' size depends on their number alone.
    headers_size = elf.HEADER_SIZE + count * elf.PROGRAM_HEADER_SIZE
    entry = stub_address + _aligned(headers_size, _STUB_ALIGNMENT)
    assembled = thaw.assemble()
    # The program's own calls are the last: a handler of SIGILL that it has is the one that counts.
    calls += [thaw.illegal_instruction_call(assembled, entry), *snapshot.calls]
    stub = thaw.link(assembled, entry, snapshot, calls, touches)
    first = Segment(stub_address, "r-x", 0, _aligned(entry - stub_address + len(stub), PAGE))
    placed = _placed(areas, free=first.size)
    segments = [first, *(segment for segment, _group in placed)]
    _require_disjoint(segments)
    head = elf.headers(entry, segments).ljust(entry - stub_address, b"\0") + stub
    _replace(path, head, placed)


def _areas(groups: list[list[Region]]) -> Iterator[list[list[Region]]]:
    """The groups that are close to each other in memory."""
    area: list[list[Region]] = []
    for group in groups:
        if area and group[0].address - area[-1][-1].end >= HUGE_PAGE:
            yield area
            area = []
        area.append(group)
    if area:
        yield area


def _size(area: list[list[Region]]) -> int:
    return area[-1][-1].end - area[0][0].address


def _is_large(area: list[list[Region]]) -> bool:
    return _size(area) >= HUGE_PAGE


def _placed(areas: list[list[list[Region]]], free: int) -> list[tuple[Segment, list[Region]]]:
    """Each group with its place in the file, where everything after `free` is free.

    A large area lies in the file as it does in memory, with its huge pages where the file has
    its own: what the page cache holds in one piece is then mapped in one piece. It shares none
    of them with what the kernel reads in small pieces, such as the headers, and the program
    itself reads it in huge ones (thaw.huge_page_call), in the order of their addresses.
    """
    placed: list[tuple[Segment, list[Region]]] = []
    for area in areas:
        if not _is_large(area):
            placed += _at(free, area)
            free += _size(area)
    free = _aligned(free, HUGE_PAGE)
    for area in filter(_is_large, areas):
        free += (area[0][0].address - free) % HUGE_PAGE
        placed += _at(free, area)
        free += _size(area)
    return placed


def _at(offset: int, area: list[list[Region]]) -> Iterator[tuple[Segment, list[Region]]]:
    """The groups of an area that begins at an offset in the file."""
    start = area[0][0].address
    for group in area:
        address, size = group[0].address, group[-1].end - group[0].address
        place = offset + address - start
        yield Segment(address, common_permissions(group), place, size), group


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
                offset = segment.offset
                for region in group:
                    _write(file, offset, region.data)
                    offset += len(region.data)
            # The kernel reads no page in a huge one that reaches beyond the end.
            end = max((segment.offset + segment.size for segment, _group in parts), default=0)
            file.truncate(_aligned(max(end, len(head)), HUGE_PAGE))
            file.flush()
            # The page cache holds in small pieces what it was written in. It is made to forget
            # the file, for the first start to read back in huge pages.
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.fchmod(handle, _MODE & ~_umask())
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _write(file: BinaryIO, offset: int, data: bytes) -> None:
    """Write data without its pages of zeros: as holes they take no room, and no time to be read."""
    for start, end in runs(data, are_zero=False):
        file.seek(offset + start)
        file.write(memoryview(data)[start:end])


def _umask() -> int:
    umask = os.umask(0o077)  # the only way to learn it is to set another
    os.umask(umask)
    return umask


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
