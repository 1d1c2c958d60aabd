"""What a stopped process is made to do, in whatever state it is."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from nativecgi_build.freezer import linux, procfs, ptrace
from nativecgi_build.freezer.errors import CannotFreeze
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.prepare import syscall_instruction
from nativecgi_build.freezer.tracee import Tracee, started

# Instructions: an endless loop, a return, and one that is illegal.
LOOP, RETURN, ILLEGAL = b"\xeb\xfe", b"\xc3", b"\x0f\x0b"


@pytest.fixture
def tracee() -> Iterator[Tracee]:
    """A program stopped before its first instruction."""
    with started(["/bin/true"], {}) as process:
        yield process


@pytest.fixture
def instruction(tracee: Tracee) -> int:
    vdso = next(m for m in procfs.mappings(tracee.pid) if m.path == "[vdso]")
    return syscall_instruction(tracee, vdso)


@pytest.fixture
def call_code(tracee: Tracee) -> Callable[..., None]:
    """Has the process run some code as a function."""
    stack = ptrace.get_registers(tracee.pid).rsp - PAGE
    code = ptrace.get_registers(tracee.pid).rip

    def run(instructions: bytes, seconds: float = 10) -> None:
        tracee.write(code, instructions)
        tracee.call_function(code, stack, seconds=seconds)

    return run


def test_a_system_call_is_made_though_a_signal_waits(tracee: Tracee, instruction: int) -> None:
    """A signal stops the process before the call; it is not the call's end."""
    os.kill(tracee.pid, signal.SIGUSR1)
    os.kill(tracee.pid, signal.SIGTERM)
    assert tracee.call(instruction, linux.SYS_GETPID) == tracee.pid


def test_a_system_call_leaves_the_registers(tracee: Tracee, instruction: int) -> None:
    before = bytes(ptrace.get_registers(tracee.pid))
    tracee.call(instruction, linux.SYS_GETPID)
    assert bytes(ptrace.get_registers(tracee.pid)) == before


def test_a_function_is_called_though_a_signal_waits(
    tracee: Tracee, call_code: Callable[..., None]
) -> None:
    os.kill(tracee.pid, signal.SIGUSR1)
    call_code(RETURN)


def test_a_function_that_does_not_return_is_refused(call_code: Callable[..., None]) -> None:
    with pytest.raises(CannotFreeze, match=r"still in its function at 0x\w+ after 0.1 seconds"):
        call_code(LOOP, seconds=0.1)


def test_a_function_that_fails_is_refused(call_code: Callable[..., None]) -> None:
    with pytest.raises(CannotFreeze, match=r"failed in its function at 0x\w+ with SIGILL"):
        call_code(ILLEGAL)


def test_a_process_that_is_killed_meanwhile_is_refused(tracee: Tracee, instruction: int) -> None:
    os.kill(tracee.pid, signal.SIGKILL)
    with pytest.raises((CannotFreeze, ProcessLookupError)):
        tracee.call(instruction, linux.SYS_GETPID)
