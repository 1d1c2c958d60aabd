"""What a program was made from: which files count, and when one has changed."""

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build import sources
from nativecgi_build.sources import CHANGED, MISSING, Baseline, Opened, digest, read_by

# --- digests ---


def test_a_file_that_has_changed_come_or_gone_is_told(tmp_path: Path) -> None:
    same, edited, removed, new = (tmp_path / name for name in ("same", "edited", "removed", "new"))
    for path in (same, edited, removed):
        path.write_text("before")
    recorded = sources.digests([same, edited, removed, new])
    assert sources.changed(recorded) == []
    edited.write_text("behind")
    removed.unlink()
    new.touch()
    assert sources.changed(recorded) == [str(edited), str(removed), str(new)]


def test_a_folder_s_digest_is_of_its_names_alone(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("before")
    before = digest(tmp_path)
    (tmp_path / "one").write_text("after")
    (tmp_path / "__pycache__").mkdir()
    assert digest(tmp_path) == before
    (tmp_path / "two").touch()
    assert digest(tmp_path) != before


def test_what_is_no_file_does_not_keep_a_build_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert digest(tmp_path / "pipe") == digest(tmp_path / "nonesuch") == MISSING


# --- before and after a step of the build ---


@pytest.fixture
def changed_meanwhile(tmp_path: Path) -> Callable[..., str]:
    """The digest that a file gets which is written to after the baseline was taken."""

    def change(*, is_known: bool, moved: bool = False) -> str:
        path, other = tmp_path / "source.py", tmp_path / "other.py"
        path.write_text("before")
        other.write_text("after")
        os.utime(other, (1, 1))
        time.sleep(0.02)  # the file system's clock has ticks
        baseline = Baseline([path] if is_known else [], tmp_path)
        if moved:
            other.replace(path)
        else:
            path.write_text("after")
        return baseline.recorded([path])[str(path)]

    return change


def test_a_known_source_has_the_digest_of_before(
    changed_meanwhile: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "as before").write_text("before")
    assert changed_meanwhile(is_known=True) == digest(tmp_path / "as before")


@pytest.mark.parametrize("moved", [False, True])
def test_another_one_that_was_saved_or_moved_meanwhile_is_told(
    changed_meanwhile: Callable[..., str], moved: bool
) -> None:
    assert changed_meanwhile(is_known=False, moved=moved) == CHANGED


def test_another_one_that_was_not_is_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "source.py"
    path.write_text("text")
    time.sleep(0.02)
    baseline = Baseline([], tmp_path)
    none = tmp_path / "nonesuch"
    assert baseline.recorded([path, none]) == {str(path): digest(path), str(none): MISSING}


# --- Nuitka's report ---


def test_a_module_that_nuitka_has_made_up_is_no_source(tmp_path: Path) -> None:
    """A program with multiprocessing, as asyncio is, gets some that are no files."""
    real, report = tmp_path / "real.py", tmp_path / "report.xml"
    real.touch()
    paths = (real, tmp_path / "__parents_main__-preLoad.py", tmp_path)  # a namespace package
    modules = "".join(f'<module source_path="{path}"/>' for path in paths)
    report.write_text(f"<report>{modules}</report>")
    assert sources.compiled_from(report, {}) == [real]


def test_files_in_all_folders_that_nuitka_has_names_for_are_sources(tmp_path: Path) -> None:
    """A script's copy is in the folder that Nuitka runs in, Python's modules are in another."""
    prefixes = {"${cwd}": tmp_path / "work", "${sys.real_prefix}": tmp_path / "usr"}
    expected = [folder / "a" / "module.py" for folder in prefixes.values()]
    for path in expected:
        path.parent.mkdir(parents=True)
        path.touch()
    text = "".join(f'<module source_path="{name}/a/module.py"/>' for name in prefixes)
    (tmp_path / "report.xml").write_text(f"<report>{text}</report>")
    assert sources.compiled_from(tmp_path / "report.xml", prefixes) == sorted(expected)


# --- what a program reads on its way to the freeze point ---


@pytest.fixture
def opened_by(tmp_path: Path) -> Callable[[str], Opened]:
    """What a program opens, by the recorder in a process of its own."""

    def run(code: str) -> Opened:
        recorder = str(Path(sources.__file__).with_name("build") / "opened.py")
        before = f"import runpy; opened = runpy.run_path({recorder!r})['opened']\n"
        after = "\nimport json; print(json.dumps(opened()))"
        command = [sys.executable, "-c", before + code + after]
        return Opened(**json.loads(subprocess.check_output(command, cwd=tmp_path)))

    return run


@pytest.mark.parametrize(
    "code",
    [
        "open('data')",
        "open(b'data', 'rb')",
        "import pathlib; pathlib.Path('data').read_text()",
        "import os; os.open('data', os.O_RDONLY)",
        "import sys; sys.path.insert(0, ''); import module",
        "import sqlite3; sqlite3.connect('data')",
        "import sqlite3; sqlite3.connect('file:data?mode=ro', uri=True)",
    ],
)
def test_what_is_read_is_a_source(
    opened_by: Callable[[str], Opened], tmp_path: Path, code: str
) -> None:
    name = "module.py" if "module" in code else "data"
    (tmp_path / name).touch()
    for _time in range(2):  # the second time there is bytecode
        assert str(tmp_path / name) in read_by(opened_by(code), tmp_path / "scratch")


def test_what_was_looked_for_in_vain_is_a_source(
    opened_by: Callable[[str], Opened], tmp_path: Path
) -> None:
    opened = opened_by("try:\n    open('settings.toml')\nexcept FileNotFoundError: pass")
    assert str(tmp_path / "settings.toml") in read_by(opened, tmp_path / "scratch")


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.listdir('posts')",
        "import glob; glob.glob('posts/*')",
        "import pathlib; list(pathlib.Path('posts').iterdir())",
        "import os; list(os.walk('.'))",
        "import os; os.chdir('posts'); os.listdir()",
    ],
)
def test_a_folder_whose_files_are_listed_is_a_source(
    opened_by: Callable[[str], Opened], tmp_path: Path, code: str
) -> None:
    (tmp_path / "posts").mkdir()
    assert str(tmp_path / "posts") in read_by(opened_by(code), tmp_path / "scratch")


def test_a_folder_that_a_module_is_looked_for_in_is_none(
    opened_by: Callable[[str], Opened], tmp_path: Path
) -> None:
    (tmp_path / "module.py").touch()
    code = "import sys; sys.path.insert(0, '.'); import module"
    assert str(tmp_path) not in opened_by(code).listed


@pytest.mark.parametrize(
    "code",
    [
        "open('log', 'a')",
        "open('log', 'w').close(); open('log').read()",
        "import sqlite3; sqlite3.connect('log').executescript('create table t (x)')",
        "import tempfile; tempfile.NamedTemporaryFile(dir='.')",
        "import os; os.listdir('/tmp'); open('/proc/self/maps'); open('/dev/null')",
        "open('scratch/x', 'w').close(); open('scratch/x')",
    ],
)
def test_what_a_program_makes_itself_or_what_changes_by_itself_is_none(
    opened_by: Callable[[str], Opened], tmp_path: Path, code: str
) -> None:
    (tmp_path / "scratch").mkdir()
    before = set(read_by(opened_by("import glob, os, sqlite3, tempfile"), tmp_path / "scratch"))
    assert set(read_by(opened_by(code), tmp_path / "scratch")) <= before


def test_a_program_in_a_folder_that_is_gone_is_not_disturbed(
    opened_by: Callable[[str], Opened], tmp_path: Path
) -> None:
    code = "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.listdir()"
    assert str(tmp_path / "gone") not in opened_by(code).listed


def test_a_path_that_is_no_text_can_be_told_of_all_the_same() -> None:
    recorder = runpy.run_path(str(Path(sources.__file__).with_name("build") / "opened.py"))
    assert recorder["_text"]({"/a", "/\udcff", "/b\n"}) == ["/a"]
