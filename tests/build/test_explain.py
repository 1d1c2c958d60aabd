"""What `build.py --explain` tells: what a program's file holds, and how much of it."""

import marshal
import zlib
from pathlib import Path

import pytest
from rich.console import Console

from nativecgi_build.build.packing import LIST, pack
from nativecgi_build.explain import GAPS, OBJECTS, contributors, table

PYTHON = "shop.bin: Python itself and what is compiled"
CODE = b"code" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program as it is before it is frozen: with a library that is loaded and one that is not."""
    program = tmp_path / "program"
    for name in ("shop.bin", "libx.so.1", "_lazy.so", "shop/static/shop.css"):
        path = program / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 3000)
    listed = [("email", True, CODE), ("email.header", False, CODE), ("flask", True, CODE)]
    (tmp_path / LIST).write_bytes(marshal.dumps(listed))
    pack(program, tmp_path / LIST)
    return program


@pytest.fixture
def parts(folder: Path, tmp_path: Path) -> dict[str, int]:
    lines = {
        f"{folder}/shop.bin": 50_000,
        f"{folder}/libx.so.1": 4096,
        "/usr/lib/libc.so.6": 8192,
        "[heap]": 40_000,
        "": 60_000,
    }
    text = "".join(f"{size}\t{path}\n" for path, size in lines.items())
    (tmp_path / "map").write_text(text + f"10000\t{folder}/shop.bin\n")
    return contributors(tmp_path / "map", folder, 200_000)


def test_the_parts_make_the_whole(parts: dict[str, int]) -> None:
    assert sum(parts.values()) == 200_000
    assert parts[GAPS] == 200_000 - 172_288


def test_what_is_mapped_from_a_file_is_of_that_file(parts: dict[str, int]) -> None:
    assert (parts[PYTHON], parts["libx.so.1"], parts["libc.so.6"]) == (60_000, 4096, 8192)


def test_what_is_not_imported_is_apart(parts: dict[str, int]) -> None:
    packed = len(zlib.compress(b"x" * 3000))
    assert parts["_lazy.so, compressed: nothing has imported it yet"] == packed
    assert not [name for name in parts if name.startswith("libx.so.1,")]


def test_bytecode_is_told_by_package(parts: dict[str, int]) -> None:
    packed = len(zlib.compress(CODE))
    assert parts["the standard library: bytecode, compressed"] == 2 * packed
    assert parts["flask: bytecode, compressed"] == packed


def test_data_files_are_told_by_package(parts: dict[str, int]) -> None:
    assert parts["shop: data files"] == 3000


def test_objects_are_what_memory_holds_beside_that(parts: dict[str, int]) -> None:
    kept = sum(size for name, size in parts.items() if "compressed" in name or "data" in name)
    assert parts[OBJECTS] == 100_000 - kept


def test_the_table_has_the_ten_largest() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table("shop, 1 MB", {f"part {n}": n * 10**6 for n in range(1, 16)}))
    lines = [line.split() for line in capture.get().splitlines()[1:]]
    assert lines[0] == ["part", "15", "15.0"]
    assert len(lines) == 11
    assert lines[-1] == ["all", "else", "15.0"]
