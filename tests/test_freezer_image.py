"""The image: one file that runs by itself, wherever a program may run."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

Freeze = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["C", "Python"])
def image(request: pytest.FixtureRequest) -> Path:
    fixture = {"C": "frozen_probe", "Python": "frozen_python"}[request.param]
    path = request.getfixturevalue(fixture)
    assert isinstance(path, Path)
    return path


@pytest.fixture
def run(image: Path, tmp_path: Path) -> Callable[..., None]:
    """Runs the image and sees that it works; it starts threads, which takes memory and stacks."""

    def run_it(*command: "str | Path", report: Path = tmp_path / "report") -> None:
        result = subprocess.run(
            command or [image],
            env={"PROBE": "threads", "REPORT": str(report), "PATH": os.defpath + ":/usr/sbin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")

    return run_it


def segments(image: Path) -> list[tuple[str, int]]:
    with image.open("rb") as file:
        return [(s["p_type"], s["p_flags"]) for s in ELFFile(file).iter_segments()]


def test_it_needs_no_dynamic_linker(image: Path) -> None:
    assert {kind for kind, _flags in segments(image)} == {"PT_LOAD", "PT_GNU_STACK"}


def test_nothing_is_both_writable_and_executable(image: Path) -> None:
    both = P_FLAGS.PF_W | P_FLAGS.PF_X
    assert not [flags for _kind, flags in segments(image) if flags & both == both]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_everybody_may_run_it(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path, umask: int
) -> None:
    image = tmp_path / "image"
    assert freeze(compiled("hello.c"), output=image, umask=umask).returncode == 0
    assert stat.S_IMODE(image.stat().st_mode) == 0o755


def test_it_runs_in_an_empty_root(image: Path, run: Callable[..., None], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may change the root (chroot(2))")
    shutil.copy(image, tmp_path / "image")
    run("chroot", tmp_path, "/image", report=Path("/report"))


@pytest.mark.parametrize("limit", ["-v 65536", "-s unlimited", "-s 256"])
def test_it_runs_under_a_limit(image: Path, run: Callable[..., None], limit: str) -> None:
    shell = ["/bin/sh", "-c", f'ulimit {limit} || exit 77; exec "$0"']
    if subprocess.run([*shell, "true"], check=False).returncode == 77:
        pytest.skip(f"ulimit {limit} is not permitted here")
    run(*shell, image)


@pytest.mark.parametrize("option", ["--addr-no-randomize", "--addr-compat-layout"])
def test_it_runs_with_another_layout_of_memory(
    image: Path, run: Callable[..., None], option: str
) -> None:
    if subprocess.run(["setarch", option, "true"], check=False).returncode:
        pytest.skip(f"setarch {option} is not permitted here")
    run("setarch", option, image)


def test_it_runs_with_closed_standard_streams(image: Path, run: Callable[..., None]) -> None:
    run("/bin/sh", "-c", 'exec "$0" <&- >&- 2>&-', image)


def test_it_says_so_where_memory_does_not_suffice(frozen_probe: Path) -> None:
    """The file's segments have room, but not the 8 MB of the stack."""
    result = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -v 6144; exec "$0"', frozen_probe],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 127
    assert "ulimit -v" in result.stderr
