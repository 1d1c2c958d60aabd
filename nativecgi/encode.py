"""A Response as the bytes that a CGI program writes to its server (RFC 3875 6)."""

from nativecgi.headers import checked_name, pairs
from nativecgi.response import Response, has_field, phrase

# Answers that never have a body, nor fields that describe one (RFC 9110 8.6, 15.3.5, 15.4.5).
_WITHOUT_BODY = frozenset((204, 304))


def encode(response: Response, *, omit_body: bool = False) -> bytes:
    """Header and body; `omit_body` leaves the body out, as an answer to HEAD does.

    Raises TypeError or ValueError where the handler returned what cannot be sent.
    """
    if not isinstance(response, Response):
        raise TypeError(f"a handler returns a Response, not {type(response).__name__}")
    # A server takes 1xx for itself, and a program's status has three digits (RFC 3875 6.3.3).
    if not 200 <= response.status <= 599:
        raise ValueError(f"{response.status} is not the status of an answer: 200 to 599 are")
    body = response.body
    if isinstance(body, str):
        media_type, body = "text/plain; charset=utf-8", body.encode("utf-8", "surrogateescape")
    elif isinstance(body, bytes):
        media_type = "application/octet-stream"
    else:
        raise TypeError(f"a body is bytes or str, not {type(body).__name__}")

    fields = pairs(response.headers)
    if response.status in _WITHOUT_BODY:
        body = b""
    else:
        if body and not has_field(fields, "content-type"):
            fields.append(("Content-Type", media_type))
        if not has_field(fields, "content-length"):
            fields.append(("Content-Length", str(len(body))))
    head = _head(response.status, fields)
    return head if omit_body else head + body


def _head(status: int, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"Status: {status} {phrase(status)}"]
    lines += [f"{checked_name(name)}: {value}" for name, value in fields]
    text = "\r\n".join(lines)
    # A CR, LF or NUL in a value could add fields or a body of its own (RFC 9110 5.5). All
    # values are looked through at once: there are as many line breaks as there should be.
    breaks = len(fields)
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ValueError(f"a header field has a line break or NUL in it: {fields!r}")
    return (text + "\r\n\r\n").encode("utf-8", "surrogateescape")
