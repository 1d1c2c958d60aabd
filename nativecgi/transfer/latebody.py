"""A request's body for readers that read it while the answer is being sent."""

import io
from contextlib import suppress
from typing import BinaryIO, cast

from nativecgi.message.forms import temporary_file

_PIECE = 64 * 1024  # bytes that are put aside at a time


class LateBody(io.RawIOBase):
    """A body that can keep what is unread before the answer begins (`keep`).

    Without it that is forgotten then (see gateways/exchange.py), as the servers want it.
    """

    def __init__(self, body: BinaryIO) -> None:
        self._body = body
        self._kept: BinaryIO | None = None
        self._is_whole = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill as much of `buffer` as there is; 0 is the end. Raises what the body raises."""
        count = _read(self._kept, buffer) if self._kept else 0
        return count if count or self._is_whole else _read(self._body, buffer)

    def keep(self, limit: int) -> None:
        """Keep what is unread, up to `limit` bytes, in a temporary file if it is long.

        Who reads on behind them, or where such a file could not be made, gets an error.
        """
        left = limit + 1
        with suppress(OSError):
            while left and not self._is_whole:
                piece = self._body.read(min(left, _PIECE))
                if piece:
                    self._kept = self._kept or temporary_file()
                    self._kept.write(piece)
                left -= len(piece)
                self._is_whole = not piece
        if self._kept:
            self._kept.seek(0)


def _read(file: BinaryIO, buffer: bytearray | memoryview) -> int:
    """What there is without waiting for all that would fit."""
    return cast(io.BufferedIOBase, file).readinto1(buffer)
