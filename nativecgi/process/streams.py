"""sys.stdin, sys.stdout and sys.stderr of a new process."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

# File types as in st_mode, less the twelve bits below (inode(7)).
FIFO, CHARACTER_DEVICE, REGULAR, SOCKET = 1, 2, 8, 12
CLOSED = 0
# By descriptor: name in sys, mode.
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
# By descriptor: the kinds of file for which a stream made for a pipe is right. It can neither seek
# nor buffers it by lines, which standard error does on any file.
_KEPT = (
    bytes((FIFO, SOCKET, CHARACTER_DEVICE)),
    bytes((FIFO, SOCKET)),
    bytes((FIFO, SOCKET, CHARACTER_DEVICE, REGULAR)),
)


def renew_streams(kinds: bytes | bytearray) -> None:
    """Make the three streams right for what the descriptors are now: `kinds`, one byte each.

    They were made for pipes, and are kept where that makes no difference: making one writes to
    some fifty pages of memory. A closed descriptor's stream is None.
    """
    for descriptor in (0, 1, 2):
        kind = kinds[descriptor]
        if kind not in _KEPT[descriptor]:
            _renew(descriptor, kind)


def _renew(descriptor: int, kind: int) -> None:
    name, mode = _STREAMS[descriptor]
    if kind == CLOSED:
        _occupy()
        _set(name, None)
    else:
        _set(name, _opened(descriptor, name, mode))


def occupy_closed() -> None:
    """Keep the numbers of closed standard streams from being given to files that are opened.

    What is printed, or what a library writes to standard error, would go to such a file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _occupy()


def _occupy() -> None:
    """Give the lowest free descriptor to what can be neither read nor written (O_PATH)."""
    os.set_inheritable(os.open("/", os.O_PATH), True)


def keep_stdout() -> int:
    """Keep standard output for the answer alone: what else is written to it goes to the error log.

    Returns the answer's descriptor, which child processes do not inherit.
    """
    sys.stdout = sys.stderr
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def print_to_log() -> None:
    """Have what is written to standard output go to the error log, in child processes as well."""
    os.close(keep_stdout())


@contextmanager
def redirected(stream: TextIO) -> Iterator[None]:
    """Have what is printed go to a stream, both sys.stdout's and sys.stderr's."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = stream
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def write_own_stderr(text: str) -> None:
    """Write to the process's own standard error, wherever sys.stderr leads."""
    if sys.__stderr__ is not None:
        with suppress(OSError, ValueError):
            sys.__stderr__.write(text)


def call_it(stream: io.TextIOWrapper, name: str, mode: str) -> None:
    """Give a standard stream the name and the mode that Python gives it, such as "<stdin>"."""
    raw: Any = getattr(stream.buffer, "raw", stream.buffer)
    raw.name = f"<{name}>"
    stream.mode = mode  # type: ignore[misc]


def flush_streams() -> None:
    """Write out what is buffered, if anything can take it."""
    for stream in (sys.stdout,) if sys.stdout is sys.stderr else (sys.stdout, sys.stderr):
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
        newline="\n",
        closefd=False,
    )
    assert isinstance(stream, io.TextIOWrapper)
    call_it(stream, name, mode)
    if mode == "w":
        stream.reconfigure(line_buffering=name == "stderr" or os.isatty(descriptor))
    return stream


def _set(name: str, stream: TextIO | None) -> None:
    # A stream that the program has replaced by one of its own stays.
    if getattr(sys, name) is getattr(sys, f"__{name}__"):
        setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
