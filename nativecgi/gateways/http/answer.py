"""A CGI program's output (RFC 3875 6) as an HTTP/1.1 response (RFC 9112): its head, its frames."""

import re

from msgspec import Struct

from nativecgi.gateways.answer import OF_THE_CONNECTION
from nativecgi.gateways.encode import encode
from nativecgi.message.dates import format_date
from nativecgi.message.errors import HTTPError
from nativecgi.message.response import phrase
from nativecgi.message.response import refusal as response_of

MAX_HEAD = 256 * 1024  # bytes

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")
_FIELD = re.compile(
    # RFC 9110 5.1 and 5.5: a token, and no control character but HTAB.
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0-\x08\x0a-\x1f\x7f]*?)[ \t]*"
)
_STATUS = re.compile(rb"([2-5][0-9][0-9])(?: (.*))?")
_DIGITS = re.compile(rb"[0-9]{1,18}")  # they fit an off_t
# Fields of one connection (RFC 9110 7.6.1), which is ours, and Status, which is no field of HTTP.
_DROPPED = {name.encode() for name in OF_THE_CONNECTION} | {b"proxy-connection"}
_WITHOUT_BODY = (204, 205, 304)


class MalformedAnswerError(ValueError):
    """What a program has written is no CGI response, and why."""


class Framer(Struct):
    """Frames the body of one answer."""

    has_body: bool
    is_chunked: bool
    left: int | None  # bytes that are still to come; None if that is not known

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the body is missing, so that the connection may be kept."""
        return not self.has_body or not self.left

    def piece(self, data: bytes) -> bytes:
        """The bytes that a piece of the body is sent as.

        What goes beyond the Content-Length is cut: the client would take it for the next answer.
        """
        if not (self.has_body and data):
            return b""
        if self.is_chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        return data

    def end(self) -> bytes:
        """The bytes that end the body. An answer that breaks off must not have them."""
        return b"0\r\n\r\n" if self.has_body and self.is_chunked else b""


class Answer(Struct, frozen=True):
    """How an answer begins, and how it goes on."""

    head: bytes  # the status line and the fields, with the empty line
    framer: Framer
    keeps_alive: bool  # as the head tells the client
    # A path and a query: not the client's answer, but where the server finds it (RFC 3875 6.2.2).
    # The head is empty then.
    local_redirect: str = ""


def split(output: bytes) -> tuple[bytes, bytes] | None:
    """The head and the beginning of the body, or None if the head is not complete yet.

    Raises MalformedAnswerError if it is longer than MAX_HEAD.
    """
    end = _END_OF_HEAD.search(output)
    if (end.start() if end else len(output)) > MAX_HEAD:
        raise MalformedAnswerError("the header is too long")
    return (output[: end.start()], output[end.end() :]) if end else None


def answer_of(head: bytes, method: str, protocol: str, *, keeps_alive: bool, now: float) -> Answer:
    """The answer that a CGI program's header stands for, to a request of this method and protocol.

    `keeps_alive` is whether the connection may be kept, and `now` the time for a Date field.
    Raises MalformedAnswerError.
    """
    fields = _fields(head)
    named = {name.lower(): value for name, value in fields}
    location, status_line = named.get(b"location", b""), named.get(b"status")
    if location.startswith(b"/") and status_line is None and len(fields) == 1:
        redirect = location.decode("utf-8", "surrogateescape")
        return Answer(b"", Framer(False, False, None), keeps_alive, redirect)
    status, reason = _status(status_line, is_redirect=bool(location))
    length = _length(fields)
    has_body = method != "HEAD" and status not in _WITHOUT_BODY
    if status == 205:  # RFC 9110 15.3.6: it has a body, which is empty
        length = 0
    is_chunked = has_body and length is None and protocol == "HTTP/1.1"
    if has_body and length is None and not is_chunked:
        keeps_alive = False  # the body ends where the connection does
    lines = [b"HTTP/1.1 %d %b" % (status, reason)]
    dropped = _dropped(named)
    lines += [b"%b: %b" % field for field in fields if field[0].lower() not in dropped]
    if b"date" not in named:
        lines.append(b"Date: " + format_date(now).encode())
    if is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif length is not None and status != 204:  # RFC 9110 8.6
        lines.append(b"Content-Length: %d" % length)
    lines.append(b"Connection: keep-alive" if keeps_alive else b"Connection: close")
    framer = Framer(has_body, is_chunked, length)
    return Answer(b"\r\n".join(lines) + b"\r\n\r\n", framer, keeps_alive)


def refusal(failure: HTTPError) -> bytes:
    """The whole response to a request that is refused, after which the connection is closed."""
    response = encode(response_of(failure), nph="HTTP/1.1")
    assert isinstance(response, bytes)  # a message is not streamed
    return response


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in _LINE.split(head):
        if not (match := _FIELD.fullmatch(line)):
            raise MalformedAnswerError(f"a line is no header field: {line!r}")
        fields.append((match[1], match[2]))
    return fields


def _status(line: bytes | None, *, is_redirect: bool) -> tuple[int, bytes]:
    """The status code, and its phrase."""
    if line is None:  # RFC 3875 6.2.1, 6.2.3
        line = b"302" if is_redirect else b"200"
    if not (match := _STATUS.fullmatch(line)):
        raise MalformedAnswerError(f"the status is {line!r}")
    status = int(match[1])
    return status, match[2] or phrase(status).encode()


def _length(fields: list[tuple[bytes, bytes]]) -> int | None:
    values = [value for name, value in fields if name.lower() == b"content-length"]
    if not values:
        return None
    if len(values) > 1 or not _DIGITS.fullmatch(values[0]):
        raise MalformedAnswerError(f"the Content-Length is {b', '.join(values)!r}")
    return int(values[0])


def _dropped(named: dict[bytes, bytes]) -> set[bytes]:
    """Names of fields that are not sent on; our own Content-Length takes the program's place."""
    options = named.get(b"connection", b"").lower().split(b",")
    return {*_DROPPED, b"content-length", *(option.strip() for option in options)}
