"""A request's body: standard input, up to CONTENT_LENGTH and no further."""

import io
import os

from nativecgi.errors import HTTPError


class BodyReader(io.RawIOBase):
    """The next `length` bytes of a file descriptor (RFC 3875 4.2: a server may send more)."""

    def __init__(self, descriptor: int, length: int) -> None:
        self._descriptor = descriptor
        self._left = length

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill as much of `buffer` as there is; 0 is the end.

        Raises HTTPError (400) where the input ends before the announced length: half a body
        must not be taken for a whole one.
        """
        size = min(len(buffer), self._left)
        if size == 0:
            return 0
        try:
            data = os.read(self._descriptor, size)
        except OSError:  # the client has gone, or there is no standard input
            data = b""
        if not data:
            raise HTTPError(400, "The body is shorter than announced.")
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def drain(self, limit: int) -> None:
        """Read on and forget, up to `limit` bytes, what the handler left unread."""
        while self._left > 0 and limit > 0:
            data = os.read(self._descriptor, min(self._left, limit, 65536))
            if not data:
                return
            self._left -= len(data)
            limit -= len(data)
