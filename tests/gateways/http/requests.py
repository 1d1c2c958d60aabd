"""Requests as bytes, and what a connection makes of them."""

from collections.abc import Iterable

from nativecgi.gateways.http.connection import Body, Closed, Connection, End
from nativecgi.gateways.http.head import Ends, Head
from nativecgi.message.errors import HTTPError

ENDS = Ends("server.example", "8080", "192.0.2.7", "50000")

# What has come of some bytes: heads, whole bodies, ends, and the status of a refusal.
Outcome = list[Head | bytes | End | Closed | int]


def request(
    *fields: str, line: str = "GET / HTTP/1.1", host: str | None = "a.example", body: bytes = b""
) -> bytes:
    """A request with these lines as its header fields; a character stands for a byte."""
    lines = [line, *([] if host is None else [f"Host: {host}"]), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(body: bytes, *fields: str) -> bytes:
    """A request with this body, which has the chunked coding."""
    return request("Transfer-Encoding: chunked", *fields, line="POST / HTTP/1.1", body=body)


def post(body: bytes, *fields: str) -> bytes:
    """A request with this body, which has a length."""
    return request(f"Content-Length: {len(body)}", *fields, line="POST / HTTP/1.1", body=body)


def connect() -> Connection:
    return Connection(ENDS)


def outcome(*pieces: bytes, connection: Connection | None = None) -> Outcome:
    """What comes of bytes that are received in these pieces; each request is answered at once."""
    connection = connection or connect()
    found: Outcome = []
    for piece in pieces:
        connection.receive(piece)
        try:
            _read(connection, found)
        except HTTPError as failure:
            found.append(failure.status)
        if found and isinstance(found[-1], Closed | int):
            break
    return found


def _read(connection: Connection, found: Outcome) -> None:
    while (event := connection.next_event()) is not None:
        if not isinstance(event, Body):
            found.append(event)
        elif found and isinstance(found[-1], bytes):
            found[-1] += event.data
        else:
            found.append(event.data)
        if isinstance(event, End):
            connection.finish()
        if isinstance(event, Closed):
            return


def head_of(data: bytes) -> Head:
    """The head of a request that is not refused."""
    event = outcome(data)[0]
    assert isinstance(event, Head)
    return event


def bodies(found: Outcome) -> list[bytes]:
    return [it for it in found if isinstance(it, bytes)]


def status_of(data: bytes) -> int | None:
    """The status that a request is refused with, in its head or in its body."""
    statuses = [it for it in outcome(data) if isinstance(it, int)]
    return statuses[0] if statuses else None


def count(found: Iterable[object], kind: type) -> int:
    return sum(isinstance(it, kind) for it in found)
