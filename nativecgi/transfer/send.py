"""Sends an answer: from memory, piece by piece, or from a file."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

from msgspec import Struct

from nativecgi.message.body import close
from nativecgi.process import deadline
from nativecgi.process.interrupts import remembered
from nativecgi.process.waiting import await_ready

_AT_A_TIME = 1024 * 1024  # bytes that one call of sendfile(2) is asked for
_COPIED = 64 * 1024  # bytes at a time where there is no sendfile


class Streamed(Struct):
    """An encoded answer that is not in memory as a whole."""

    head: bytes  # what is to be sent first: the header, and the first piece
    rest: Iterator[bytes] | None  # the pieces that follow; None where `source` is a file to copy
    left: int | None  # how many bytes the rest has to have, where Content-Length says so
    in_chunks: bool  # whether the rest is to be framed as chunks (RFC 9112 7.1)
    source: object  # what is to be closed in the end
    seconds: float = 0  # that the rest may take to be made; 0 for any time
    is_sent: bool = False  # whether all of it has been written


class Sink(Protocol):
    """Where an answer goes that is not written to a descriptor as it is.

    Both raise DisconnectedError.
    """

    def write(self, data: bytes) -> None:
        """Send the next bytes, at once."""

    def finish(self, data: bytes) -> None:
        """Send the last bytes, which may be none."""


class DisconnectedError(BaseException):
    """The client, or the server, accepts no more of the answer.

    No Exception: a signal can raise it in a handler's generator, which must not catch it as one.
    """


class IncompleteError(Exception):
    """A body is not as long as its Content-Length."""


def send(answer: Streamed, descriptor: int) -> None:
    """Write the whole answer, and close its source in any case.

    Raises DisconnectedError, IncompleteError, and whatever the pieces raise.
    """
    try:
        transmit(answer, descriptor)
    finally:
        close_source(answer)
        deadline.stop()


def transmit(answer: Streamed, sink: int | Sink) -> None:
    """Write the whole answer, and close nothing. Raises what `send` raises.

    Where it fails the time limit on its pieces is still running (see deadline.stop).
    """
    if answer.seconds:
        deadline.start(answer.seconds)
    write(answer.head, sink)
    if answer.rest is not None:
        _send_pieces(answer.rest, answer.left, answer.in_chunks, sink)
    else:
        file = cast(BinaryIO, answer.source)
        _send_file(file.fileno(), file.tell(), answer.left or 0, sink)
    if not isinstance(sink, int):
        sink.finish(b"")
    answer.is_sent = True
    if answer.seconds:
        deadline.stop()  # what is left to do is not the handler's time


def close_source(answer: Streamed) -> None:
    """Close what an answer comes from, once."""
    source, answer.source = answer.source, None
    close(source)


def finish(output: bytes, sink: int | Sink) -> None:
    """Write an answer that is in memory as a whole. Raises DisconnectedError."""
    if isinstance(sink, int):
        write(output, sink)
    else:
        sink.finish(output)


def write(output: bytes, sink: int | Sink) -> None:
    """Write all bytes: a pipe may take them in pieces. Raises DisconnectedError."""
    if not isinstance(sink, int):
        sink.write(output)
        return
    rest: bytes | memoryview = output
    try:
        while rest:
            try:
                written = os.write(sink, rest)
            except BlockingIOError:
                await_ready(sink, to_write=True)
            else:
                rest = memoryview(rest)[written:] if written < len(rest) else b""
    except OSError as error:
        raise DisconnectedError(str(error)) from error


def chunk(piece: bytes) -> bytes:
    """A piece, framed as a chunk; an empty one would be the last (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


def file_length(body: object) -> int | None:
    """How many bytes a file has after its current position; None if that is not known.

    So it is of what is no regular file, and of the files in /proc and /sys.
    """
    # Others, such as gzip's, may have a descriptor of a file whose bytes are not theirs.
    if not isinstance(getattr(body, "raw", body), io.FileIO):
        return None
    file = cast(BinaryIO, body)
    file.flush()  # what was written to it may be in its buffer
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    # What is on no disk may be made when it is read: it has 0 bytes, or a page, and so it says.
    if status.st_blocks == 0 and not _ends_at(file.fileno(), status.st_size):
        return None
    return max(status.st_size - file.tell(), 0)


def _ends_at(file: int, size: int) -> bool:
    try:
        return len(os.pread(file, 2, max(size - 1, 0))) == min(size, 1)
    except OSError:
        return False


def _send_pieces(
    pieces: Iterator[bytes], left: int | None, in_chunks: bool, sink: int | Sink
) -> None:
    for piece in pieces:
        if (failure := remembered()) is not None:
            raise failure
        if left is not None:
            left -= len(piece)
            if left < 0:
                raise IncompleteError("the body is longer than its Content-Length")
        write(chunk(piece) if in_chunks else piece, sink)
    if left:
        raise IncompleteError(f"the body is {left} bytes shorter than its Content-Length")
    if in_chunks:
        write(b"0\r\n\r\n", sink)


def _send_file(file: int, offset: int, left: int, sink: int | Sink) -> None:
    """Let the kernel copy a file's next bytes."""
    while left:
        sent = _copied(file, offset, min(left, _AT_A_TIME), sink)
        if sent == 0:
            raise IncompleteError("the file has become shorter while it was sent")
        offset += sent
        left -= sent


def _copied(file: int, offset: int, count: int, sink: int | Sink) -> int:
    if isinstance(sink, int):
        try:
            return os.sendfile(sink, file, offset, count)
        except BlockingIOError:
            pass  # `write` waits for it
        except OSError as error:
            # sendfile(2): not every file, and none that is opened to append to, can take part.
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise DisconnectedError(str(error)) from error
    data = os.pread(file, min(count, _COPIED), offset)
    write(data, sink)
    return len(data)
