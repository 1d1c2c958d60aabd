"""sys.stdin, sys.stdout and sys.stderr of a new process."""

import io
import os
import sys
from typing import TextIO

# Names in sys and modes, by descriptor.
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
# File types as in st_mode, less the twelve bits below (inode(7)).
FIFO, CHARACTER_DEVICE, SOCKET = 1, 2, 12
CLOSED = 0


def renew_streams(kinds: bytes | bytearray) -> None:
    """Make the three streams right for what the descriptors are now: `kinds`, one byte each.

    They were made for pipes, and are kept where they are on pipes or sockets again: those
    can neither seek nor be terminals. Standard input is kept on a device too: it is read from
    /dev/null and from a terminal as from a pipe. A closed descriptor's stream is None.
    """
    for descriptor in (0, 1, 2):
        kind = kinds[descriptor]
        if kind not in (FIFO, SOCKET) and (descriptor, kind) != (0, CHARACTER_DEVICE):
            name, mode = _STREAMS[descriptor]
            _set(name, None if kind == CLOSED else _opened(descriptor, name, mode))


def keep_stdout() -> int:
    """Keep standard output for the answer alone: what else is written to it goes to the error log.

    Returns the answer's descriptor, which child processes do not inherit, or -1 where standard
    output is closed.
    """
    sys.stdout = sys.stderr
    try:
        answer = os.dup(1)
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
