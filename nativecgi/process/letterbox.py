"""The letterbox: where a thaw leaves the arguments and the environment of the new process.

It is a buffer that begins with a token of 16 bytes and its own size (8 bytes, little-endian) and
ends with the token, by which the freezer finds it. A thaw puts into it the length of the new
process's strings (8 bytes, all ones if they do not fit), the number of its arguments (8 bytes),
the kinds of its standard streams (one byte each: streams.py), five zeros, and the strings of its
command line and environment, each with a NUL behind it.
"""

import os
import struct
from collections.abc import Iterable

# Servers limit a request's header to 8 to 32 KiB by default; what does not fit is read from
# /proc, where that is mounted.
_SIZE = 64 * 1024
_KINDS, _HEAD = 16, 24  # offsets of the streams' kinds and of the strings
_TOO_LONG = 2**64 - 1

# This process's own. The last of the zeros in it tells crash.c whether the request can still be
# answered: the descriptor that the answer is to go to, BEGUN once something of it may have been
# written, or 0 where there is no answer to be given. The byte is here since this is memory that
# each process writes to anyway, and a thaw leaves it at 0.
memory = bytearray(_SIZE)
ANSWER = _HEAD - 1
BEGUN = 255


class Letterbox:
    """A letterbox in memory that it allocates, or in `content`, which must have the right size."""

    def __init__(self, content: bytearray | None = None) -> None:
        self._content = bytearray(_SIZE) if content is None else content
        self._bytes = memoryview(self._content)
        self._words = self._bytes.cast("Q")

    def address(self, token: bytes) -> None:
        """Mark it for the freezer."""
        self._content[: len(token)] = token
        self._content[len(token) : len(token) + 8] = _SIZE.to_bytes(8, "little")
        self._content[-len(token) :] = token

    def post(self, arguments: Iterable[str], variables: Iterable[str], kinds: bytes) -> None:
        """Fill it as a thaw does, whose variables are NAME=value."""
        arguments = list(arguments)
        block = b"".join(os.fsencode(string) + b"\0" for string in (*arguments, *variables))
        self._content[:_KINDS] = struct.pack("<QQ", len(block), len(arguments))
        self._content[_KINDS : _KINDS + len(kinds)] = kinds
        self._content[_HEAD : _HEAD + len(block)] = block

    def strings(self) -> tuple[bytes | memoryview, int]:
        """The arguments and variables, each with a NUL behind it, and how many are arguments."""
        length, count = self._words[0], self._words[1]
        is_here = length != _TOO_LONG
        return self._bytes[_HEAD : _HEAD + length] if is_here else _from_proc(), count

    def kinds(self) -> bytearray:
        """What the three standard streams are."""
        return self._content[_KINDS:_HEAD]


def _from_proc() -> bytes:
    """What is too long for a letterbox."""
    with open("/proc/self/cmdline", "rb") as arguments, open("/proc/self/environ", "rb") as env:
        return arguments.read() + env.read()
