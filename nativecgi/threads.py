"""Threads that are still there at the freeze point."""

import sys
import threading
import traceback


def show_threads() -> None:
    """Print what each thread but the main one is doing: the freezer will refuse the program.

    It names a thread by its id, and shows what was printed.
    """
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and thread.ident in frames:
            stack = "".join(traceback.format_stack(frames[thread.ident]))
            sys.stderr.write(f"thread {thread.native_id} is {thread.name!r}, here:\n{stack}")
