"""The wheel: what is in it, and the README's first commands with it, where nothing else is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.readme import build_wheel, start_commands, start_output


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_all_files_of_the_two_packages_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.check_output(
        ["git", "ls-files", "nativecgi", "nativecgi_build"], cwd=ROOT, text=True
    )
    packed = {name for name in names(wheel) if ".dist-info/" not in name}
    assert packed == set(listed.split("\n")) - {""}


def test_the_same_sources_make_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert build_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_the_readmes_first_commands_work_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    venv, here, cache = tmp_path / "venv", tmp_path / "here", tmp_path / "cache"
    here.mkdir()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    links = f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}"
    result = subprocess.run(
        ["sh", "-eu", "-c", start_commands()],
        cwd=here,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PATH": f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PIP_FIND_LINKS": links.strip(),
            "XDG_CACHE_HOME": str(cache),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.replace("\r\n", "\n").rstrip("\n").endswith(start_output().rstrip("\n"))
