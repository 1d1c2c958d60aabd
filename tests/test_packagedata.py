"""Files that a program keeps in memory, when their folder is gone.

That a built program finds its templates is tested in test_pinboard.py.
"""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi.packagedata import Kept

ROOT = Path(__file__).parent.parent
PAGE = "shop/templates/page.html"
TEXT = "<p>\N{SNOWMAN}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that was beside a program."""
    return tmp_path / "program.dist"


@pytest.fixture
def kept(folder: Path) -> Kept:
    for name in (PAGE, "shop/empty", "shop/module.so", "libshop.so.1", "program"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT if name == PAGE else "")
    os.utime(folder / PAGE, (7.25, 7.25))
    result = Kept(str(folder), str(folder / "program"))
    shutil.rmtree(folder)
    return result


def test_what_is_no_code_is_kept(kept: Kept) -> None:
    assert kept.contents == {PAGE: TEXT.encode(), "shop/empty": b""}


def test_a_file_is_read_as_ever(kept: Kept, folder: Path) -> None:
    for path in (str(folder / PAGE), folder / PAGE, os.fsencode(folder / PAGE)):
        with kept.open(path, encoding="utf-8") as file:
            assert (file.read(), file.name) == (TEXT, os.fspath(path))
    with kept.open(folder / "shop" / ".." / PAGE, "rb") as file:
        assert file.read() == TEXT.encode()


def test_an_open_file_has_a_descriptor_and_its_time(kept: Kept, folder: Path) -> None:
    with kept.open(folder / PAGE, "rb") as file:
        found = os.fstat(file.fileno())
    assert (found.st_size, found.st_mtime) == (len(TEXT.encode()), 7.25)


def test_files_and_folders_are_found(kept: Kept, folder: Path) -> None:
    found = kept.stat(folder / PAGE)
    assert (found.st_size, found.st_mtime, found.st_mtime_ns) == (7, 7.25, 7_250_000_000)
    assert stat.S_ISREG(found.st_mode)
    assert kept.lstat(folder / PAGE) == found
    assert stat.S_ISDIR(kept.stat(folder).st_mode)
    assert kept.stat(folder / "shop").st_ino != kept.stat(folder / "shop" / "templates").st_ino


def test_everybody_may_read_and_nobody_write(kept: Kept, folder: Path) -> None:
    for path in (folder / PAGE, os.fsencode(folder / PAGE), folder / "shop"):
        assert kept.access(path, os.F_OK)
        assert kept.access(path, os.R_OK, effective_ids=True)
        assert not kept.access(path, os.W_OK)
        assert not kept.access(path, os.R_OK | os.W_OK)
    assert kept.access(folder / "shop", os.X_OK)
    assert not kept.access(folder / PAGE, os.X_OK)
    assert not kept.access(folder / "shop" / "nonesuch", os.F_OK)


def test_folders_are_listed(kept: Kept, folder: Path) -> None:
    assert sorted(kept.listdir(folder / "shop")) == ["empty", "templates"]
    assert kept.listdir(os.fsencode(folder / "shop" / "templates")) == [b"page.html"]


def test_folders_are_scanned(kept: Kept, folder: Path) -> None:
    with kept.scandir(folder / "shop") as entries:
        found = {entry.name: entry for entry in entries}
    assert sorted(found) == ["empty", "templates"]
    empty, templates = found["empty"], found["templates"]
    assert (empty.path, os.fspath(empty)) == (str(folder / "shop" / "empty"),) * 2
    assert (empty.is_file(), empty.is_dir(), empty.is_symlink()) == (True, False, False)
    assert (templates.is_file(), templates.is_dir()) == (False, True)
    assert templates.stat() == kept.stat(folder / "shop" / "templates")
    assert templates.inode() == templates.stat().st_ino
    (page,) = kept.scandir(os.fsencode(folder / "shop" / "templates"))
    assert (page.name, page.path) == (b"page.html", os.fsencode(folder / PAGE))


def test_what_is_not_there_is_missed(kept: Kept, folder: Path) -> None:
    for path in (folder / "shop" / "nonesuch", folder / "shop.html", folder / "shop" / "module.so"):
        with pytest.raises(FileNotFoundError):
            kept.stat(path)
        with pytest.raises(FileNotFoundError):
            kept.lstat(path)
        with pytest.raises(FileNotFoundError):
            kept.open(path)
    with pytest.raises(FileNotFoundError):
        kept.listdir(folder / "nonesuch")
    with pytest.raises(FileNotFoundError):
        kept.scandir(folder / "nonesuch")


def test_nothing_can_be_written(kept: Kept, folder: Path) -> None:
    for mode in ("w", "a", "x", "r+"):
        with pytest.raises(FileNotFoundError):
            kept.open(folder / PAGE, mode)


def test_other_files_are_as_ever(kept: Kept, tmp_path: Path) -> None:
    other = tmp_path / "program.distant"  # begins with the folder's name
    other.mkdir()
    (other / "file").write_text("other")
    with kept.open(other / "file") as file:
        assert file.read() == "other"
    assert kept.listdir(other) == ["file"]
    with kept.scandir(other) as entries:
        assert [entry.path for entry in entries] == [str(other / "file")]
    assert kept.stat(other / "file") == os.stat(other / "file")
    assert kept.access(other / "file", os.R_OK)
    reader, writer = os.pipe()
    assert stat.S_ISFIFO(kept.stat(reader).st_mode)
    os.close(reader)
    kept.open(writer, "w").close()
    with pytest.raises(TypeError):
        kept.open(None)


def test_a_folder_s_name_that_changes_in_memory_does_no_harm(kept: Kept, folder: Path) -> None:
    other = f"/{'x' * (len(str(folder)) - 1)}"
    kept._folder = other  # as the freezer does
    for path in (folder / PAGE, Path(other, PAGE)):
        assert kept.stat(path).st_size == 7


def test_python_s_own_functions_use_it(folder: Path) -> None:
    """In a process of its own, as it is for good."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "x").write_text("content")
    code = """if True:
        import glob, os, shutil, sys
        from pathlib import Path
        from nativecgi import packagedata
        kept = packagedata.Kept(sys.argv[1])
        shutil.rmtree(sys.argv[1])
        packagedata._install(kept)
        path = Path(sys.argv[1], "data", "x")
        with open(path) as file:
            print(file.read(), path.read_text(), path.exists(), os.path.isdir(path.parent))
        print([*path.parent.iterdir()] == [path], os.path.getsize(path), os.access(path, os.R_OK))
        print(os.stat in os.supports_follow_symlinks, os.listdir in os.supports_fd)
        print(os.access in os.supports_effective_ids)
        print([(folders, files) for _folder, folders, files in os.walk(sys.argv[1])])
        print(glob.glob(f"{sys.argv[1]}/*/x") == [str(path)])
        print([*Path(sys.argv[1]).glob("*/x")] == [*Path(sys.argv[1]).rglob("x")] == [path])
    """
    output = subprocess.check_output(
        [sys.executable, "-c", code, folder], env={"PYTHONPATH": str(ROOT)}, text=True
    )
    assert output == (
        "content content True True\nTrue 7 True\nTrue True\nTrue\n"
        "[(['data'], []), ([], ['x'])]\nTrue\nTrue\n"
    )
