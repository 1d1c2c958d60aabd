"""QEMU's user mode runs a program: it takes all addresses from the lowest to the highest for it."""

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.portability.running import APPS, assert_answers, run

pytestmark = pytest.mark.portability

GIB = 2**30


@pytest.fixture
def qemu() -> str:
    """The emulator of a processor such as this one."""
    found = shutil.which("qemu-x86_64")
    if found is None:
        pytest.skip("there is no qemu-x86_64: run make test-portability")
    return found


def limit_memory() -> None:
    """For a program whose memory is not close together it would take terabytes."""
    resource.setrlimit(resource.RLIMIT_AS, (32 * GIB, 32 * GIB))


@pytest.mark.parametrize("name", APPS)
def test_an_app_answers(name: str, cgi_bin: Path, qemu: str, tmp_path: Path) -> None:
    assert_answers(name, [qemu, cgi_bin / name], preexec_fn=limit_memory, cwd=tmp_path)


def test_a_program_of_c_goes_on(
    frozen: Callable[..., Path], compiled: Callable[..., Path], qemu: str
) -> None:
    image = frozen(compiled("hello.c"))
    own = run([image])
    emulated = run([qemu, image], preexec_fn=limit_memory)
    assert own.stdout
    assert (emulated.returncode, emulated.stdout) == (own.returncode, own.stdout)
