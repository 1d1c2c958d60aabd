"""What a body of a request or an answer is, wherever it comes from: read as a whole, and closed."""

from typing import BinaryIO

from nativecgi.message.errors import HTTPError

# How much is asked for at a time, in bytes: a read has the memory for all that it might give.
_PIECE = 1024 * 1024


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


def close(body: object) -> None:
    """Close what a body comes from, if that can be closed."""
    if (method := getattr(body, "close", None)) is not None:
        method()
