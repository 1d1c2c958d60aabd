"""A Response as the bytes that a CGI program writes to its server (RFC 3875 6)."""

import re

from nativecgi.headers import lower_name, pairs
from nativecgi.response import Response, phrase

# Answers that never have a body, and those whose length is not to be sent either (RFC 9110 8.6,
# 15.3.5, 15.3.6, 15.4.5).
_WITHOUT_BODY = frozenset((204, 205, 304))
_WITHOUT_LENGTH = frozenset((204, 304))
# A program must send these once at most (RFC 3875 6.3), and Status is ours to send.
_ONCE = ("content-type", "content-length", "location")
# Fields about the connection are between the server and its client (RFC 3875 6.3.4).
_OF_THE_CONNECTION = frozenset(
    ("connection", "keep-alive", "status", "te", "trailer", "transfer-encoding", "upgrade")
)
# RFC 9110 5.5: CR, LF and NUL could add fields or a body, and no other control but HTAB is valid.
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")


def encode(response: Response, *, omit_body: bool = False) -> bytes:
    """Header and body; `omit_body` leaves the body out, as an answer to HEAD does.

    Raises TypeError or ValueError where the handler returned what cannot be sent.
    """
    status = response.status
    if not isinstance(status, int):
        raise TypeError(f"a status is an int, not {type(status).__name__}")
    # A server takes 1xx for itself, and a program's status has three digits (RFC 3875 6.3.3).
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of an answer: 200 to 599 are")
    media_type, body = _typed_body(response.body)
    fields = pairs(response.headers)
    names = [lower_name(name) for name, _value in fields]
    if status in _WITHOUT_BODY:
        body = b""
    elif body and "content-type" not in names:
        fields.append(("Content-Type", media_type))
    if status in _WITHOUT_LENGTH:
        fields = [pair for pair in fields if lower_name(pair[0]) != "content-length"]
    elif "content-length" not in names:
        fields.append(("Content-Length", str(len(body))))
    elif not omit_body:
        _require_length(fields, len(body))
    _require_allowed(names)
    head = _head(status, fields)
    return head if omit_body else head + body


def _typed_body(body: bytes | str) -> tuple[str, bytes]:
    if isinstance(body, str):
        return "text/plain; charset=utf-8", body.encode("utf-8", "surrogateescape")
    if isinstance(body, bytes):
        return "application/octet-stream", body
    raise TypeError(f"a body is bytes or str, not {type(body).__name__}")


def _require_length(fields: list[tuple[str, str]], length: int) -> None:
    for name, value in fields:
        if lower_name(name) == "content-length" and value != str(length):
            raise ValueError(f"Content-Length is {value}, but the body has {length} bytes")


def _require_allowed(names: list[str]) -> None:
    for name in names:
        if name in _OF_THE_CONNECTION:
            raise ValueError(f"the header field {name} is the server's to send")
        if name in _ONCE and names.count(name) > 1:
            raise ValueError(f"the header field {name} is there twice")


def _head(status: int, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"Status: {status:d} {phrase(status)}"]
    for name, value in fields:
        lines.append(name + ": " + value)
        # What is printable needs no closer look, and most is.
        if not value.isprintable() and _CONTROL.search(value):
            raise ValueError(f"the header field {name} has a control character in it: {value!r}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
