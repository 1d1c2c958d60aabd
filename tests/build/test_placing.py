"""Finished programs are put in place at once, with holes, and as their owner wants them."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nativecgi_build.build import placing
from nativecgi_build.build.placing import place_file, place_folder
from tests.checkout import ROOT

MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file with a hole in the middle, and one at the end."""
    path = tmp_path / "built" / "hello"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(2 * MEBIBYTE)
        file.write(b"end")
        file.truncate(4 * MEBIBYTE)
    path.chmod(0o755)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where it is wanted."""
    return tmp_path / "cgi-bin" / "hello"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_copy_has_the_same_bytes_and_holes(program: Path, target: Path) -> None:
    place_file(program, target)
    assert target.read_bytes() == program.read_bytes()
    assert target.stat().st_blocks == program.stat().st_blocks
    assert target.stat().st_blocks * 512 < MEBIBYTE


def test_a_copy_is_not_in_the_page_cache() -> None:
    """What is, is in small pieces; so the first start is to read it back, in huge ones."""
    if shutil.which("fincore") is None:
        pytest.skip("there is no fincore (of util-linux)")
    # On this project's file system: a temporary one may have nothing but the page cache.
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        program, target = Path(folder, "built"), Path(folder, "placed")
        program.write_bytes(os.urandom(MEBIBYTE))
        place_file(program, target)
        command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(target)]
        assert int(subprocess.check_output(command)) == 0


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o755), (0o027, 0o750), (0o077, 0o700)])
def test_a_new_program_s_mode_is_what_the_umask_leaves(
    program: Path, target: Path, umask: int, expected: int
) -> None:
    os.umask(umask)
    place_file(program, target)
    assert mode(target) == expected


def test_what_is_no_program_is_not_to_be_executed(program: Path, target: Path) -> None:
    program.chmod(0o600)
    place_file(program, target)
    assert mode(target) == 0o644


def test_a_program_that_is_replaced_leaves_its_mode_and_its_owner(
    program: Path, target: Path
) -> None:
    place_file(program, target)
    target.chmod(0o711)  # as docs/security.md advises
    if os.geteuid() == 0:
        os.chown(target, 65534, 65534)
    program.write_bytes(b"new")
    owner = target.stat().st_uid
    place_file(program, target)
    assert (target.read_bytes(), mode(target)) == (b"new", 0o711)
    assert target.stat().st_uid == owner


def test_a_file_that_nobody_could_execute_leaves_no_mode(program: Path, target: Path) -> None:
    target.parent.mkdir()
    target.touch(0o600)
    place_file(program, target)
    assert mode(target) == 0o755


def test_a_copy_that_is_there_is_left_alone(program: Path, target: Path) -> None:
    place_file(program, target)
    before = target.stat().st_ino
    place_file(program, target)
    assert target.stat().st_ino == before
    target.write_bytes(b"something else")
    place_file(program, target)
    assert target.read_bytes() == program.read_bytes()


def test_a_copy_that_fails_leaves_the_older_one(program: Path, target: Path) -> None:
    place_file(program, target)
    program.unlink()
    with pytest.raises(OSError, match="No such file"):
        placing._replace(program, target, None, None)
    assert [path.name for path in target.parent.iterdir()] == ["hello"]


def test_a_folder_gives_way_to_a_file_and_a_file_to_a_folder(
    tmp_path: Path, program: Path, target: Path
) -> None:
    unfrozen = tmp_path / "hello.dist" / "hello.bin"
    unfrozen.parent.mkdir()
    unfrozen.write_text("unfrozen")
    for _time in range(2):
        place_folder(unfrozen, target)
        assert (target.is_symlink(), target.read_text()) == (True, "unfrozen")
        place_file(program, target)
        assert [path.name for path in target.parent.iterdir()] == ["hello"]
        assert not target.is_symlink()


def test_a_folder_of_that_name_that_is_somebody_else_s_stays(program: Path, target: Path) -> None:
    others = target.with_name("hello.dist") / "file"
    others.parent.mkdir(parents=True)
    others.touch()
    place_file(program, target)
    assert others.exists()


# --- make install ---


def install(source: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", placing.__name__, str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_programs_are_installed_with_their_modes_and_nothing_else_is(
    program: Path, target: Path
) -> None:
    program.chmod(0o750)
    for name, its_mode in (("notes.txt", 0o644), (".hello.new", 0o755)):
        program.with_name(name).touch(its_mode)
    assert install(program.parent, target.parent).returncode == 0
    assert [(path.name, mode(path)) for path in target.parent.iterdir()] == [("hello", 0o750)]


def test_what_is_not_one_file_is_not_installed(program: Path, target: Path) -> None:
    program.with_name("other").symlink_to("other.dist/other.bin")
    result = install(program.parent, target.parent)
    assert result.returncode == 1
    assert "Not frozen, so not one file each: other." in result.stderr
    assert not target.exists()


def test_a_folder_that_may_not_be_written_to_is_named(program: Path, target: Path) -> None:
    target.parent.write_text("no folder")
    result = install(program.parent, target.parent)
    assert result.returncode == 1
    assert "hello was not installed: " in result.stderr
    assert str(target.parent) in result.stderr
