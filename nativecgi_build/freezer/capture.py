"""Reads a process that is stopped at its freeze point, and lets it change no more."""

import os
import signal
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from nativecgi_build.freezer import checks, glibc, linux, paths, procfs, ptrace, sqlite
from nativecgi_build.freezer.errors import CannotFreeze, Unsupported
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.prepare import Prepared
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.segments import merged
from nativecgi_build.freezer.snapshot import (
    ANY_RESULT,
    Canary,
    Letterbox,
    Region,
    Reservation,
    Snapshot,
    SystemCall,
)
from nativecgi_build.freezer.tracee import RED_ZONE, SYSCALL_INSTRUCTION, Tracee

_SIGACTION_SIZE = 32  # struct kernel_sigaction: handler, flags, restorer, mask
_SIGSET_SIZE = 8
_WORD = 8
_STACK_T = struct.Struct("<QiiQ")  # stack_t: address, flags, padding, size
_SS_DISABLE = 2

# SIGCANCEL and SIGSETXID, of which glibc lets nobody say what they do; it sets a handler when it
# needs one. What posix_spawn(3) starts may ignore them, as its posix_spawn does that.
_OF_GLIBC = {32, 33}

_REGISTERS = "rax rbx rbp rdi rsi rdx r8 r9 r10 r12 r13 r14 r15 rsp rip".split()


def capture(
    tracee: Tracee,
    prepared: Prepared,
    token: bytes,
    older_files: set[Path],
    forgotten: Sequence[Path] = (),
) -> Snapshot:
    """Take the snapshot of a process at its freeze point.

    `token` marks the letterbox, if the program left one; `older_files` are the temporary files
    that it has not made; the paths `forgotten` are replaced
    wherever they stand in memory, by ones that nobody can make. Raises CannotFreeze with all
    reasons where it holds what no image can.
    """
    registers = ptrace.get_registers(tracee.pid)
    instruction = registers.rip - len(SYSCALL_INSTRUCTION)
    scratch = tracee.scratch()
    if not prepared.stack_start <= scratch < prepared.stack_end:
        raise CannotFreeze("the program has left the stack it was given")
    try:
        code = tracee.read(instruction, len(SYSCALL_INSTRUCTION))
    except PermissionError as error:
        raise CannotFreeze(
            "the program does not let its memory be read (PR_SET_DUMPABLE, prctl(2)): have it set "
            "that after the freeze point"
        ) from error
    if code != SYSCALL_INSTRUCTION:
        raise CannotFreeze("the program must send itself SIGSTOP with kill(2) or raise(3)")
    if registers.gs_base:
        raise CannotFreeze("the program uses the GS register, which glibc leaves alone")
    checks.check(tracee, instruction, scratch, older_files, prepared.attributes)

    floating_point = ptrace.get_floating_point_registers(tracee.pid)
    mappings = procfs.mappings(tracee.pid)
    libc = glibc.find(tracee, mappings, registers.fs_base)
    # 0: the program has not allocated memory yet, so glibc has not asked.
    if tracee.read_integer(libc.curbrk) not in (0, tracee.call(instruction, linux.SYS_BRK, 0)):
        raise Unsupported("the program break is not where glibc says it is")
    actions = _signal_actions(tracee, instruction, scratch)
    interrupt_action = actions.pop(signal.SIGINT, None)
    sqlite.renew(tracee, mappings, scratch)
    calls = [
        SystemCall(linux.SYS_ARCH_PRCTL, (linux.ARCH_SET_FS, registers.fs_base)),
        _draw_canary(libc.canary),
        *_robust_list(tracee, instruction, scratch),
        *_alternate_stack(tracee, instruction, scratch),
        *(
            SystemCall(linux.SYS_RT_SIGACTION, (number, action, 0, _SIGSET_SIZE))
            for number, action in actions.items()
        ),
    ]
    # The process may be asked nothing more: its memory is read as it is now.
    wiped = procfs.wiped_on_fork(tracee.pid)
    memory = [
        _without_traces(region, prepared, registers.rsp - RED_ZONE, forgotten)
        for mapping in mappings
        if _is_kept(mapping) and mapping.start not in wiped
        for region in _read(tracee, mapping)
    ]
    letterbox = _letterbox(memory, token)
    return Snapshot(
        registers={name: getattr(registers, name) for name in _REGISTERS}
        | {"mxcsr": floating_point.mxcsr, "control_word": floating_point.control_word},
        memory=[_without_marks(region, token, libc.tid) for region in memory],
        reservations=[
            reservation
            for mapping in mappings
            if _is_anonymous(mapping)
            for reservation in (
                [_zeros(mapping)] if mapping.start in wiped else _guards(mapping, memory)
            )
        ],
        calls=[*calls, *(_wiping(mapping) for mapping in mappings if mapping.start in wiped)],
        interrupt_action=interrupt_action,
        environ_address=libc.environ,
        curbrk_address=libc.curbrk,
        tid_address=libc.tid,
        # What answers a program makes its id one that no process has.
        id=tracee.pid if tracee.answers is None else 0,
        letterbox=letterbox,
        canary=Canary(libc.canary, tuple(_copies(memory, libc.canary, tracee))),
    )


def _is_kept(mapping: Mapping) -> bool:
    """Readable memory, except what the kernel gives every process: stack, vDSO and the like."""
    return mapping.permissions[0] == "r" and not mapping.path.startswith(("[stack", "[v"))


def _is_anonymous(mapping: Mapping) -> bool:
    """Memory of no file, which the program may have named (PR_SET_VMA_ANON_NAME, prctl(2))."""
    return not mapping.path or mapping.path.startswith("[anon:")


def _read(tracee: Tracee, mapping: Mapping) -> Iterator[Region]:
    """A mapping's content, in pieces where it is not in one.

    Behind a mapped file's end there is none; and pages that MADV_GUARD_INSTALL has made guards
    cannot be read, though they are in a mapping that can: those of threads' stacks, from glibc
    2.42 on.
    """
    permissions = mapping.permissions[:3]
    data = _content(tracee, mapping.start, mapping.size)
    if data:
        yield Region(mapping.start, permissions, data)
        return
    pages = range(mapping.start, mapping.end, PAGE)
    pieces = (Region(page, permissions, _content(tracee, page, PAGE)) for page in pages)
    yield from merged(piece for piece in pieces if piece.data)


def _content(tracee: Tracee, address: int, size: int) -> bytes:
    """The content of the memory, or nothing if not all of it can be read."""
    with suppress(OSError):
        return tracee.read(address, size)
    return b""


def _zeros(mapping: Mapping) -> Reservation:
    return Reservation(mapping.start, mapping.permissions[:3], mapping.size)


def _wiping(mapping: Mapping) -> SystemCall:
    """Have a fork of the new process, too, find zeros there; an older kernel cannot."""
    arguments = (mapping.start, mapping.size, linux.MADV_WIPEONFORK)
    return SystemCall(linux.SYS_MADVISE, arguments, ANY_RESULT)


def _guards(mapping: Mapping, memory: list[Region]) -> Iterator[Reservation]:
    """The parts of a mapping that cannot be read."""
    start = mapping.start
    for region in memory:
        if mapping.start <= region.address < mapping.end:
            if start < region.address:
                yield Reservation(start, "---", region.address - start)
            start = region.end
    if start < mapping.end:
        yield Reservation(start, "---", mapping.end - start)


def _without_traces(
    region: Region, prepared: Prepared, unused_end: int, forgotten: Sequence[Path]
) -> Region:
    """The region with zeros in place of the command line and of what finished calls have left.

    A forgotten path becomes one below /proc, where nobody can put a library or a module for
    the program to find.
    """
    data = bytearray(region.data)
    unused = (prepared.stack_start, unused_end - prepared.stack_start)
    for address, length in (unused, *prepared.argument_strings):
        # The stack may be in pieces: the program may have protected a part of it.
        start, end = max(address, region.address), min(address + length, region.end)
        if start < end:
            data[start - region.address : end - region.address] = bytes(end - start)
    for name in map(os.fspath, forgotten):
        for path, other in paths.replacements(name).items():
            data = data.replace(path, other)
    return Region(region.address, region.permissions, bytes(data))


def _without_marks(region: Region, token: bytes, tid: int) -> Region:
    """The region with zeros for the token, as bytes and as text, and for the thread id."""
    data = region.data
    for mark in (token, token.hex().encode()):
        data = data.replace(mark, bytes(len(mark)))
    if region.address <= tid < region.end:
        offset = tid - region.address
        data = data[:offset] + bytes(4) + data[offset + 4 :]
    return Region(region.address, region.permissions, data)


def _draw_canary(address: int) -> SystemCall:
    """A new one for each process, where the kernel has random bytes yet; else the old one stays."""
    arguments = (address, _WORD, linux.GRND_NONBLOCK)
    return SystemCall(linux.SYS_GETRANDOM, arguments, ANY_RESULT)


def _copies(memory: list[Region], address: int, tracee: Tracee) -> Iterator[int]:
    """Where else in memory the canary stands: in the frames of functions that have not returned.

    Nothing else has its value: it has 56 random bits. Compilers keep it in no register.
    """
    canary = tracee.read(address, _WORD)
    for region in memory:
        if "w" in region.permissions:
            offset = region.data.find(canary)
            while offset >= 0:
                if offset % _WORD == 0 and region.address + offset != address:
                    yield region.address + offset
                offset = region.data.find(canary, offset + 1)


def _robust_list(tracee: Tracee, instruction: int, scratch: int) -> list[SystemCall]:
    """Tell the kernel again where the thread keeps its robust mutexes (get_robust_list(2)).

    QEMU's user mode has no such call; glibc goes on without it.
    """
    tracee.call(instruction, linux.SYS_GET_ROBUST_LIST, 0, scratch, scratch + 8)
    head, size = struct.unpack("<QQ", tracee.read(scratch, 16))
    return [SystemCall(linux.SYS_SET_ROBUST_LIST, (head, size), ANY_RESULT)] if head else []


def _alternate_stack(tracee: Tracee, instruction: int, scratch: int) -> list[SystemCall]:
    """Set the alternate signal stack again, if there is one (sigaltstack(2))."""
    tracee.call(instruction, linux.SYS_SIGALTSTACK, 0, scratch)
    stack = tracee.read(scratch, _STACK_T.size)
    _address, flags, _padding, _size = _STACK_T.unpack(stack)
    return [] if flags & _SS_DISABLE else [SystemCall(linux.SYS_SIGALTSTACK, (stack, 0))]


def _signal_actions(tracee: Tracee, instruction: int, scratch: int) -> dict[int, bytes]:
    """The signals that are ignored or have a handler, each with its struct kernel_sigaction."""
    ignored = procfs.signal_set(tracee.pid, "SigIgn") - _OF_GLIBC
    numbers = ignored | procfs.signal_set(tracee.pid, "SigCgt")
    actions = {}
    for number in sorted(numbers):
        tracee.call(instruction, linux.SYS_RT_SIGACTION, number, 0, scratch, _SIGSET_SIZE)
        actions[number] = tracee.read(scratch, _SIGACTION_SIZE)
    return actions


def _letterbox(memory: list[Region], token: bytes) -> Letterbox | None:
    """Find the buffer that begins with the token and its own size and ends with the token."""
    found = [
        Letterbox(region.address + offset, size)
        for region in memory
        if "w" in region.permissions
        for offset, size in _marked(region.data, token)
    ]
    if len(found) > 1:
        raise CannotFreeze("the program has left more than one letterbox")
    return found[0] if found else None


def _marked(data: bytes, token: bytes) -> Iterator[tuple[int, int]]:
    """Offsets and sizes of the letterboxes in some memory."""
    head = len(token) + 8
    offset = data.find(token)
    while offset >= 0:
        size = int.from_bytes(data[offset + len(token) : offset + head], "little")
        end = offset + size
        if size >= head + len(token) and data[end - len(token) : end] == token:
            yield offset, size
        offset = data.find(token, offset + 1)
