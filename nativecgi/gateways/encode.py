"""An answer as the bytes that a CGI program writes to its server (RFC 3875 6)."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, BinaryIO

from nativecgi.gateways.answer import planned
from nativecgi.message.dates import format_date
from nativecgi.message.headers import lower_name
from nativecgi.message.response import Response, phrase
from nativecgi.transfer.send import Streamed, chunk, file_length

_PIECE = 64 * 1024  # bytes of a file that is none of the file system's, such as a pipe


def encode(
    response: Response, *, omit_body: bool = False, nph: str | None = None
) -> bytes | Streamed:
    """Header and body; `omit_body` leaves the body out, as an answer to HEAD does.

    Of a body in pieces the first is taken here: a failure before it can be another answer still.

    `nph` is the protocol of the request, such as HTTP/1.1, where the server hands the output on
    as it is (RFC 3875 5): it is then the whole response, with a status line.

    Raises TypeError or ValueError where the handler returned what cannot be sent, and whatever
    the first piece raises.
    """
    answer = planned(response, omit_body=omit_body)
    fields, body, length = answer.fields, answer.body, answer.length
    if answer.is_local_redirect:
        if nph is not None:
            raise ValueError("a local redirect is the server's to follow, which takes no part here")
        return _lines([], fields)
    in_chunks = nph == "HTTP/1.1" and length is None and not omit_body
    if in_chunks:
        fields.append(("Transfer-Encoding", "chunked"))
    head = _head(answer.status, fields, nph)
    if isinstance(body, bytes):
        return head + body
    return _streamed(head, body, length, in_chunks)


def _streamed(
    head: bytes, body: Iterable[bytes | str] | BinaryIO, length: int | None, in_chunks: bool
) -> bytes | Streamed:
    if file_length(body) is not None:
        return Streamed(head, None, length, False, body)
    pieces = _pieces(body)
    first = next(pieces, b"")
    left = None if length is None else length - len(first)
    if left is not None and left < 0:
        raise ValueError("the body is longer than its Content-Length")
    return Streamed(head + (chunk(first) if in_chunks else first), pieces, left, in_chunks, body)


def _pieces(body: Iterable[bytes | str] | BinaryIO) -> Iterator[bytes]:
    # A file's own pieces would be its lines.
    read = getattr(body, "read1", getattr(body, "read", None))
    for piece in _read(read) if read else body:
        if isinstance(piece, str):
            yield piece.encode("utf-8", "surrogateescape")
        elif isinstance(piece, bytes | bytearray | memoryview):
            yield bytes(piece)
        else:
            raise TypeError(f"a piece of a body is bytes or str, not {type(piece).__name__}")


def _read(read: Callable[[int], Any]) -> Iterator[Any]:
    while (piece := read(_PIECE)) not in (b"", ""):
        yield piece


def _head(status: int, fields: list[tuple[str, str]], nph: str | None) -> bytes:
    if nph is None:
        return _lines(["Status: " + _code_and_phrase(status)], fields)
    start = ["HTTP/1.1 " + _code_and_phrase(status), "Connection: close"]
    if all(lower_name(name) != "date" for name, _value in fields):
        start.append(f"Date: {format_date(time.time())}")
    return _lines(start, fields)


@cache
def _code_and_phrase(status: int) -> str:
    return f"{status:d} {phrase(status)}"


def _lines(lines: list[str], fields: list[tuple[str, str]]) -> bytes:
    lines += [": ".join(field) for field in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
