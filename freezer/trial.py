"""Runs a new image once, to see that it works and which memory it writes to."""

import os
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from freezer import procfs, ptrace
from freezer.errors import CannotFreeze
from freezer.linux import PAGE
from freezer.tracee import Answers, Tracee, started

# Bits of a page's entry in /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
_IN_MEMORY = 1 << 63
_OF_A_FILE = 1 << 61
_ENTRY_SIZE = 8


def written_to(
    image: Path,
    environment: Mapping[str, str],
    seconds: float,
    answers: Answers | None = None,
) -> list[int]:
    """Run `image` with `environment` in an empty folder and return the pages it wrote to.

    These are the addresses of those that were the file's at first and the process's own in the
    end. With `answers`, to what it asks of chance
    and time, they are the same at each run. Raises CannotFreeze where it fails or takes over
    `seconds`.
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
        return [page for mapping in segments for page in _copied_pages(tracee.pid, mapping)]


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


def _copied_pages(pid: int, mapping: procfs.Mapping) -> Iterator[int]:
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        count = mapping.size // PAGE
        entries = os.pread(
            pagemap.fileno(), count * _ENTRY_SIZE, mapping.start // PAGE * _ENTRY_SIZE
        )
    for index, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
        if entry & _IN_MEMORY and not entry & _OF_A_FILE:
            yield mapping.start + index * PAGE
