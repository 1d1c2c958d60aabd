"""Tells what makes a program large: `build.py --explain`."""

import marshal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from nativecgi.frozen import learned
from nativecgi.frozen.bytecode import CODE, INDEX
from nativecgi.frozen.closedworld import PACKED

LARGEST = 10

# What the build has put beside a program, for nobody but its start.
_NOT_DATA = (INDEX, CODE, learned.LIST)
OBJECTS = "objects of what is imported, and free memory between them"
GAPS = "gaps between pieces of memory"


def contributors(map_file: Path, folder: Path, size: int) -> dict[str, int]:
    """What is in a program's file, and how many bytes of it.

    `map_file` is the freezer's (mapfile.py), `folder` what it was frozen from, as it was
    packed (packing.py), and `size` the file's.
    """
    mapped = _mapped(map_file)
    kept = _kept(folder, {Path(path).name for path in mapped if path})
    found: Counter[str] = Counter()
    for path, bytes_mapped in mapped.items():
        if Path(path).is_absolute():
            found[_name(path)] += bytes_mapped
    # What is kept is objects, too.
    found[OBJECTS] = mapped.total() - found.total() - kept.total()
    found.update(kept)
    found[GAPS] = size - found.total()
    return dict(found)


def table(program: str, parts: Mapping[str, int]) -> Table:
    """The largest parts of a program, a row each."""
    result = Table(program, "MB", box=None)
    largest = Counter(parts).most_common(LARGEST)
    rest = sum(parts.values()) - sum(size for _name, size in largest)
    for name, size in [*largest, ("all else", rest)]:
        result.add_row(name, f"{size / 1e6:.1f}")
    return result


def _mapped(map_file: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for line in map_file.read_text().splitlines():
        size, path = line.split("\t")
        sizes[path] += int(size)
    return sizes


def _name(path: str) -> str:
    name = Path(path).name
    return f"{name}: Python itself and what is compiled" if name.endswith(".bin") else name


def _kept(folder: Path, mapped: set[str]) -> Counter[str]:
    """What a program has in its memory as it is in files: extension modules, bytecode and data."""
    sizes: Counter[str] = Counter()
    for path in filter(Path.is_file, folder.rglob("*")):
        name = path.name
        package = path.relative_to(folder).parts[0]
        if name.endswith(PACKED):
            library = name.removesuffix(PACKED)
            if library not in mapped:
                sizes[f"{library}, compressed: nothing has imported it yet"] += path.stat().st_size
        elif ".so" not in path.suffixes and name not in _NOT_DATA and name not in mapped:
            sizes[f"{package}: data files"] += path.stat().st_size
    for name, _is_package, _size, packed in marshal.loads((folder / INDEX).read_bytes()):
        package = name.partition(".")[0]
        owner = "the standard library" if package in sys.stdlib_module_names else package
        sizes[f"{owner}: bytecode, compressed"] += len(packed)
    return sizes
