"""The chunked coding of a request's body (RFC 9112 7.1), which httptools decodes."""

import re

from httptools import HttpParserError, HttpRequestParser

from nativecgi.message.errors import HTTPError

# httptools decodes bodies of requests only, so it is given one. It would leave the body of a
# request that asks for an upgrade alone, so it is not given the client's.
_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
# Only this ends a body, and it does not tell how far it has read. A body may have it inside, too.
_END = b"\r\n\r\n"
_BEGINNING_OF_END = re.compile(rb"\r(?:\n\r?)?\Z")

# Bytes of extensions and trailers, between one piece of data and the next: no client needs more,
# and no limit on the body's size would end them. A chunk without any has few bytes around its data.
_MAX_OVERHEAD = 64 * 1024
_AROUND_A_CHUNK = 24


class _Listener:
    """What httptools has found in the bytes it was given last."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.chunks = 0
        self.is_complete = False

    def on_chunk_header(self) -> None:
        self.chunks += 1

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.is_complete = True


class Chunked:
    """A decoder of one body. Chunk extensions and trailers are dropped."""

    def __init__(self) -> None:
        self._listener = _Listener()
        self._parser = HttpRequestParser(self._listener)
        self._parser.feed_data(_HEAD)
        self._overhead = 0
        self._failure: HTTPError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the body has ended."""
        return self._listener.is_complete

    def take(self, buffer: bytearray) -> bytes:
        """Take the body's bytes out of the buffer, and nothing behind its end; returns their data.

        Raises HTTPError (400) if they are malformed, once the data before that was returned.
        """
        if self._failure:
            raise self._failure
        listener = self._listener
        listener.pieces.clear()
        while not listener.is_complete and (piece := _cut(buffer)):
            self._feed(piece)
            if self._failure:
                if not listener.pieces:
                    raise self._failure
                break
        return b"".join(listener.pieces)

    def _feed(self, piece: bytes) -> None:
        listener = self._listener
        known = len(listener.pieces)
        listener.chunks = 0
        try:
            self._parser.feed_data(piece)
        except HttpParserError:
            self._failure = HTTPError(400, "The body's chunks are malformed.")
        data = sum(map(len, listener.pieces[known:]))
        overhead = len(piece) - data - listener.chunks * _AROUND_A_CHUNK
        self._overhead = max(0, overhead if data else self._overhead + overhead)
        if self._overhead > _MAX_OVERHEAD:
            self._failure = HTTPError(400, "The body's chunks have too much around them.")


def _cut(buffer: bytearray) -> bytes:
    """The bytes up to what may be the end, or as many as there are and are not a part of it."""
    end = buffer.find(_END)
    if end >= 0:
        size = end + len(_END)
    else:
        tail = _BEGINNING_OF_END.search(buffer, max(0, len(buffer) - len(_END) + 1))
        size = tail.start() if tail else len(buffer)
    piece = bytes(buffer[:size])
    del buffer[:size]
    return piece
