"""What keeps a stopped program from being frozen, each with what to do about it.

A thaw gives a new process the memory of the old one and nothing that the kernel held for it.
"""

from collections.abc import Iterator

from freezer import linux, procfs
from freezer.errors import CannotFreeze
from freezer.tracee import Tracee

_ITIMERVAL_SIZE = 32  # struct itimerval: interval and value, each seconds and microseconds
_TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")  # 0, 1, 2 (getitimer(2))
_STANDARD_STREAMS = 3


def check(tracee: Tracee, instruction: int, scratch: int) -> None:
    """Raise CannotFreeze with a line for each thing that would be lost.

    `instruction` is the address of a `syscall` instruction in the process, `scratch` that of
    memory below its stack that it does not use.
    """
    problems = [
        *_threads(tracee),
        *_descriptors(tracee),
        *_mappings(tracee),
        *_children(tracee),
        *_timers(tracee, instruction, scratch),
        *_signals(tracee),
    ]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise CannotFreeze(f"the program cannot be frozen as it is:{lines}")


def _threads(tracee: Tracee) -> Iterator[str]:
    for thread in procfs.threads(tracee.pid)[1:]:
        yield (
            f"thread {thread.tid} ({thread.name}) is running: end it before the freeze point, "
            "start it after"
        )


def _descriptors(tracee: Tracee) -> Iterator[str]:
    for descriptor in procfs.descriptors(tracee.pid):
        if descriptor.number >= _STANDARD_STREAMS:
            yield (
                f"descriptor {descriptor.number} is open on {descriptor.target}: close it before "
                "the freeze point, open it after"
            )


def _mappings(tracee: Tracee) -> Iterator[str]:
    for mapping in procfs.mappings(tracee.pid):
        if mapping.permissions[1:3] == "wx":
            yield (
                f"{mapping.path or 'anonymous memory'} is writable and executable at "
                f"{mapping.start:#x}: every process would have it at that address; let the "
                "program generate its code after the freeze point"
            )
        if mapping.is_shared and mapping.is_writable:
            yield (
                f"{mapping.path or 'anonymous memory'} is mapped shared and writable at "
                f"{mapping.start:#x}: unmap it before the freeze point, map it after"
            )


def _children(tracee: Tracee) -> Iterator[str]:
    for child in procfs.children(tracee.pid):
        state = "has ended unawaited" if child.is_zombie else "is running"
        yield f"child process {child.pid} ({child.name}) {state}: end it and wait for it"


def _timers(tracee: Tracee, instruction: int, scratch: int) -> Iterator[str]:
    for which, name in enumerate(_TIMERS):
        tracee.call(instruction, linux.SYS_GETITIMER, which, scratch)
        if any(tracee.read(scratch, _ITIMERVAL_SIZE)):
            yield f"timer {name} is set (alarm(2), setitimer(2)): set it after the freeze point"
    if count := procfs.posix_timers(tracee.pid):
        yield f"{count} timer(s) of timer_create(2) exist: create them after the freeze point"


def _signals(tracee: Tracee) -> Iterator[str]:
    for number in sorted(procfs.signal_set(tracee.pid, "SigBlk")):
        yield f"{procfs.signal_name(number)} is blocked: unblock it before the freeze point"
