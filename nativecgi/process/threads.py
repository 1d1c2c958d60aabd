"""Threads, of which none may be left at the freeze point but the main one."""

import os
import sys
import threading
import time
import traceback

# Seconds that the threads of an answer have to end.
_PATIENCE = 5


def show_threads() -> None:
    """Print what each thread but the main one is doing: the freezer will refuse the program.

    It names a thread by its id, and shows what was printed.
    """
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.ident in frames:
            stack = "".join(traceback.format_stack(frames[thread.ident]))
            sys.stderr.write(f"thread {thread.native_id} is {thread.name!r}, here:\n{stack}")


def count_threads() -> int:
    """How many there are, as the freezer will count them."""
    # Not by their names: ids are different in each build.
    return os.stat("/proc/self/task").st_nlink - 2


def await_threads(count: int) -> None:
    """Wait until there are no more than `count`: a process that has answered waits for them, too.

    Those of an event loop end on their own, soon after it. Raises RuntimeError where one does not.
    """
    end = time.monotonic() + _PATIENCE
    while count_threads() > count:
        if time.monotonic() > end:
            show_threads()
            raise RuntimeError("a warm-up has started a thread that does not end")
        time.sleep(0.001)
