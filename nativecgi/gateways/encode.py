"""A Response as the bytes that a CGI program writes to its server (RFC 3875 6)."""

import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from nativecgi.message.body import close
from nativecgi.message.dates import format_date
from nativecgi.message.errors import require_status
from nativecgi.message.headers import lower_name, pairs
from nativecgi.message.response import Body, Response, phrase
from nativecgi.transfer.send import Streamed, chunk, file_length

# Answers that never have a body, and those whose length is not to be sent either (RFC 9110 8.6,
# 15.3.5, 15.3.6, 15.4.5).
_WITHOUT_BODY = frozenset((204, 205, 304))
_WITHOUT_LENGTH = frozenset((204, 304))
# A program must send these once at most (RFC 3875 6.3), and Status is ours to send.
_ONCE = ("content-type", "content-length", "location")
_PIECE = 64 * 1024  # bytes of a file that is none of the file system's, such as a pipe
# Fields about the connection are between the server and its client (RFC 3875 6.3.4).
OF_THE_CONNECTION = frozenset(
    ("connection", "keep-alive", "status", "te", "trailer", "transfer-encoding", "upgrade")
)
# RFC 9110 5.5: CR, LF and NUL could add fields or a body, and no other control but HTAB is valid.
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")


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
    status = response.status
    require_status(status)
    media_type, body, length = _typed_body(response.body)
    fields = pairs(response.headers)
    names = [lower_name(name) for name, _value in fields]
    _require_allowed(names)
    if status == 200 and "location" in names:
        return _local_redirect(fields, body, nph)
    is_announced = "content-length" in names and status not in _WITHOUT_LENGTH
    if status in _WITHOUT_BODY:
        length = 0
    if is_announced:
        # A handler that answers HEAD by itself has no body to compare it with.
        length = _announced(fields, None if omit_body else length, exact=isinstance(body, bytes))
    if length != 0 and "content-type" not in names and status not in _WITHOUT_BODY:
        fields.append(("Content-Type", media_type))
    if status in _WITHOUT_LENGTH:
        fields = [pair for pair in fields if lower_name(pair[0]) != "content-length"]
    elif length is not None and not is_announced:
        fields.append(("Content-Length", str(length)))
    in_chunks = nph == "HTTP/1.1" and length is None and not omit_body
    if in_chunks:
        fields.append(("Transfer-Encoding", "chunked"))
    head = _head(status, fields, nph)
    if isinstance(body, bytes):
        return head if omit_body or status in _WITHOUT_BODY else head + body
    if omit_body or status in _WITHOUT_BODY:
        close(body)
        return head
    return _streamed(head, body, length, in_chunks)


def _typed_body(body: Body) -> tuple[str, bytes | Iterable[bytes | str] | BinaryIO, int | None]:
    """The body's type where the author gives none, the body, its length where that is known."""
    if isinstance(body, str):
        encoded = body.encode("utf-8", "surrogateescape")
        return "text/plain; charset=utf-8", encoded, len(encoded)
    if isinstance(body, bytes):
        return "application/octet-stream", body, len(body)
    if isinstance(body, bytearray | memoryview):
        copied = bytes(body)
        return "application/octet-stream", copied, len(copied)
    if isinstance(body, Mapping) or not (hasattr(body, "__iter__") or hasattr(body, "read")):
        raise TypeError(
            f"a body is bytes, str, a binary file or an iterable, not {type(body).__name__}"
        )
    if isinstance(body, io.TextIOBase):
        raise TypeError("a file has to be opened in binary mode to be a body")
    return "application/octet-stream", body, file_length(body)


def _announced(fields: list[tuple[str, str]], length: int | None, *, exact: bool) -> int:
    """The author's Content-Length: of a file it may be a part, and pieces are not counted yet."""
    (value,) = [value for name, value in fields if lower_name(name) == "content-length"]
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length is {value!r}, which is no number")
    if length is not None and (int(value) > length or (exact and int(value) != length)):
        raise ValueError(f"Content-Length is {value}, but the body has {length} bytes")
    return int(value)


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


def _local_redirect(fields: list[tuple[str, str]], body: object, nph: str | None) -> bytes:
    """RFC 3875 6.2.2: a path to answer from, and nothing else."""
    if len(fields) > 1 or body != b"":
        raise ValueError("an answer of status 200 with a Location is a local redirect: no more")
    if nph is not None:
        raise ValueError("a local redirect is the server's to follow, which takes no part here")
    _name, value = fields[0]
    # Two slashes would be another server's address (RFC 3986 4.2).
    if not value.startswith("/") or value[1:].lstrip("\t").startswith(("/", "\\")):
        raise ValueError(f"a local redirect goes to a path, not to {value!r}")
    return _lines([], fields)


def _require_allowed(names: list[str]) -> None:
    for name in names:
        if name in OF_THE_CONNECTION:
            raise ValueError(f"the header field {name} is the server's to send")
        if name in _ONCE and names.count(name) > 1:
            raise ValueError(f"the header field {name} is there twice")


def _head(status: int, fields: list[tuple[str, str]], nph: str | None) -> bytes:
    if nph is None:
        return _lines([f"Status: {status:d} {phrase(status)}"], fields)
    start = [f"HTTP/1.1 {status:d} {phrase(status)}", "Connection: close"]
    if all(lower_name(name) != "date" for name, _value in fields):
        start.append(f"Date: {format_date(time.time())}")
    return _lines(start, fields)


def _lines(lines: list[str], fields: list[tuple[str, str]]) -> bytes:
    for name, value in fields:
        lines.append(name + ": " + value)
        # What is printable needs no closer look, and most is.
        if not value.isprintable() and _CONTROL.search(value):
            raise ValueError(f"the header field {name} has a control character in it: {value!r}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
