"""Bytes that are collected for later: in memory while they are few, else in one temporary file."""

import io
import os
from contextlib import suppress
from typing import BinaryIO, cast

_IN_MEMORY = 64 * 1024  # bytes; beyond them all are in a file
_COPIED = 1024 * 1024  # bytes at a time


class Spool:
    """Collects what is written to it; parts of it are files, which share one descriptor.

    The file has no name, and goes with the last of them.
    """

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: BinaryIO | None = None
        self.size = 0  # in bytes

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OSError if there is no room for a file."""
        if self._file is None and self.size + len(data) > _IN_MEMORY:
            self._file = _temporary_file()
            self._file.write(self._memory)
            self._memory = bytearray()
        if self._file is None:
            self._memory += data
        else:
            self._file.write(data)
        self.size += len(data)

    def part(self, start: int) -> BinaryIO:
        """What was written after the first `start` bytes, as a readable file."""
        if self._file is not None:
            self._file.flush()
        return cast(BinaryIO, io.BufferedReader(_Part(self, start, self.size - start)))

    def read(self, start: int, size: int) -> bytes:
        """So many of its bytes; in any thread."""
        if self._file is None:
            return bytes(self._memory[start : start + size])
        return os.pread(self._file.fileno(), size, start)

    def close(self) -> None:
        """Close the file, if there is one: before its time, and for all parts."""
        if self._file is not None:
            with suppress(OSError):  # of what could not be written before
                self._file.close()

    def __del__(self) -> None:
        """Nobody is to close it: it goes with the last of its parts."""
        self.close()


class _Part(io.RawIOBase):
    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool = spool
        self._start = start
        self._size = size
        self._position = 0
        self._copy: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._taken(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        pieces = []
        while data := self._taken(self._size):
            pieces.append(data)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"there is nothing before the file's beginning: {origin + offset}")
        self._position = origin + offset
        return self._position

    def fileno(self) -> int:
        """A descriptor of these bytes alone, for who needs one, such as a child process."""
        if self._copy is None:
            self._copy = _temporary_file()
            for offset in range(0, self._size, _COPIED):
                size = min(_COPIED, self._size - offset)
                self._copy.write(self._spool.read(self._start + offset, size))
            self._copy.seek(self._position)  # which writes what is buffered, too
        return self._copy.fileno()

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()
        super().close()

    def _taken(self, most: int) -> bytes:
        size = max(min(most, self._size - self._position), 0)
        data = self._spool.read(self._start + self._position, size)
        self._position += len(data)
        return data


def _temporary_file() -> BinaryIO:
    import tempfile  # most programs need none

    return cast(BinaryIO, tempfile.TemporaryFile())
