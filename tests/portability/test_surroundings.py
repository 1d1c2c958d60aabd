"""What a program may find around it: nothing to write to, nothing to write on."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.portability.debian import BUILD
from tests.portability.running import APPS, REQUEST, assert_answers, output

READ_ONLY = "mount -o remount,bind,ro /"
NOEXEC = "mount -t tmpfs -o noexec none /tmp"
# /dev/null alone is left: programs are started with it as standard input.
NO_DEVICES = "mount -t tmpfs none /dev"
NO_PROC = "mount -t tmpfs none /proc"
MOUNTS = {
    "a read-only root": READ_ONLY,
    "a /tmp without programs": NOEXEC,
    "neither /proc nor /dev": f"{NO_PROC}; {NO_DEVICES}",
}


@pytest.fixture(params=MOUNTS)
def among(request: pytest.FixtureRequest, in_own_mounts: Callable[[str], list[str]]) -> list[str]:
    """A command line that runs a program among other mounts."""
    return in_own_mounts(MOUNTS[request.param])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is not in /tmp, as the project itself may be."""
    BUILD.mkdir(exist_ok=True)
    parent = Path("/var/tmp") if BUILD.is_relative_to("/tmp") else BUILD
    with tempfile.TemporaryDirectory(prefix="portability-", dir=parent) as path:
        yield Path(path)


def test_every_library_works_in(
    portable: Path, expected: str, among: list[str], folder: Path
) -> None:
    assert output([*among, shutil.copy(portable, folder)]) == expected


@pytest.mark.parametrize("name", APPS)
def test_an_app_answers_in(name: str, cgi_bin: Path, among: list[str], folder: Path) -> None:
    assert_answers(name, [*among, shutil.copy(cgi_bin / name, folder)], cwd=folder)


def test_the_root_is_read_only_there(
    in_own_mounts: Callable[[str], list[str]], folder: Path
) -> None:
    command = [*in_own_mounts(READ_ONLY), "touch", str(folder / "file")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Read-only file system" in result.stderr


STREAMS = [which for count in (1, 2, 3) for which in combinations((0, 1, 2), count)]


@pytest.mark.parametrize("closed", STREAMS, ids=str)
def test_an_app_answers_where_descriptors_are_closed(
    closed: tuple[int, ...], cgi_bin: Path, tmp_path: Path
) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    answers, errors = tmp_path / "answers", tmp_path / "errors"
    with answers.open("wb") as stdout, errors.open("wb") as stderr:
        result = subprocess.run(
            [cgi_bin / "hello"],
            env=REQUEST,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=close,
            timeout=20,
            check=False,
        )
    assert result.returncode >= 0, "it ended by itself"
    if 1 not in closed:
        assert answers.read_bytes().endswith(b"\r\n\r\nHello world")
        assert errors.read_bytes() == b""
    elif 2 not in closed:
        assert errors.read_bytes().endswith(
            b"could not be written: [Errno 9] Bad file descriptor\n"
        )
