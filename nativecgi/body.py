"""A request's body: standard input, up to CONTENT_LENGTH and no further."""

import io
import os
import sys
from typing import BinaryIO

from nativecgi.errors import HTTPError
from nativecgi.waiting import await_ready

# How much is asked for at a time, in bytes: a read has the memory for all that it might give.
_PIECE = 1024 * 1024
_FORGOTTEN = 64 * 1024  # bytes that are read at a time where nobody wants them


class IncompleteBodyError(HTTPError, OSError):
    """The client has gone before its request was complete: 400.

    It is an OSError too, by which web frameworks know that a client has gone.
    """

    def __init__(self) -> None:
        super().__init__(400, "The body is shorter than announced.")

    def __str__(self) -> str:
        """What the client is told."""
        return self.message


class BodyReader(io.RawIOBase):
    """The next `length` bytes of a file descriptor (RFC 3875 4.2: a server may send more).

    None stands for all there are, which a server may give of a body sent in chunks.
    """

    def __init__(self, descriptor: int, length: int | None) -> None:
        self._descriptor = descriptor
        self._is_announced = length is not None
        self._left = sys.maxsize if length is None else length
        self._is_drained = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill as much of `buffer` as there is; 0 is the end.

        Raises IncompleteBodyError where the input ends before the announced length: half a body
        must not be taken for a whole one. Raises ValueError once the body has been drained.
        """
        if self._is_drained:
            raise ValueError("the body is gone: read it before the answer is returned")
        size = min(len(buffer), self._left)
        if size == 0:
            return 0
        try:
            count = self._read(memoryview(buffer)[:size])
        except OSError:  # the client has gone, or there is no standard input
            self._is_announced, count = True, 0
        if count == 0:
            if self._is_announced:
                raise IncompleteBodyError
            self._left = 0
        self._left -= count
        return count

    @property
    def left(self) -> int:
        """How many bytes are left as far as is known."""
        return self._left

    def drain(self, limit: int) -> None:
        """Read on and forget, up to `limit` bytes, what the handler left unread."""
        self._is_drained = True
        buffer = memoryview(bytearray(min(self._left, limit, _FORGOTTEN)))
        while self._left > 0 and limit > 0:
            count = self._read(buffer[: min(self._left, limit)])
            if not count:
                return
            self._left -= count
            limit -= count

    def _read(self, buffer: memoryview) -> int:
        while True:
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                await_ready(self._descriptor, to_write=False)


def read_whole(body: BinaryIO, length: int | None, limit: int) -> bytes:
    """The rest of a body, which `length` announces to be so long.

    Raises HTTPError (413) where it is longer than `limit`.
    """
    if length is None or length <= limit:
        pieces, left = [], limit + 1
        while left and (piece := body.read(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
        if left:
            return b"".join(pieces)
    raise HTTPError(413, f"The body may have {limit} bytes at most.")
