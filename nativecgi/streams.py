"""sys.stdin, sys.stdout and sys.stderr of a new process."""

import os
import stat
import sys
from typing import TextIO

# Descriptor, name in sys, mode; as create_stdio in CPython's Python/pylifecycle.c makes them.
_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def renew_streams() -> None:
    """Make the three streams right for what the descriptors are now.

    They were made for pipes, and are kept where they are on pipes or sockets again: those
    can neither seek nor be terminals. A closed descriptor's stream is None.
    """
    for descriptor, name, mode in _STREAMS:
        try:
            kind = os.fstat(descriptor).st_mode
        except OSError:
            _set(name, None)
        else:
            if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
                _set(name, _opened(descriptor, name, mode))


def flush_streams() -> None:
    """Write out what is buffered, as far as there is anyone to take it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue


def _opened(descriptor: int, name: str, mode: str) -> TextIO:
    stream = open(  # noqa: SIM115
        descriptor,
        mode,
        encoding="utf-8",
        errors="backslashreplace" if name == "stderr" else "surrogateescape",
        newline="\n" if mode == "w" else None,
        closefd=False,
    )
    if mode == "w":
        stream.reconfigure(line_buffering=name == "stderr" or os.isatty(descriptor))
    return stream


def _set(name: str, stream: TextIO | None) -> None:
    # A stream that the program has replaced by one of its own stays.
    if getattr(sys, name) is getattr(sys, f"__{name}__"):
        setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
