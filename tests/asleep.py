"""Programs that sleep, and are to be woken by a signal."""

import time
from pathlib import Path

from nativecgi_build.freezer import procfs

SECONDS = 20


def wait_until_asleep(pid: int) -> None:
    """Return when a process sleeps.

    CPython looks for signals between instructions of its own. One that comes in the moment before
    a system call that sleeps is seen when that has ended: who tests what a signal does to a
    sleeping program must not send it before.
    """
    deadline = time.monotonic() + SECONDS
    while procfs.parse_stat(Path(f"/proc/{pid}/stat").read_text()).state != "S":
        assert time.monotonic() < deadline, "it does not sleep"
        time.sleep(0.001)
