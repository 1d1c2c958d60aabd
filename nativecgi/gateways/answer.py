"""What is sent of a Response, independent of the gateway: status, fields and body, checked once."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from msgspec import Struct

from nativecgi.message.body import close
from nativecgi.message.errors import require_status
from nativecgi.message.headers import lower_name, pairs
from nativecgi.message.response import Body, Response
from nativecgi.transfer.send import file_length

# Answers that never have a body, and those whose length is not to be sent either (RFC 9110 8.6,
# 15.3.5, 15.3.6, 15.4.5).
_WITHOUT_BODY = frozenset((204, 205, 304))
_WITHOUT_LENGTH = frozenset((204, 304))
# A program must send these once at most (RFC 3875 6.3), and Status is ours to send.
_ONCE = ("content-type", "content-length", "location")
# Fields about the connection are between the server and its client (RFC 3875 6.3.4).
OF_THE_CONNECTION = frozenset(
    ("connection", "keep-alive", "status", "te", "trailer", "transfer-encoding", "upgrade")
)
# RFC 9110 5.5: CR, LF and NUL could add fields or a body, and no other control but HTAB is valid.
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")


class Answer(Struct):
    """An answer that may be sent."""

    status: int
    fields: list[tuple[str, str]]  # with a Content-Type and a Content-Length, where it has these
    body: bytes | Iterable[bytes | str] | BinaryIO  # empty where none is to be sent
    length: int | None  # in bytes; None where it is not known before it is sent
    is_local_redirect: bool = False  # whether it is a path for a CGI server to answer from


def planned(response: Response, *, omit_body: bool = False) -> Answer:
    """What will be sent; `omit_body` leaves the body out, as in an answer to HEAD.

    A body that is not sent is closed. Raises TypeError or ValueError where the handler returned
    what cannot be sent.
    """
    status = response.status
    require_status(status)
    media_type, body, length = _typed_body(response.body)
    fields = pairs(response.headers)
    names = _checked(fields)
    if status == 200 and "location" in names:
        return _local_redirect(status, fields, body)
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
    if omit_body or status in _WITHOUT_BODY:
        close(body)
        body = b""
    return Answer(status, fields, body, length)


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


def _local_redirect(status: int, fields: list[tuple[str, str]], body: object) -> Answer:
    """RFC 3875 6.2.2: a path to answer from, and nothing else."""
    if len(fields) > 1 or body != b"":
        raise ValueError("an answer of status 200 with a Location is a local redirect: no more")
    _name, value = fields[0]
    # Two slashes would be another server's address (RFC 3986 4.2).
    if not value.startswith("/") or value[1:].lstrip("\t").startswith(("/", "\\")):
        raise ValueError(f"a local redirect goes to a path, not to {value!r}")
    return Answer(status, fields, b"", None, is_local_redirect=True)


def _checked(fields: list[tuple[str, str]]) -> list[str]:
    """The fields' names in lower case; raises ValueError or TypeError where one may not be sent."""
    names: list[str] = []
    for name, value in fields:
        lower = lower_name(name)
        if lower in OF_THE_CONNECTION:
            raise ValueError(f"the header field {lower} is the server's to send")
        if lower in names and lower in _ONCE:
            raise ValueError(f"the header field {lower} is there twice")
        # What is printable needs no closer look, and most is.
        if not str.isprintable(value) and _CONTROL.search(value):
            raise ValueError(f"the header field {name} has a control character in it: {value!r}")
        names.append(lower)
    return names
