"""Other distributions: the file runs where there is another C library, and where there is nothing.

Nothing is mounted in these root file systems: there is no /proc, and in the empty one no
/dev/urandom.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.portability.running import APPS, assert_answers, output


def test_every_library_does_there_what_it_does_here(
    portable: Path, expected: str, root: Path, folder_within: Path
) -> None:
    shutil.copy(portable, folder_within)
    assert output(["chroot", root, f"/{folder_within.name}/{portable.name}"]) == expected


@pytest.mark.parametrize("name", APPS)
def test_an_app_answers(name: str, cgi_bin: Path, root: Path, folder_within: Path) -> None:
    shutil.copy(cgi_bin / name, folder_within)
    assert_answers(name, ["chroot", root, f"/{folder_within.name}/{name}"])


def probe(name: str, frozen_python: Path, root: Path, folder_within: Path) -> object:
    """What tests/programs/probe.py reports from within the root."""
    shutil.copy(frozen_python, folder_within)
    inside = f"/{folder_within.name}"
    variables = {"PROBE": name, "REPORT": f"{inside}/report"}
    output(["chroot", root, f"{inside}/{frozen_python.name}"], variables)
    report: object = json.loads((folder_within / "report").read_text())
    return report


def needs_files(root: Path) -> None:
    if not (root / "usr").exists():
        pytest.skip("there is nothing in an empty folder to be found")


def test_a_child_process_runs_with_the_c_library_that_is_there(
    frozen_python: Path, root: Path, folder_within: Path
) -> None:
    needs_files(root)
    found = probe("child", frozen_python, root, folder_within)
    assert isinstance(found, dict)
    assert found["ADDED"] == "after"


def test_users_and_addresses_are_looked_up(
    frozen_python: Path, root: Path, folder_within: Path
) -> None:
    needs_files(root)
    found = probe("lookups", frozen_python, root, folder_within)
    assert found == ["root", ["127.0.0.1", 80], None]


def test_random_values_need_no_device(frozen_python: Path, root: Path, folder_within: Path) -> None:
    one = probe("chance", frozen_python, root, folder_within)
    assert one != probe("chance", frozen_python, root, folder_within)
