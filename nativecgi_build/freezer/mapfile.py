"""What an image's memory was mapped from, as a text: what a linker's map file is for a program."""

from collections.abc import Iterable, Iterator

from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.snapshot import Region

_ZERO_PAGE = bytes(PAGE)


def map_file(mappings: Iterable[Mapping], memory: Iterable[Region]) -> str:
    """A line for each mapping that an image has: its size, and its file's path or what it is.

    The size is in bytes, and of pages that are not all zeros. The path is empty for memory that
    was not mapped from a file.
    """
    regions = list(memory)
    lines = []
    for mapping in mappings:
        inside = [r for r in regions if mapping.start <= r.address < mapping.end]
        if size := sum(map(_size, inside)):
            lines.append(f"{size}\t{mapping.path}\n")
    return "".join(lines)


def _size(region: Region) -> int:
    return sum(PAGE for page in _pages(region.data) if page != _ZERO_PAGE)


def _pages(data: bytes) -> Iterator[bytes]:
    return (data[start : start + PAGE] for start in range(0, len(data), PAGE))
