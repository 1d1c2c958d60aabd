"""A web server's side of FastCGI, for tests."""

import socket
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from nativecgi.gateways.fastcgi import records

SECONDS = 30
GET = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/app", "PATH_INFO": "/a", "QUERY_STRING": ""}


class Answer(Struct):
    """What a server has received of a request."""

    head: str
    body: bytes
    log: str
    app_status: int | None  # None: the request was not ended


def request(
    env: Mapping[str, str] = GET, body: bytes = b"", *, keep: bool = True, id: int = 1
) -> bytes:
    """A whole request."""
    return begun(env, keep=keep, id=id) + _stream(records.FCGI_STDIN, body, id)


def begun(env: Mapping[str, str], *, keep: bool, id: int = 1) -> bytes:
    """A request but for its body."""
    flags = records.FCGI_KEEP_CONN if keep else 0
    content = bytes((0, records.FCGI_RESPONDER, flags, 0, 0, 0, 0, 0))
    start = records.encode_record(records.FCGI_BEGIN_REQUEST, id, content)
    return start + _stream(records.FCGI_PARAMS, records.encode_pairs(env), id)


def _stream(type: int, content: bytes, id: int) -> bytes:
    return records.encode_stream(type, id, content) + records.encode_record(type, id)


def answers(data: bytes) -> list[Answer]:
    """The answers to requests, one after the other."""
    found: list[Answer] = []
    streams: dict[int, bytes] = {}
    parsed, consumed = records.parse_records(data)
    assert consumed == len(data)
    for record in parsed:
        if record.type == records.FCGI_END_REQUEST:
            assert record.content[4] == records.FCGI_REQUEST_COMPLETE
            found.append(_split(streams, int.from_bytes(record.content[:4], "big")))
            streams = {}
        else:
            streams[record.type] = streams.get(record.type, b"") + record.content
    return [*found, _split(streams, None)] if streams else found


def _split(streams: Mapping[int, bytes], status: int | None) -> Answer:
    head, _empty, body = streams.get(records.FCGI_STDOUT, b"").partition(b"\r\n\r\n")
    return Answer(head.decode(), body, streams.get(records.FCGI_STDERR, b"").decode(), status)


def ask(path: Path, env: Mapping[str, str] = GET, body: bytes = b"") -> Answer | None:
    """Send a request to a unix socket; its answer, or None if there is none."""
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(SECONDS)
        server.connect(str(path))
        server.sendall(request(env, body, keep=False))
        found = b""
        while data := server.recv(65536):
            found += data
    told = answers(found)
    return told[0] if told else None
