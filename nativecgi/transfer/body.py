"""A request's body: what comes from its source, up to CONTENT_LENGTH and no further."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from nativecgi.message.errors import IncompleteBodyError
from nativecgi.process.waiting import await_ready

# How much of an unread body is read and forgotten, in bytes; a client that sends more finds its
# connection closed. It is what the documented configurations let through.
DRAIN_LIMIT = 2 * 1024 * 1024 * 1024
_FORGOTTEN = 64 * 1024  # bytes that are read at a time where nobody wants them


# Where a body comes from: a file descriptor, or a function that fills a buffer as readinto does. It
# waits for the next bytes, returns 0 at the end, and raises OSError if the client has gone.
Source = int | Callable[[memoryview], int]


class BodyReader(io.RawIOBase):
    """The next `length` bytes of a source (RFC 3875 4.2: a server may send more).

    None stands for all there are, which a server may give of a body sent in chunks.
    """

    def __init__(self, source: Source, length: int | None) -> None:
        self._source = source
        self._is_announced = length is not None
        self._left = sys.maxsize if length is None else length
        self._is_drained = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill as much of `buffer` as is available; 0 means the end.

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
        """Read and discard what the handler left unread, up to `limit` bytes."""
        self._is_drained = True
        buffer = memoryview(bytearray(min(self._left, limit, _FORGOTTEN)))
        while self._left > 0 and limit > 0:
            count = self._read(buffer[: min(self._left, limit)])
            if not count:
                return
            self._left -= count
            limit -= count

    def _read(self, buffer: memoryview) -> int:
        if not isinstance(self._source, int):
            return self._source(buffer)
        while True:
            try:
                return os.readv(self._source, [buffer])
            except BlockingIOError:
                await_ready(self._source, to_write=False)


def drain(raw: BodyReader, limit: int = DRAIN_LIMIT) -> None:
    """Read and discard the rest of a body, up to `limit` bytes.

    Apache's mod_cgid and fcgiwrap lose the answer of a program that leaves input unread.
    """
    with suppress(OSError):
        raw.drain(min(limit, DRAIN_LIMIT))
