"""The ways to make a request: in this process, of the program alone, through a web server."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.client import HTTPResponse, IncompleteRead, RemoteDisconnected
from io import BufferedReader
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from nativecgi.message.multidict import MultiDict
from nativecgi.testing import Client
from servers.server import Server
from tests.apps.contract import LIMITS, handle
from tests.contract.case import NO_ANSWER, Answer, Ask, Case, Fields

HOST = "contract.test"

Way = Callable[[Case], Answer]

_SECONDS = 30
_WITH_BODY = ("POST", "PUT", "PATCH")


# --- without a server ---


def in_process(environment: Mapping[str, str]) -> Way:
    """The handler, called."""
    return partial(
        _by_client, lambda: Client(handle, env=environment, limits=LIMITS, raise_errors=False)
    )


def of_binary(folder: Path, environment: Mapping[str, str]) -> Way:
    """The built programs, run as a server would."""

    def answer(case: Case) -> Answer:
        return _by_client(lambda: Client(folder / case.ask.program, env=environment), case)

    return answer


def _by_client(client: Callable[[], Client], case: Case) -> Answer:
    for ask in case.before:
        _asked(client(), ask)
    return _asked(client(), case.ask)


def _asked(client: Client, ask: Ask) -> Answer:
    url = f"{ask.path}?{ask.query}" if ask.query else ask.path
    env = {"SCRIPT_NAME": f"/cgi-bin/{ask.program}"}
    if ask.in_chunks:  # as Apache hands it on
        env |= {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    got = client.request(ask.method, url, headers=_fields(ask), body=ask.body, env=env)
    phrase = got.headers.get("status", "").partition(" ")[2]
    return Answer(
        got.status, phrase, got.headers, got.body, got.log.__contains__, got.exit_status == 0
    )


def _fields(ask: Ask) -> Fields:
    if any(name.lower() == "host" for name, _value in ask.fields):
        return ask.fields
    return (("Host", HOST), *ask.fields)


# --- behind a server ---


def behind(server: Server) -> Way:
    """A web server, asked over one connection for each case."""

    def answer(case: Case) -> Answer:
        address = urlsplit(server.url)
        assert address.hostname
        assert address.port
        with (
            socket.create_connection((address.hostname, address.port), _SECONDS) as connection,
            connection.makefile("rb") as file,
        ):
            for ask in case.before:
                _send(connection, ask, address.path)
                assert _receive(file, ask, server).status != NO_ANSWER
            _send(connection, case.ask, address.path, "Connection: close\r\n")
            answer = _receive(file, case.ask, server)
            # A server that has not read all it was sent resets the connection when it closes it.
            with suppress(ConnectionResetError):
                assert file.read() == b"", "more than the answer came"
            return answer

    return answer


def _send(connection: socket.socket, ask: Ask, folder: str, more: str = "") -> None:
    query = "" if ask.query is None else f"?{ask.query}"
    lines = f"{ask.method} {folder}/{ask.program}{ask.path}{query} HTTP/1.1\r\n"
    lines += "".join(f"{name}: {value}\r\n" for name, value in _fields(ask))
    names = {name.lower() for name, _value in ask.fields}
    body = ask.body
    if ask.in_chunks:
        lines += "Transfer-Encoding: chunked\r\n"
        body = _chunked(body)
    elif "content-length" not in names and (body or ask.method in _WITH_BODY):
        lines += f"Content-Length: {len(body)}\r\n"
    try:
        connection.sendall(f"{lines}{more}\r\n".encode("utf-8", "surrogateescape"))
        if "expect" in names:
            connection.recv(1, socket.MSG_PEEK)  # the server says whether it wants the body
        connection.sendall(body)
    except (BrokenPipeError, ConnectionResetError):
        return  # it has answered already, and reads no further
    if _is_cut_short(ask):
        connection.shutdown(socket.SHUT_WR)


def _chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def _is_cut_short(ask: Ask) -> bool:
    announced = dict(ask.fields).get("Content-Length", "")
    return announced.isdigit() and int(announced) > len(ask.body)


def _receive(file: BufferedReader, ask: Ask, server: Server) -> Answer:
    response = HTTPResponse(cast(Any, _Connection(file)), method=ask.method)
    log = partial(_is_logged, server)
    try:
        response.begin()
    except (RemoteDisconnected, ConnectionResetError):
        return Answer(NO_ANSWER, "", MultiDict(), b"", log)
    is_complete = True
    try:
        body = response.read()
    except IncompleteRead as error:
        body, is_complete = error.partial, False
    headers = MultiDict((name.lower(), _as_utf_8(value)) for name, value in response.getheaders())
    return Answer(response.status, response.reason, headers, body, log, is_complete)


class _Connection:
    """What an HTTPResponse reads from and closes, without its being closed."""

    def __init__(self, file: BufferedReader) -> None:
        self.read, self.readline, self.readinto = file.read, file.readline, file.readinto

    def makefile(self, _mode: str) -> "_Connection":
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass


def _as_utf_8(latin_1: str) -> str:
    return latin_1.encode("latin-1").decode("utf-8", "surrogateescape")


def _is_logged(server: Server, text: str) -> bool:
    deadline = time.monotonic() + 10  # it may be written after the answer
    while text not in server.error_log.read_text(errors="replace"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
