"""Limits of the process (setrlimit(2)), as shared hosts set them, and of its memory cgroup."""

import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.portability.running import APPS, assert_answers, output, run

KIB = 1024
MIB = 1024 * KIB
LIMITS = {
    "64 MiB of address space": (resource.RLIMIT_AS, 64 * MIB),
    "a stack without limit": (resource.RLIMIT_STACK, resource.RLIM_INFINITY),
    "a stack of 256 KiB": (resource.RLIMIT_STACK, 256 * KIB),
    "16 descriptors": (resource.RLIMIT_NOFILE, 16),
}


@pytest.fixture(params=LIMITS)
def limit(request: pytest.FixtureRequest) -> Callable[[], None]:
    """What sets a limit, called in the new process before the program."""
    which, value = LIMITS[request.param]
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY and not 0 <= value <= hard:
        pytest.skip(f"the hard limit here is {hard}")
    return lambda: resource.setrlimit(which, (value, hard))


# Each has a stack of 8 MiB, so that two are too many for 64 MiB of address space.
THREADS = "threads"


def test_every_library_works_under_a_limit(
    portable: Path, expected: str, limit: Callable[[], None]
) -> None:
    lines = [line for line in expected.splitlines() if not line.startswith(THREADS)]
    steps = ",".join(line.split()[0] for line in lines)
    assert output([portable], {"STEPS": steps}, preexec_fn=limit).splitlines() == lines


@pytest.mark.parametrize("name", APPS)
def test_an_app_answers_under_a_limit(
    name: str, cgi_bin: Path, limit: Callable[[], None], tmp_path: Path
) -> None:
    assert_answers(name, [cgi_bin / name], preexec_fn=limit, cwd=tmp_path)


# Where systemd mounts them, the first version's controllers each by itself.
CGROUPS = Path("/sys/fs/cgroup")
MEMORY = 32 * MIB


@pytest.fixture
def memory_cgroup(as_root: None) -> Iterator[Path]:
    """A memory cgroup with 32 MiB and no swap."""
    controllers = CGROUPS / "cgroup.subtree_control"
    if controllers.exists() and "memory" in controllers.read_text().split():
        parent, limits = CGROUPS, {"memory.max": MEMORY, "memory.swap.max": 0}
    elif (CGROUPS / "memory" / "memory.limit_in_bytes").exists():
        parent = CGROUPS / "memory"
        limits = {"memory.limit_in_bytes": MEMORY, "memory.memsw.limit_in_bytes": MEMORY}
    else:
        pytest.skip("no memory cgroup can be had here")
    try:
        cgroup = Path(tempfile.mkdtemp(prefix="nativecgi-", dir=parent))
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        for name, value in limits.items():
            if (cgroup / name).exists():  # not all kernels count swap
                (cgroup / name).write_text(str(value))
        yield cgroup
    finally:
        cgroup.rmdir()


@pytest.fixture
def join(memory_cgroup: Path) -> Callable[[], None]:
    """What puts the new process into it, called there before the program."""

    def write_own_id() -> None:
        (memory_cgroup / "cgroup.procs").write_text(str(os.getpid()))

    return write_own_id


def forget(file: Path) -> None:
    """Have the page cache drop the file: who reads it next is charged for it."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_every_library_works_in_a_cgroup_of_less_memory_than_the_file(
    portable: Path, expected: str, join: Callable[[], None], tmp_path: Path
) -> None:
    file = Path(shutil.copy(portable, tmp_path))
    assert file.stat().st_size > MEMORY
    forget(file)
    assert output([file], preexec_fn=join) == expected


@pytest.mark.parametrize("name", APPS)
def test_an_app_answers_in_a_cgroup_of_less_memory_than_its_file(
    name: str, cgi_bin: Path, join: Callable[[], None], tmp_path: Path
) -> None:
    file = Path(shutil.copy(cgi_bin / name, tmp_path))
    forget(file)
    assert_answers(name, [file], preexec_fn=join, cwd=tmp_path)


def test_a_program_with_too_little_memory_is_killed(
    join: Callable[[], None], memory_cgroup: Path
) -> None:
    """The cgroup does limit what is in it."""
    hungry = [
        sys.executable,
        "-c",
        f"bytearray({2 * MEMORY})[::4096] = b'x' * {2 * MEMORY // 4096}",
    ]
    assert run(hungry, preexec_fn=join).returncode == -signal.SIGKILL
