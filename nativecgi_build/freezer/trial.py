"""Runs a new image once, to see that it works and which memory it writes to."""

import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nativecgi_build.freezer import procfs, ptrace
from nativecgi_build.freezer.errors import CannotFreeze
from nativecgi_build.freezer.linux import HUGE_PAGE, PAGE
from nativecgi_build.freezer.snapshot import Touch
from nativecgi_build.freezer.tracee import Answers, Tracee, started

# Bits of a page's entry in /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
_IN_MEMORY = 1 << 63
_OF_A_FILE = 1 << 61
_ENTRY_SIZE = 8


def touched(
    image: Path,
    environment: Mapping[str, str],
    seconds: float,
    answers: Answers | None = None,
) -> list[Touch]:
    """Run `image` with `environment` in an empty folder and return what to touch at a start.

    That is every page that was the file's at first and the process's own in the end, and one of
    each huge page that the process has looked at. With
    `answers`, to what it asks of chance and time, they are the same at each run. Raises
    CannotFreeze where it fails or takes over `seconds`.
    """
    # Its path is as long as the output's; the same number of bytes is copied at each run.
    name = None if answers is None else "trial"
    with (
        tempfile.TemporaryDirectory(prefix="freezer-") as folder,
        started([str(image.absolute())], environment, folder, name=name, answers=answers) as tracee,
    ):
        events = ptrace.O_TRACEEXEC | ptrace.O_TRACEEXIT | ptrace.O_TRACESYSGOOD
        ptrace.set_options(tracee.pid, ptrace.O_EXITKILL | events)
        file = str(procfs.executable(tracee.pid))
        segments = [m for m in procfs.mappings(tracee.pid) if m.path == file]
        _run_to_exit(tracee, seconds)
        if str(procfs.executable(tracee.pid)) != file:
            return []  # it has gone on as another program, whose memory this is
        pages = [page for mapping in segments for page in _pages(tracee.pid, mapping)]
    return in_order(pages)


def in_order(pages: Iterable[Touch]) -> list[Touch]:
    """The pages of a process to touch first, in order, and then all pages that it writes to.

    When the first page of a huge one is read from a file that is not in the page cache, the kernel
    reads that and the next, and puts a mark on the next. When that is touched within 128 KiB of
    its end, it reads on in small pages, and what is read so stays so. So each huge page is touched
    early in it, one after the other. What it writes to is not read first: it would be mapped as
    the file's page, and be copied at a second fault.
    """
    by_huge_page: dict[int, list[Touch]] = {}
    for page in sorted(pages):
        by_huge_page.setdefault(page.address // HUGE_PAGE, []).append(page)
    first = [min(inside, key=lambda page: not page.is_written) for inside in by_huge_page.values()]
    written = [page for page in sorted(pages) if page.is_written]
    return first + [page for page in written if page not in first]


def _run_to_exit(tracee: Tracee, seconds: float) -> None:
    """Let it run until it is about to exit: its memory is still there then."""
    deadline = time.monotonic() + seconds
    tracee.resume()
    while True:
        status = tracee.wait()
        if status is None:
            if time.monotonic() > deadline:
                raise CannotFreeze(
                    f"the frozen program does not end its trial{tracee.output.quoted()}"
                )
        elif status >> 16 == ptrace.EVENT_EXIT:
            return _require_success(tracee)
        elif os.WIFSTOPPED(status):
            number = 0 if status >> 16 == ptrace.EVENT_EXEC else os.WSTOPSIG(status)
            tracee.resume(number)


def _require_success(tracee: Tracee) -> None:
    status = ptrace.get_event_message(tracee.pid)
    if status:
        tracee.output.read(0)
        code = os.waitstatus_to_exitcode(status)
        what = f"status {code}" if code >= 0 else procfs.signal_name(-code)
        raise CannotFreeze(f"the frozen program ends its trial with {what}{tracee.output.quoted()}")


def _pages(pid: int, mapping: procfs.Mapping) -> Iterator[Touch]:
    """The pages of a mapping that a process has of its own, and the first of each huge one else.

    How many of the file's it has depends on the page cache, and is no part of what is reproducible.
    """
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        count = mapping.size // PAGE
        entries = os.pread(
            pagemap.fileno(), count * _ENTRY_SIZE, mapping.start // PAGE * _ENTRY_SIZE
        )
    for index, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
        if entry & _IN_MEMORY:
            page = mapping.start + index * PAGE
            if entry & _OF_A_FILE:
                page = max(mapping.start, page // HUGE_PAGE * HUGE_PAGE)
            yield Touch(page, is_written=not entry & _OF_A_FILE)
