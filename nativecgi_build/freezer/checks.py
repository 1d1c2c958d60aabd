"""What keeps a stopped program from being frozen, each with what to do about it.

A thaw gives a new process the memory of the old one and nothing that the kernel held for it.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nativecgi_build.freezer import daemons, linux, paths, procfs
from nativecgi_build.freezer.attributes import attributes, changes
from nativecgi_build.freezer.errors import WouldBeLost
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.tracee import Tracee

_ITIMERVAL_SIZE = 32  # struct itimerval: interval and value, each seconds and microseconds
_TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")  # 0, 1, 2 (getitimer(2))
_STANDARD_STREAMS = 3
# What a descriptor's target in /proc/PID/fd says, in words.
_KINDS = {
    "socket:": "a socket",
    "pipe:": "a pipe",
    "anon_inode:[eventpoll]": "an epoll, such as an event loop has",
    "anon_inode:inotify": "an inotify",
    "anon_inode:[signalfd]": "a signalfd",
    "anon_inode:[timerfd]": "a timerfd",
    "anon_inode:[eventfd]": "an eventfd",
    "anon_inode:[io_uring]": "an io_uring",
}
# Files that are no programs, and that glibc maps for itself: locales, character sets.
_GLIBC_DATA = ("/usr/lib/locale/", "/usr/share/locale/", "/usr/share/i18n/")
_GLIBC_CACHE = "gconv-modules.cache"
_ELF_MAGIC = b"\x7fELF"

# Where programs make temporary files unless they are told another place.
TEMPORARY_FOLDERS = (Path("/tmp"), Path("/var/tmp"))


def temporary_files() -> set[Path]:
    """What there is in the folders for temporary files."""
    return {path for folder in TEMPORARY_FOLDERS if folder.is_dir() for path in folder.iterdir()}


def check(
    tracee: Tracee,
    instruction: int,
    scratch: int,
    older_files: set[Path],
    older_attributes: dict[str, str],
) -> None:
    """Raise WouldBeLost with a line for each thing that would be lost.

    `instruction` is the address of a `syscall` instruction in the process, `scratch` that of
    memory below its stack that it does not use. `older_files` are the temporary ones of before
    its start, `older_attributes` those that it had then (attributes.py).
    """
    descriptors = list(_descriptors(tracee))
    problems = [
        *_threads(tracee),
        *descriptors,
        *_mappings(tracee),
        *_children(tracee),
        *_timers(tracee, instruction, scratch),
        *_signals(tracee),
        *changes(older_attributes, attributes(tracee, instruction, scratch)),
        *_temporary_files(tracee, older_files),
    ]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        printed = f"\nIt printed:\n{text}" if (text := tracee.output.text().rstrip()) else ""
        raise WouldBeLost(
            f"the program cannot be frozen as it is:{lines}{printed}",
            has_descriptors=bool(descriptors),
        )


def _threads(tracee: Tracee) -> Iterator[str]:
    for thread in procfs.threads(tracee.pid)[1:]:
        yield (
            f"thread {thread.tid} ({thread.name}) is running: end it before the freeze point, "
            "start it after"
        )


def _descriptors(tracee: Tracee) -> Iterator[str]:
    locks = procfs.locks(tracee.pid)
    sockets = procfs.sockets(tracee.pid)
    for descriptor in procfs.descriptors(tracee.pid):
        target = descriptor.target
        if descriptor.number >= _STANDARD_STREAMS:
            kind = next((f" ({_KINDS[it]})" for it in _KINDS if target.startswith(it)), "")
            yield (
                f"descriptor {descriptor.number} is open on {sockets.get(target, target + kind)}: "
                "close it before the freeze point, open it after"
            )
        if descriptor.inode in locks:
            yield (
                f"descriptor {descriptor.number} has a lock on {target}: release it before the "
                "freeze point, take it after"
            )


def _mappings(tracee: Tracee) -> Iterator[str]:
    for mapping in procfs.mappings(tracee.pid):
        what = f"{mapping.path or 'anonymous memory'}"
        if mapping.permissions[1:3] == "wx":
            yield (
                f"{what} is writable and executable at {mapping.start:#x}: every process would "
                "have it at that address; let the program generate its code after the freeze point"
            )
        if mapping.is_shared and mapping.is_writable:
            yield (
                f"{what} is mapped shared and writable at {mapping.start:#x}: unmap it before the "
                "freeze point, map it after"
            )
        elif _is_data(mapping):
            yield (
                f"{what} is mapped at {mapping.start:#x}: every process would have what it holds "
                "now; unmap it before the freeze point, map it after"
            )


def _is_data(mapping: Mapping) -> bool:
    """Whether it is of a file that is neither a program nor glibc's, and so may change."""
    path = mapping.path
    if not path.startswith("/") or path.startswith(_GLIBC_DATA) or path.endswith(_GLIBC_CACHE):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_ELF_MAGIC)) != _ELF_MAGIC
    except OSError:
        return False  # it is gone, or no file: nobody can change what is mapped


def _children(tracee: Tracee) -> Iterator[str]:
    for child in procfs.children(tracee.pid):
        state = "has ended unawaited" if child.is_zombie else "is running"
        yield f"child process {child.pid} ({child.name}) {state}: end it and wait for it"
    for daemon in daemons.running():
        yield (
            f"process {daemon.pid} ({daemon.name}) was started on the way to the freeze point and "
            "runs in the background: end it before, start it after"
        )


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


def _temporary_files(tracee: Tracee, older: set[Path]) -> Iterator[str]:
    made = sorted(temporary_files() - older)
    if made:  # by whom? by this program, if it knows the name
        memory = b"\n".join(_written_memory(tracee))
        for path in made:
            if any(name in memory for name in paths.encoded(str(path))):
                yield (
                    f"{path} was made on the way to the freeze point: make temporary files after "
                    "it, and remove those made before"
                )


def _written_memory(tracee: Tracee) -> Iterator[bytes]:
    for mapping in procfs.mappings(tracee.pid):
        if mapping.is_writable:
            with suppress(OSError):
                yield tracee.read(mapping.start, mapping.size)
