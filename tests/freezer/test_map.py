"""`freezer --map`: what an image's memory was mapped from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.mapfile import map_file
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.snapshot import Region


def test_pages_of_zeros_do_not_count() -> None:
    mapping = Mapping(0x1000, 0x5000, "rw-p", 0, "/program")
    memory = [Region(0x1000, "rw-", bytes(PAGE) + b"x" * PAGE), Region(0x4000, "rw-", b"x" * PAGE)]
    assert map_file([mapping], memory) == f"{2 * PAGE}\t/program\n"


def test_what_is_not_in_the_image_has_no_line() -> None:
    mappings = [Mapping(0x1000, 0x2000, "r--p", 0, "/one"), Mapping(0x7000, 0x8000, "---p", 0, "")]
    assert map_file(mappings, [Region(0x1000, "r--", b"x" * PAGE)]) == f"{PAGE}\t/one\n"


def test_the_program_and_its_libraries_are_named(
    compiled: Callable[..., Path], freeze: Callable[..., object], tmp_path: Path
) -> None:
    program = compiled("hello.c")
    freeze(program, output=tmp_path / "image", options=("--map", str(tmp_path / "map")))
    lines = [line.split("\t") for line in (tmp_path / "map").read_text().splitlines()]
    paths = {Path(path).name for _size, path in lines}
    assert {program.name, "libc.so.6"} <= paths
    assert 0 < sum(int(size) for size, _path in lines) < (tmp_path / "image").stat().st_size


@pytest.mark.parametrize("option", ["--map", "--debug"])
def test_without_an_image_nothing_is_written(
    compiled: Callable[..., Path], freeze: Callable[..., object], tmp_path: Path, option: str
) -> None:
    image, file = tmp_path / "image", tmp_path / "file"
    image.mkdir()  # where no file can be written
    result = freeze(compiled("hello.c"), output=image, options=(option, str(file)))
    assert "returncode=1" in str(result)
    assert not file.exists()


@pytest.mark.parametrize("option", ["--map", "--debug"])
def test_a_folder_that_is_not_there_is_told(
    compiled: Callable[..., Path], freeze: Callable[..., object], tmp_path: Path, option: str
) -> None:
    file = tmp_path / "none" / "file"
    result = freeze(compiled("hello.c"), output=tmp_path / "image", options=(option, str(file)))
    assert f"there is no folder {file.parent}" in str(result)
