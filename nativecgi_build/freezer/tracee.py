"""A program run under ptrace(2), from its first instruction to its freeze point.

Everything that is asked of the traced process goes through `Tracee`. It lives inside
`started`, which ends it whatever happens; should the freezer itself be killed,
PTRACE_O_EXITKILL ends it.
"""

import ctypes
import fcntl
import os
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Protocol

from nativecgi_build.freezer import daemons, procfs, ptrace
from nativecgi_build.freezer.errors import CannotFreeze, Unsupported

# Selector of 64-bit user code (__USER_CS, arch/x86/include/asm/segment.h).
USER_CODE_SEGMENT = 0x33
SYSCALL_INSTRUCTION = b"\x0f\x05"
# A leaf function may use this much below the stack pointer (System V ABI, AMD64, 3.2.2).
RED_ZONE = 128
# Memory for system calls that return structures, below the red zone.
_SCRATCH = 4096
_NOWHERE = 0  # an address that no program may map (vm.mmap_min_addr)
# The signals by which an instruction fails.
_FAULTS = (signal.SIGILL, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)
# How long a function of a library may take that has next to nothing to do.
FUNCTION_SECONDS = 10.0

# From here on a descriptor is looked for that a program is unlikely to use.
_PRELOADED = 200

# How much there may be in a pipe that nobody reads yet, at least (pipe(7)).
_PIPE_SIZE = 64 * 1024
# How much of the program's output is kept to be shown when it fails.
OUTPUT_LIMIT = 64 * 1024
# How often a running program is looked at: short beside its start, long beside one look.
POLL_SECONDS = 0.01
# One that is stopped at each of its some thousand system calls must not wait as long for each.
ANSWER_SECONDS = 0.0002

_ASK, _ADDR_NO_RANDOMIZE = 0xFFFFFFFF, 0x0040000  # personality(2)
_PR_SET_TSC, _PR_TSC_SIGSEGV = 26, 2  # prctl(2)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.personality.argtypes = (ctypes.c_ulong,)


class Answers(Protocol):
    """What answers a program in the kernel's place; see determinism.py."""

    def give(self, tracee: "Tracee", status: int) -> bool:
        """Answer what a stop asks; returns whether it asks anything."""


class Tracee:
    """A traced process; its methods need it to be stopped."""

    def __init__(self, process: "subprocess.Popen[bytes]", answers: Answers | None) -> None:
        self.pid = process.pid
        self.answers = answers
        self.output = Output(process)

    def read(self, address: int, size: int) -> bytes:
        """Read memory; raises OSError where nothing is mapped."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            pieces = []
            while size > 0:
                # pread(2) returns at most 2 GiB and may return less.
                piece = os.pread(memory.fileno(), size, address)
                pieces.append(piece)
                address += len(piece)
                size -= len(piece)
            return b"".join(pieces)

    def read_integer(self, address: int, size: int = 8) -> int:
        """Read a little-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.read(address, size), "little")

    def write(self, address: int, data: bytes) -> None:
        """Write memory."""
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
            os.pwrite(memory.fileno(), data, address)

    def scratch(self) -> int:
        """A page of the stopped process's stack that is free, as is what is below it."""
        return ptrace.get_registers(self.pid).rsp - RED_ZONE - _SCRATCH

    def call(self, instruction: int, number: int, *arguments: int) -> int:
        """Make the stopped process run one system call and put its registers back.

        `instruction` is the address of a `syscall` instruction in its memory. Returns what
        the call returned, raises OSError where that is an error.
        """
        saved = ptrace.get_registers(self.pid)
        registers = ptrace.get_registers(self.pid)
        registers.rip = instruction
        registers.rax = number
        registers.orig_rax = 2**64 - 1  # not inside a system call: nothing to restart
        for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments, strict=False):
            setattr(registers, name, value)
        ptrace.set_registers(self.pid, registers)
        behind = instruction + len(SYSCALL_INSTRUCTION)
        self._run_until(behind, ptrace.single_step, f"system call {number}")
        result = ptrace.get_registers(self.pid).rax
        ptrace.set_registers(self.pid, saved)
        if result >= 2**64 - 4095:
            error = 2**64 - result
            raise OSError(error, f"system call {number} in the program: {os.strerror(error)}")
        return result

    def call_function(
        self, address: int, stack: int, *arguments: int, seconds: float = FUNCTION_SECONDS
    ) -> None:
        """Have the stopped process run one of its functions, with memory below `stack`.

        Raises CannotFreeze where it does not return within `seconds`.
        """
        saved = ptrace.get_registers(self.pid)
        registers = ptrace.get_registers(self.pid)
        registers.rip = address
        registers.orig_rax = 2**64 - 1  # as in `call`
        registers.rsp = (stack & -16) - 8  # as a call instruction leaves it
        self.write(registers.rsp, _NOWHERE.to_bytes(8, "little"))
        for name, value in zip(("rdi", "rsi", "rdx", "rcx"), arguments, strict=False):
            setattr(registers, name, value)
        ptrace.set_registers(self.pid, registers)
        # Nothing is mapped where it returns to: the signal for that, which it never gets, stops it.
        self._run_until(_NOWHERE, ptrace.resume, f"its function at {address:#x}", seconds)
        ptrace.set_registers(self.pid, saved)

    def _run_until(
        self, end: int, go_on: Callable[[int], None], what: str, seconds: float | None = None
    ) -> None:
        """Let the process run by `go_on` until it stops with its next instruction at `end`.

        A signal that somebody sends it in the meantime is dropped, since the process will not
        live to handle it. Raises CannotFreeze where it ends, fails or takes longer than `seconds`.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while ptrace.get_registers(self.pid).rip != end:
            go_on(self.pid)
            status = self._wait_until(deadline)
            if status is None:
                raise CannotFreeze(f"the program is still in {what} after {seconds:g} seconds")
            if not os.WIFSTOPPED(status):
                raise CannotFreeze("the program ended while it was examined")
            has_failed = os.WSTOPSIG(status) in _FAULTS
            if has_failed and ptrace.get_registers(self.pid).rip != end:
                name = procfs.signal_name(os.WSTOPSIG(status))
                raise CannotFreeze(f"the program failed in {what} with {name}")

    def _wait_until(self, deadline: float | None) -> int | None:
        """What has become of the running process (waitpid(2)); None if nothing until then."""
        if deadline is None:
            return os.waitpid(self.pid, 0)[1]
        while time.monotonic() < deadline:
            waited, status = os.waitpid(self.pid, os.WNOHANG)
            if waited:
                return status
            time.sleep(ANSWER_SECONDS)
        return None

    def resume(self, number: int = 0) -> None:
        """Let the process run on, delivering the signal `number` to it unless 0."""
        if self.answers is None:
            ptrace.resume(self.pid, number)
        else:
            ptrace.resume_to_system_call(self.pid, number)

    def wait(self) -> int | None:
        """What has become of the running process (waitpid(2)); None if it has run on so far.

        Where it asked for what is not left to the kernel, it gets its answer and has run on.
        """
        waited, status = os.waitpid(self.pid, os.WNOHANG)
        if not waited:
            self.output.read(POLL_SECONDS if self.answers is None else ANSWER_SECONDS)
            return None
        if self.answers is not None and self.answers.give(self, status):
            self.resume()
            return None
        return status

    def run_to_freeze_point(self, seconds: float) -> None:
        """Let the process run until it stops itself with SIGSTOP.

        Raises CannotFreeze where it ends, runs another program or takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        self.resume()
        while True:
            status = self.wait()
            if status is not None:
                if self._is_at_freeze_point(status):
                    self.output.read(0)
                    return
            elif time.monotonic() > deadline:
                self._fail(f"did not reach its freeze point within {seconds:g} seconds")

    def _is_at_freeze_point(self, status: int) -> bool:
        """Judge a stop (waitpid(2)); where it is another one, let the process run on."""
        if os.WIFEXITED(status):
            self._fail(f"exited with status {os.WEXITSTATUS(status)} before its freeze point")
        if os.WIFSIGNALED(status):
            name = procfs.signal_name(os.WTERMSIG(status))
            self._fail(f"was killed by {name} before its freeze point")
        if status >> 16 == ptrace.EVENT_EXEC:
            program = procfs.executable(self.pid)
            self._fail(f"started another program in its place: freeze {program} itself")
        number = os.WSTOPSIG(status)
        if number == signal.SIGSTOP:
            # Anyone may send SIGSTOP, only the program knows when it is ready.
            try:
                sender = ptrace.get_signal_info(self.pid).sender
            except OSError:  # EINVAL: it is another thread that has got the signal (ptrace(2))
                sender = self.pid
            if sender == self.pid:
                return True
            number = 0
        self.resume(number)
        return False

    def _fail(self, what: str) -> None:
        self.output.read(0)
        raise CannotFreeze(f"the program {what}{self.output.quoted()}")


class Output:
    """What a process writes to its standard output and error, kept from filling their pipes."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._text = bytearray()
        self._selector = selectors.DefaultSelector()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            self._selector.register(stream, selectors.EVENT_READ)

    def read(self, seconds: float) -> None:
        """Take what is there, waiting up to `seconds` for the first of it."""
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        while ready := self._selector.select(seconds):
            for key, _events in ready:
                stream: IO[bytes] = key.fileobj  # type: ignore[assignment]
                if data := os.read(stream.fileno(), OUTPUT_LIMIT):
                    self._text += data
                else:
                    self._selector.unregister(stream)
            del self._text[:-OUTPUT_LIMIT]
            seconds = 0
            if not self._selector.get_map():
                return

    def text(self) -> str:
        """The last of it, decoded."""
        return self._text.decode(errors="replace")

    def quoted(self) -> str:
        """The last of it, as the continuation of a message."""
        text = self.text().rstrip()
        return f"; its output was:\n{text}" if text else " (and printed nothing)"


@contextmanager
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None = None,
    *,
    name: str | None = None,
    answers: Answers | None = None,
    preload: Path | None = None,
    input: bytes = b"",
) -> Iterator[Tracee]:
    """Start `command` traced, stopped before its first instruction; end it on leaving.

    It runs in `folder`, or where the freezer does, and may be told another `name` than its path.
    With `answers` these are what it hears of chance and time, and chance has no say in where the
    kernel puts it. `preload` is a library to be loaded before all others, which has to close the
    descriptor by which the program knows it: its path is nowhere in memory.

    Its three standard streams are pipes, as under a web server; the first has `input`. Its signal
    state is a fresh program's, and its session is its own, so that what it starts ends with it. A
    daemon, which leaves both its parent and its session, becomes a child of the freezer, and ends
    as well.
    """
    program = shutil.which(command[0])
    if program is None:
        raise CannotFreeze(f"there is no program {command[0]!r} that can be executed")
    with daemons.adopted(), _opened(preload) as descriptors:
        arguments = [name or program, *command[1:]]
        process = _start(program, arguments, environment, folder, answers, descriptors)
        try:
            assert process.stdin is not None
            process.stdin.write(input[:_PIPE_SIZE])
            process.stdin.close()
            status = os.waitpid(process.pid, 0)[1]
            if not os.WIFSTOPPED(status):
                raise CannotFreeze(f"{program} was killed as it started")
            ptrace.set_options(
                process.pid, ptrace.O_EXITKILL | ptrace.O_TRACEEXEC | ptrace.O_TRACESYSGOOD
            )
            if ptrace.get_registers(process.pid).cs != USER_CODE_SEGMENT:
                raise Unsupported(f"{program} is not a 64-bit program")
            yield Tracee(process, answers)
        finally:
            _end(process)


@contextmanager
def _opened(library: Path | None) -> Iterator[Sequence[int]]:
    """The descriptor of a library, if there is one: the same number each time, as a rule."""
    if library is None:
        yield ()
        return
    with library.open("rb") as file:
        descriptor = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, _PRELOADED)
    try:
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _preloading(environment: Mapping[str, str], descriptors: Sequence[int]) -> dict[str, str]:
    libraries = [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]
    libraries += filter(None, [environment.get("LD_PRELOAD")])
    return {**environment, **({"LD_PRELOAD": ":".join(libraries)} if libraries else {})}


def _start(
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str | None,
    answers: Answers | None,
    preloaded: Sequence[int],
) -> "subprocess.Popen[bytes]":
    try:
        with _unlimited_stack(), nullcontext() if answers is None else _fixed_layout():
            return subprocess.Popen(
                arguments,
                executable=program,
                env=_preloading(environment, preloaded),
                pass_fds=preloaded,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_become_tracee if answers is None else _become_answered_tracee,
                bufsize=0,
            )
    except subprocess.SubprocessError as error:
        raise Unsupported(
            "ptrace(2) is not permitted here. In a container allow it with "
            "--cap-add=SYS_PTRACE (or a seccomp profile that permits ptrace); elsewhere see "
            "that /proc/sys/kernel/yama/ptrace_scope is below 3."
        ) from error
    except OSError as error:
        raise CannotFreeze(f"cannot execute {program}: {error.strerror}") from error


def _become_tracee() -> None:
    """In the new process, before execve(2): give it fresh signals and let it be traced."""
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):  # SIGKILL, SIGSTOP and those glibc keeps
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ptrace.trace_me()


def _become_answered_tracee() -> None:
    """Likewise, and what execve(2) keeps: it runs on one processor, whose number is in what cpuid
    tells, and is stopped where it reads the time stamp counter.
    """
    _become_tracee()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if _libc.prctl(_PR_SET_TSC, _PR_TSC_SIGSEGV, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_TSC)")


@contextmanager
def _unlimited_stack() -> Iterator[None]:
    """Lift the limit on the stack, which the new process inherits.

    Without a limit the kernel leaves the upper half of the address space to the stack: it maps
    downwards from 0x155555556000, or upwards from 0x2aaaaaaaa000 (arch/x86/mm/mmap.c), far from
    where it puts the stack, the vDSO and the libraries of a thawed process.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    try:
        resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY,) * 2)
    except ValueError as error:  # not permitted
        raise Unsupported(
            f"the stack size has a hard limit of {hard} bytes, and freezing needs none: "
            "see 'ulimit -Hs', limits.conf(5) or the container's ulimits."
        ) from error
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


@contextmanager
def _fixed_layout() -> Iterator[None]:
    """Switch address space randomization off, for the new process to inherit (personality(2))."""
    before = _libc.personality(_ASK)
    if before < 0 or _libc.personality(before | _ADDR_NO_RANDOMIZE) < 0:
        raise Unsupported(
            "personality(2) may not switch address space randomization off here, and what is to "
            "be reproducible needs that. In a container allow it with --security-opt "
            "seccomp=PROFILE (or seccomp=unconfined)."
        )
    try:
        yield
    finally:
        _libc.personality(before)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # SIGKILL ends neither a stop at PTRACE_EVENT_EXIT nor the way into one, and a stopped process
    # counts as ended for Popen.wait.
    with suppress(ChildProcessError):
        is_there = True
        while is_there:
            with suppress(ProcessLookupError):
                ptrace.resume(process.pid)
            is_there = os.WIFSTOPPED(os.waitpid(process.pid, 0)[1])
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
