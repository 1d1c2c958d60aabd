"""A server's side of an HTTP/1.1 connection (RFC 9112), without a socket: bytes in, events out."""

import re
from typing import Literal

from msgspec import Struct

from nativecgi.gateways.http.chunked import Chunked
from nativecgi.gateways.http.head import Ends, Head, read_head
from nativecgi.message.errors import HTTPError, IncompleteBodyError

MAX_HEAD = 64 * 1024  # bytes

# RFC 9112 2.2: some clients send an empty line after a body.
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
# Where the most lenient of parsers would end the head. httptools wants CR LF, so it refuses a head
# that others would end here and it would not.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Body(Struct, frozen=True):
    """A piece of a request's body, decoded."""

    data: bytes


class End(Struct, frozen=True):
    """The request is complete."""


class Closed(Struct, frozen=True):
    """No other request will come: the socket can be closed."""


Event = Head | Body | End | Closed


class Connection:
    """What a client sends, request by request.

    Each request is a Head, any number of pieces of its Body, and an End. The next one waits until
    `finish` says that the answer has been sent. So nothing more need be received after an End.
    """

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._state: Literal["head", "body", "answer", "closed"] = "head"
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer that have no end of a head
        self._is_at_end = False  # the client sends no more
        self._left = 0  # bytes of the body, if it has a length
        self._chunked: Chunked | None = None
        self._is_waiting = False  # the client, for 100 Continue
        self._wants_more = False  # the client, when this request is answered

    def receive(self, data: bytes) -> None:
        """Add what the client has sent; nothing at all stands for its end.

        Call it when `next_event` has returned None, and not more than some 64 KiB at a time: what
        was received and not yet read is kept in memory.
        """
        if not data:
            self._is_at_end = True
        elif self._state != "closed":
            self._buffer += data

    def next_event(self) -> Event | None:
        """What comes next, or None: more has to be received, or the request has to be answered.

        Raises HTTPError with the status to refuse the request with, 400, 413, 414, 431, 501 or 505.
        Nothing after it can be trusted, so the connection is closed from then on.
        """
        try:
            match self._state:
                case "head":
                    return self._head()
                case "body":
                    return self._body()
                case "answer":
                    return None
                case "closed":
                    return Closed()
        except HTTPError:
            self._close()
            raise

    def invite(self) -> bytes:
        """What has to be sent before the body is waited for: 100 Continue, or nothing.

        Call it when the handler asks for the body, and there is none yet: a client that waits for
        100 Continue need not send a body that nobody reads (RFC 9110 10.1.1).
        """
        is_waiting, self._is_waiting = self._is_waiting, False
        return _CONTINUE if is_waiting and not self._buffer else b""

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may come after the answer, which tells the client so.

        Not if the client still waits for 100 Continue: it may send the body, or not.
        """
        is_open = self._state in ("body", "answer") and not self._is_at_end
        return is_open and self._wants_more and not self._is_waiting

    def finish(self) -> None:
        """The answer has been sent: the next event is about the next request.

        If the request has not been read to its End, or `keeps_alive` is false, it is Closed.
        """
        if self._state == "answer" and self._wants_more:
            self._state = "head"
        else:
            self._close()

    def _close(self) -> None:
        self._state = "closed"
        self._buffer.clear()

    def _head(self) -> Event | None:
        buffer = self._buffer
        if empty := _EMPTY_LINES.match(buffer):
            del buffer[: empty.end()]
        if not buffer or buffer == b"\r":
            if self._is_at_end:
                self._close()
                return Closed()
            return None
        if not buffer[:1].isalpha():  # TLS, most often: the rest of its head will never come
            raise HTTPError(400, "This is not a request in HTTP/1.1.")
        end = _END_OF_HEAD.search(buffer, max(0, self._searched - 2))
        size = end.end() if end else len(buffer)
        if size > MAX_HEAD:
            if b"\n" in buffer[:MAX_HEAD]:
                raise HTTPError(431, "The header fields are too long.")
            raise HTTPError(414, "The request target is too long.")
        if not end:
            if self._is_at_end:
                raise HTTPError(400, "The request is not complete.")
            self._searched = size
            return None
        head = read_head(bytes(buffer[:size]), self._ends)
        del buffer[:size]
        self._searched = 0
        self._state = "body"
        self._left = head.length or 0
        self._chunked = Chunked() if head.length is None else None
        self._is_waiting = head.expects_continue
        self._wants_more = head.keeps_alive
        return head

    def _body(self) -> Event | None:
        if data := self._chunked.take(self._buffer) if self._chunked else self._take():
            self._is_waiting = False
            return Body(data)
        if self._chunked.is_complete if self._chunked else not self._left:
            self._is_waiting = False
            self._state = "answer"
            return End()
        if self._is_at_end:
            raise IncompleteBodyError
        return None

    def _take(self) -> bytes:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        return data
