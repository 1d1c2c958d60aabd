"""Other kernels and CPUs: the file is the one program of a virtual machine, its init.

Slow, since the machine is emulated: `make test-portability` runs these.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.portability import debian, machine
from tests.portability.running import APPS, REQUEST

pytestmark = pytest.mark.portability

# 5.10, 6.1 and 6.12, by the Debian that has them.
RELEASES = ("bullseye", "bookworm", "trixie")
USUAL = "bookworm"
# From 2008, 2006 and, as the emulator has it, the first x86-64 ones: without AVX, then without
# SSE4, then without SSSE3.
CPUS = ("Nehalem", "core2duo", "qemu64")

SUCCESS, FAILURE = "exitcode=0x00000000", "exitcode=0x00007f00"  # as waitpid(2) has it
LACKING = "frozen program: this CPU lacks an instruction"

Boot = Callable[..., str]


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    """Boots a release's kernel: `boot("trixie", program, {"NAME": "value"}, cpu="max")`."""
    return lambda release, program, variables, cpu="max": machine.boot(
        debian.kernel(release), program, variables, tmp_path, cpu
    )


def answer_of(boot: Boot, release: str, name: str, cgi_bin: Path, cpu: str = "max") -> str:
    variables, part = APPS[name]
    console = boot(release, cgi_bin / name, {**REQUEST, **variables}, cpu)
    assert console.startswith("Status: 200 OK\n")
    assert part in console
    return console


@pytest.mark.parametrize("release", RELEASES)
def test_every_library_works_on_the_kernel(
    boot: Boot, portable: Path, expected: str, release: str
) -> None:
    console = boot(release, portable, {})
    assert console.startswith(expected)
    assert SUCCESS in console


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("release", RELEASES)
def test_an_app_answers_on_the_kernel(boot: Boot, cgi_bin: Path, release: str, name: str) -> None:
    assert SUCCESS in answer_of(boot, release, name, cgi_bin)


@pytest.mark.parametrize("release", RELEASES)
def test_a_program_in_many_pieces_runs_on_the_kernel(
    boot: Boot, compiled: Callable[..., Path], frozen: Callable[..., Path], release: str
) -> None:
    """With a program header for each, it was no executable file for these kernels."""
    console = boot(release, frozen(compiled("pieces.c")), {})
    assert console.startswith("150 of 150\n")
    assert SUCCESS in console


@pytest.mark.parametrize("cpu", CPUS)
def test_what_is_chosen_by_the_cpu_is_for_any_cpu(
    boot: Boot, portable: Path, expected: str, cpu: str
) -> None:
    lines = [line for line in expected.splitlines() if not line.startswith("crc64")]
    steps = ",".join(line.split()[0] for line in lines)
    console = boot(USUAL, portable, {"STEPS": steps}, cpu)
    assert console.splitlines()[: len(lines)] == lines
    assert SUCCESS in console


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("cpu", CPUS)
def test_an_app_answers_on_the_cpu(boot: Boot, cgi_bin: Path, cpu: str, name: str) -> None:
    assert SUCCESS in answer_of(boot, USUAL, name, cgi_bin, cpu)


@pytest.mark.parametrize("cpu", CPUS)
def test_what_cannot_be_had_for_any_cpu_fails_with_a_message(
    boot: Boot, portable: Path, cpu: str
) -> None:
    """liblzma of 5.4 and later has a checksum for CPUs with PCLMULQDQ, and takes no orders."""
    if "pclmulqdq" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("the CPU here has no PCLMULQDQ to be chosen")
    console = boot(USUAL, portable, {"STEPS": "deflate,crc64"}, cpu)
    assert console.splitlines()[0].startswith("deflate ")
    assert console.splitlines()[1].startswith(LACKING)
    assert FAILURE in console
