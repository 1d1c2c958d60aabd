"""The command line: what is said of it, and what it passes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi_build.cli import _repeated


def nativecgi(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "nativecgi_build", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("build a -o dist", "build a -o dist"),
        ("build --script a.cgi b.cgi -o dist", "build --script a.cgi --script b.cgi -o dist"),
        ("build --script a.cgi --script b.cgi", "build --script a.cgi --script b.cgi"),
        ("build a --script b.cgi --again c", "build a --script b.cgi --again c"),
    ],
)
def test_an_option_takes_all_files_up_to_the_next_option(given: str, expected: str) -> None:
    assert list(_repeated("--script", given.split())) == expected.split()


def test_the_version_is_that_of_the_distribution() -> None:
    result = nativecgi("--version")
    assert (result.returncode, result.stdout) == (0, "nativecgi 0.1.0\n")


def test_a_wrong_option_is_status_2() -> None:
    result = nativecgi("build", "--nonesuch")
    assert result.returncode == 2
    assert "--nonesuch" in result.stderr
