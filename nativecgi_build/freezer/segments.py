"""From a process's memory to the parts of its image: what the file contains, what is mapped."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.snapshot import Region, Reservation

# A run of zeros is left out of the file, for the thaw to map, from this size on. A mapping more
# costs every start about 4 us: one itself, one for the segment that it cuts in two. Zeros in
# the file cost nothing but (sparse) file size.
ZERO_RUN = 1024 * 1024

_ZERO_PAGE = bytes(PAGE)


def merged(regions: Iterable[Region]) -> Iterator[Region]:
    """Join neighbours, in order of address: every mapping costs each start about 2 us.

    All that is not writable goes together and is executable if any of it was: a library's
    headers, code, constants and relocated data become one. Nothing is ever both writable and
    executable unless it was.
    """
    group: list[Region] = []
    for region in sorted(regions, key=lambda region: region.address):
        if group and (group[-1].end != region.address or not _fit(group[-1], region)):
            yield _joined(group)
            group = []
        group.append(region)
    if group:
        yield _joined(group)


def split(region: Region) -> tuple[list[Region], list[Reservation]]:
    """Take a region's long runs of zero pages out of it, unless it has code.

    Code in one piece is mapped in huge pages: that it was cut in three took a fifth of a start.
    """
    if "x" in region.permissions:
        return [region], []
    kept, zeros, start = [], [], 0
    for first, end in runs(region.data, are_zero=True):
        if end - first >= ZERO_RUN:
            if first > start:
                kept.append(_part(region, start, first))
            zeros.append(Reservation(region.address + first, region.permissions, end - first))
            start = end
    if start < len(region.data):
        kept.append(_part(region, start, len(region.data)))
    return kept, zeros


def grouped(regions: Iterable[Region], count: int) -> list[list[Region]]:
    """Put neighbours together until there are `count` groups, or as few as there can be.

    A group is one segment of the file. What it costs a start to part it again into memory of
    different permissions is what the segments would have cost.
    """
    groups = [[region] for region in sorted(regions, key=lambda region: region.address)]
    surplus = len(groups) - count
    kept = groups[:1]
    for group in groups[1:]:
        if surplus > 0 and kept[-1][-1].end == group[0].address:
            kept[-1] += group
            surplus -= 1
        else:
            kept.append(group)
    return kept


def common_permissions(group: list[Region]) -> str:
    """What a segment of these regions is mapped with: never writable unless all of it is."""
    first = group[0].permissions
    if all(region.permissions == first for region in group):
        return first
    return "r-x" if any("x" in region.permissions for region in group) else "r--"


def runs(data: bytes, *, are_zero: bool) -> Iterator[tuple[int, int]]:
    """The offsets at which runs of whole pages that are zeros, or not, start and end."""
    pages = groupby(range(0, len(data), PAGE), lambda page: data[page : page + PAGE] == _ZERO_PAGE)
    for is_zero, run in pages:
        if is_zero == are_zero:
            offsets = list(run)
            yield offsets[0], offsets[-1] + PAGE


def _fit(first: Region, second: Region) -> bool:
    if "w" in first.permissions or "w" in second.permissions:
        return first.permissions == second.permissions
    return True


def _joined(group: list[Region]) -> Region:
    permissions = "".join(
        letter if any(letter in region.permissions for region in group) else "-" for letter in "rwx"
    )
    return Region(group[0].address, permissions, b"".join(region.data for region in group))


def _part(region: Region, start: int, end: int) -> Region:
    return Region(region.address + start, region.permissions, region.data[start:end])
