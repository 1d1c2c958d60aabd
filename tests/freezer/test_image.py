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

from nativecgi_build.freezer import CannotFreeze, thaw
from nativecgi_build.freezer.elf import PROGRAM_HEADER_SIZE
from nativecgi_build.freezer.image import write
from nativecgi_build.freezer.linux import HUGE_PAGE, PAGE
from nativecgi_build.freezer.snapshot import Canary, Region, Snapshot

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


def loaded(image: Path) -> list[tuple[int, int, int]]:
    """The segments' addresses, offsets in the file and sizes, in order of address."""
    with image.open("rb") as file:
        found = [s.header for s in ELFFile(file).iter_segments("PT_LOAD")]
    return sorted((s["p_vaddr"], s["p_offset"], s["p_filesz"]) for s in found)


def test_memory_lies_in_the_file_as_in_memory(frozen_python: Path) -> None:
    """So that the page cache's huge pages can be mapped as such."""
    apart = [segment for segment in loaded(frozen_python) if segment[1] >= HUGE_PAGE]
    assert len(apart) > 10
    for address, offset, _size in apart:
        assert offset % HUGE_PAGE == address % HUGE_PAGE


def test_the_headers_share_no_huge_page_with_a_large_segment(frozen_python: Path) -> None:
    """The kernel reads them in small pieces."""
    large = [offset for _address, offset, size in loaded(frozen_python) if size >= HUGE_PAGE]
    assert large
    assert min(large) >= HUGE_PAGE


def test_the_file_ends_with_a_huge_page(image: Path) -> None:
    """The kernel reads none that reaches beyond the end."""
    assert image.stat().st_size % HUGE_PAGE == 0


# What `image.write` makes of a snapshot.


STUB = 0x2000_0000_0000


def snapshot(memory: list[Region]) -> Snapshot:
    return Snapshot(
        registers={},
        memory=memory,
        reservations=[],
        calls=[],
        interrupt_action=None,
        environ_address=0,
        curbrk_address=0,
        tid_address=0,
        id=0,
        letterbox=None,
        canary=Canary(0, ()),
    )


def memory_in(image: Path) -> dict[int, bytes]:
    """What the kernel would map, by address."""
    with image.open("rb") as file:
        return {s["p_vaddr"]: s.data() for s in ELFFile(file).iter_segments("PT_LOAD")}


def test_the_file_holds_the_memory(tmp_path: Path) -> None:
    memory = [
        Region(STUB + 0x1234_5000, "rw-", os.urandom(3 * HUGE_PAGE + PAGE)),
        Region(0x40_0000, "r-x", os.urandom(PAGE)),
        Region(0x7000_0000, "rw-", os.urandom(3 * PAGE)),
        Region(STUB + 0x8000_0000, "r--", os.urandom(HUGE_PAGE)),
    ]
    write(tmp_path / "image", snapshot(memory), STUB)
    found = memory_in(tmp_path / "image")
    stub = found.pop(STUB)
    assert found == {region.address: region.data for region in memory}
    with (tmp_path / "image").open("rb") as file:
        entry = ELFFile(file)["e_entry"]
    assert stub[entry - STUB :].startswith(thaw.assemble().code[:8]), "it starts with the stub"


def test_neighbours_are_joined_where_headers_would_not_fit_into_a_page(tmp_path: Path) -> None:
    permissions = ("r-x", "rw-")
    memory = [
        Region(0x40_0000 + number * PAGE, permissions[number % 2], os.urandom(PAGE))
        for number in range(200)
    ]
    write(tmp_path / "image", snapshot(memory), STUB)
    found = memory_in(tmp_path / "image")
    del found[STUB]
    assert b"".join(found.values()) == b"".join(region.data for region in memory)
    headers = [flags for _kind, flags in segments(tmp_path / "image")]
    assert len(headers) == PAGE // PROGRAM_HEADER_SIZE
    assert P_FLAGS.PF_R | P_FLAGS.PF_W | P_FLAGS.PF_X not in headers


def test_memory_in_the_stub_s_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotFreeze, match=hex(STUB)):
        write(tmp_path / "image", snapshot([Region(STUB, "rw-", os.urandom(PAGE))]), STUB)
    assert not list(tmp_path.iterdir())


def test_more_pieces_of_memory_than_headers_are_refused(tmp_path: Path) -> None:
    """With a hole behind each, none can be joined to its neighbour."""
    page = os.urandom(PAGE)
    memory = [Region(2 * PAGE * number, "rw-", page) for number in range(1, 1200)]
    with pytest.raises(CannotFreeze, match="1199 separate pieces of memory"):
        write(tmp_path / "image", snapshot(memory), STUB)
    assert not list(tmp_path.iterdir())


# Who may run it, and where.


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o027, 0o750), (0o077, 0o700)])
def test_whoever_the_umask_allows_may_run_it(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path, umask: int, mode: int
) -> None:
    image = tmp_path / "image"
    assert freeze(compiled("hello.c"), output=image, umask=umask).returncode == 0
    assert stat.S_IMODE(image.stat().st_mode) == mode


def test_it_runs_in_an_empty_root(image: Path, run: Callable[..., None], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may change the root (chroot(2))")
    shutil.copy(image, tmp_path / "image")
    run("chroot", tmp_path, "/image", report=Path("/report"))


# 80 MiB of addresses: from Python 3.13 on a thread keeps its stack's 8 MiB until it is joined.
@pytest.mark.parametrize("limit", ["-v 81920", "-s unlimited", "-s 256"])
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
