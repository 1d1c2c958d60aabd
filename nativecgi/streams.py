"""sys.stdin, sys.stdout and sys.stderr of a new process."""

import fcntl
import io
import os
import sys
from typing import TextIO

# File types as in st_mode, less the twelve bits below (inode(7)).
FIFO, CHARACTER_DEVICE, REGULAR, SOCKET = 1, 2, 8, 12
CLOSED = 0
# By descriptor: name in sys, mode, and the kinds of file for which a stream made for a pipe is
# right. It can neither seek nor buffers it by lines, which standard error does on any file.
_STREAMS = (
    ("stdin", "r", (FIFO, SOCKET, CHARACTER_DEVICE)),
    ("stdout", "w", (FIFO, SOCKET)),
    ("stderr", "w", (FIFO, SOCKET, CHARACTER_DEVICE, REGULAR)),
)


def renew_streams(kinds: bytes | bytearray) -> None:
    """Make the three streams right for what the descriptors are now: `kinds`, one byte each.

    They were made for pipes, and are kept where that makes no difference: making one writes to
    some fifty pages of memory. A closed descriptor's stream is None.
    """
    for descriptor in (0, 1, 2):
        name, mode, kept = _STREAMS[descriptor]
        kind = kinds[descriptor]
        if kind not in kept:
            _set(name, None if kind == CLOSED else _opened(descriptor, name, mode))


def keep_stdout() -> int:
    """Keep standard output for the answer alone: what else is written to it goes to the error log.

    Returns the answer's descriptor, which child processes do not inherit, or -1 where standard
    output is closed.
    """
    sys.stdout = sys.stderr
    try:
        # Above the three, of which one may be closed: who writes to it must not write the answer.
        answer = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        answer = -1
    try:
        os.dup2(2, 1)
    except OSError:  # there is no error log
        if answer >= 0:
            os.close(1)
    return answer


def flush_streams() -> None:
    """Write out what is buffered, as far as there is anyone to take it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue


def _opened(descriptor: int, name: str, mode: str) -> TextIO:
    """As create_stdio in CPython's Python/pylifecycle.c makes it."""
    stream = open(  # noqa: SIM115
        descriptor,
        mode,
        encoding="utf-8",
        errors="backslashreplace" if name == "stderr" else "surrogateescape",
        newline="\n" if mode == "w" else None,
        closefd=False,
    )
    assert isinstance(stream, io.TextIOWrapper)
    if mode == "w":
        stream.reconfigure(line_buffering=name == "stderr" or os.isatty(descriptor))
    return stream


def _set(name: str, stream: TextIO | None) -> None:
    # A stream that the program has replaced by one of its own stays.
    if getattr(sys, name) is getattr(sys, f"__{name}__"):
        setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
