"""The Pythons that test_freezer_python.py freezes a program in."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import pythons

SHOWN = """
import importlib.metadata, sys
import msgspec, multipart
print("{}.{}".format(*sys.version_info))
for name in ("msgspec", "multipart"):
    print(f"{name}=={importlib.metadata.version(name)}")
"""


@pytest.mark.parametrize("version", pythons.VERSIONS)
def test_each_has_what_programs_are_built_from(version: str) -> None:
    if pythons.find(version) is None:
        pytest.skip(f"there is no python{version}: no program is tested in it")
    command: list[Path | str] = [pythons.environment(version), "-I", "-c", SHOWN]
    shown, *packages = subprocess.check_output(command, text=True).splitlines()
    assert shown == version
    assert set(packages) <= set((pythons.ROOT / "requirements.txt").read_text().splitlines())


def test_the_one_that_runs_the_tests_is_among_them() -> None:
    assert pythons.THIS in pythons.VERSIONS
    assert pythons.environment(pythons.THIS) == Path(sys.executable)


def test_one_that_is_not_there_is_not_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert pythons.find("3.99") is None
    with pytest.raises(LookupError):
        pythons.environment("3.99")


def test_a_command_that_is_another_version_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a shim of pyenv's is, for a version that is not chosen."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'bin'}")
    for folder, printed in (("shims", "none chosen"), ("bin", "3.98")):
        command = tmp_path / folder / "python3.98"
        command.parent.mkdir()
        command.write_text(f"#!/bin/sh\necho {printed}\n")
        command.chmod(0o755)
    assert pythons.find("3.98") == tmp_path / "bin" / "python3.98"
