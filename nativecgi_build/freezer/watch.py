"""Runs a new image and sees which pages of some of its memory are read and written, and when first.

Nothing of that memory may be touched: each page is given to the process when it asks for it.
"""

import errno
import os
import signal
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import linux, procfs, ptrace
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.snapshot import Area
from nativecgi_build.freezer.tracee import (
    ANSWER_SECONDS,
    SYSCALL_INSTRUCTION,
    Tracee,
    started,
)

_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
_NO_CALL = 2**64 - 1  # in place of the number of a system call
_READ_WRITE = linux.PROT_READ | linux.PROT_WRITE


class Trial(Struct, frozen=True):
    """What a process of an image is given: its environment, and what there is on standard input."""

    environment: Mapping[str, str]
    input: bytes = b""  # up to what a pipe holds


class Touched(Struct, frozen=True):
    """Addresses of pages, each once, in the order in which they were first needed."""

    read: list[int]
    written: list[int]


def watched(image: Path, trial: Trial, seconds: float, areas: Sequence[Area]) -> Touched:
    """Run `image` in an empty folder, for up to `seconds`.

    What it touches of the writable `areas` is returned, until it ends in whatever way.
    """
    with (
        tempfile.TemporaryDirectory(prefix="freezer-") as folder,
        started([str(image.absolute())], trial.environment, folder, input=trial.input) as tracee,
    ):
        events = ptrace.O_TRACEEXEC | ptrace.O_TRACEEXIT | ptrace.O_TRACESYSGOOD
        ptrace.set_options(tracee.pid, ptrace.O_EXITKILL | events)
        watch = _Watch(tracee, areas)
        with suppress(ProcessLookupError):  # another thread has ended it
            watch.run(time.monotonic() + seconds)
        return Touched(watch.read, watch.written)


def merged(all_touched: Iterable[Touched]) -> Touched:
    """What several processes have touched, as if one had done it after the other."""
    read: dict[int, None] = {}
    written: dict[int, None] = {}
    for touched in all_touched:
        read |= dict.fromkeys(touched.read)
        written |= dict.fromkeys(touched.written)
    return Touched([*read], [*written])


class _Watch:
    """One process, at its first instruction."""

    def __init__(self, tracee: Tracee, areas: Sequence[Area]) -> None:
        self.read: list[int] = []
        self.written: list[int] = []
        self._tracee = tracee
        self._protections: dict[int, int] = {}  # of pages that it has
        self._wanted: list[int] = []  # addresses, by the system call that it is in
        self._asked = _NO_CALL  # that system call
        mappings = procfs.mappings(tracee.pid)
        start = ptrace.get_registers(tracee.pid).rip
        end = next(mapping.end for mapping in mappings if mapping.start <= start < mapping.end)
        # The thaw stub makes system calls.
        self._instruction = start + tracee.read(start, end - start).index(SYSCALL_INSTRUCTION)
        # Long runs of zeros are not there yet: the stub maps them.
        self._areas = [
            (max(start, mapping.start), min(end, mapping.end))
            for start, end in areas
            for mapping in mappings
            if start < mapping.end and mapping.start < end
        ]
        self._protect(linux.PROT_NONE)

    def run(self, end: float) -> None:
        """Let it run to its end, or until the time `end`."""
        number, is_inside = 0, False
        while True:
            ptrace.resume_to_system_call(self._tracee.pid, number)
            status = self._wait(end)
            if status is None or not os.WIFSTOPPED(status) or status >> 16:
                return
            number = os.WSTOPSIG(status)
            if number == ptrace.SYSTEM_CALL_STOP:
                number, is_inside = 0, not is_inside
                if is_inside:
                    self._enter()
                else:
                    self._leave()
            elif number == signal.SIGSEGV and self._give(
                ptrace.get_signal_info(self._tracee.pid).address
            ):
                number = 0

    def _wait(self, end: float) -> int | None:
        while time.monotonic() < end:
            waited, status = os.waitpid(self._tracee.pid, os.WNOHANG)
            if waited:
                return status
            self._tracee.output.read(ANSWER_SECONDS)
        return None

    def _is_watched(self, address: int) -> bool:
        return any(start <= address < end for start, end in self._areas)

    def _is_missing(self, address: int) -> bool:
        page = address // PAGE * PAGE
        return self._is_watched(address) and self._protections.get(page) != _READ_WRITE

    def _give(self, address: int) -> bool:
        """Let it read a page, or write to it if it could read it; whether that was missing."""
        if not self._is_missing(address):
            return False
        page = address // PAGE * PAGE
        is_written = page in self._protections
        (self.written if is_written else self.read).append(page)
        self._set(page, PAGE, _READ_WRITE if is_written else linux.PROT_READ)
        self._protections[page] = _READ_WRITE if is_written else linux.PROT_READ
        return True

    def _enter(self) -> None:
        """See whether a system call is given what the process does not have: the kernel fails then.

        If so, no call is made, for the same to be made again.
        """
        registers = ptrace.get_registers(self._tracee.pid)
        wanted = [getattr(registers, name) for name in _ARGUMENTS]
        self._wanted = [address for address in wanted if self._is_missing(address)]
        if self._wanted:
            self._asked = registers.orig_rax
            registers.orig_rax = _NO_CALL
            ptrace.set_registers(self._tracee.pid, registers)

    def _leave(self) -> None:
        """Give what is missing, and have a call made that failed for that."""
        registers = ptrace.get_registers(self._tracee.pid)
        if self._wanted:
            for address in self._wanted:
                while self._give(address):
                    pass
        elif registers.rax == 2**64 - errno.EFAULT and self._areas:
            # It may be what a structure points to. Let it have all, from now on.
            self._asked = registers.orig_rax
            self._protect(_READ_WRITE)
            self._areas = []
        else:
            return
        registers.rax, registers.orig_rax = self._asked, _NO_CALL
        registers.rip -= len(SYSCALL_INSTRUCTION)
        ptrace.set_registers(self._tracee.pid, registers)

    def _protect(self, protection: int) -> None:
        for start, end in self._areas:
            self._set(start, end - start, protection)

    def _set(self, start: int, size: int, protection: int) -> None:
        self._tracee.call(self._instruction, linux.SYS_MPROTECT, start, size, protection)
