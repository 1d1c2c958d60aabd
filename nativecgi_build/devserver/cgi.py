"""The server's side of CGI (RFC 3875): a process answers a request that an HTTP server has read."""

import math
import os
import re
import select
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from nativecgi_build.devserver.http import (
    LOOPBACK,
    Application,
    Environ,
    StartResponse,
    ending,
    host_name,
    page,
    printable,
    tell,
)

_PIECE = 64 * 1024
_HEAD_LIMIT = 256 * 1024
_POLL_SECONDS = 0.25  # between two looks whether the client has gone
_PATIENCE_SECONDS = 3.0  # that a process has to end by SIGTERM, as Apache gives it
_REDIRECTS = 10
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
# Fields of one connection (RFC 9110 7.6.1), which is the HTTP server's.
_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer"}
_CONNECTION |= {"transfer-encoding", "upgrade", "proxy-authenticate", "proxy-authorization"}
_DEPTH = "nativecgi.redirects"  # of a local redirect, in a WSGI environ


class Running(msgspec.Struct, frozen=True):
    """A process that answers a request."""

    pidfd: int  # pidfd_open(2): never another process that has got its number
    stdout: int


class CannotStart(Exception):
    """No process can be started, and why."""


class BadAnswer(Exception):
    """What a program has written is no CGI response, and why."""


# Starts a process with these variables and this standard input; raises CannotStart.
Start = Callable[[dict[str, str], int], Running]


class Head(msgspec.Struct, frozen=True):
    """The header of a CGI response."""

    status: str
    headers: list[tuple[str, str]]
    local_redirect: str = ""  # a path and query, if the response is one (RFC 3875 6.2.2)
    length: float = math.inf  # of the body, if it is known


def respond(
    environ: Environ,
    start_response: StartResponse,
    start: Start,
    variables: dict[str, str],
    again: Application,
) -> Iterator[bytes]:
    """Answer a request by the process that `start` starts with these meta-variables.

    `again` answers the request that a local redirect stands for.
    """
    if any("\0" in value for value in variables.values()):
        yield from page(environ, start_response, "400 Bad Request", "A NUL is in the request.\n")
        return
    if variables["SCRIPT_NAME"].rpartition("/")[2].startswith("nph-"):
        yield from page(
            environ,
            start_response,
            "501 Not Implemented",
            "A program named nph-... writes to the client itself (RFC 3875 5). Try it with a web "
            "server that can do that, or give it another name.\n",
        )
        return
    try:
        with tempfile.TemporaryFile() as stdin:
            shutil.copyfileobj(environ["wsgi.input"], stdin)
            stdin.seek(0)
            running = start(variables, stdin.fileno())
    except CannotStart as error:
        yield from page(environ, start_response, "500 Internal Server Error", f"{error}\n")
        return
    output = _Output(running, environ.get("waitress.client_disconnected", lambda: False))
    try:
        head, body = _head(output.pieces())
        if head.local_redirect:
            yield from _redirected(environ, start_response, head.local_redirect, again)
            return
        write = start_response(head.status, head.headers)
        write(b"")  # the client gets the header now, and not with the first piece
        has_body = environ["REQUEST_METHOD"] != "HEAD" and head.status[:3] not in ("204", "304")
        rest = head.length
        for piece in chain((body,), output.pieces()):
            if has_body:
                yield piece
                rest -= len(piece)
                if rest <= 0:
                    output.is_complete = True
                    return
    except BadAnswer as error:
        _log(variables, str(error))
        text = f"The program {error}. Its error log is in the server's terminal.\n"
        yield from page(environ, start_response, "500 Internal Server Error", text)
    finally:
        output.close()


def variables_of(environ: Environ, script_name: str, path_info: str) -> dict[str, str]:
    """A process's environment: this one's, and the meta-variables of a request.

    Of a WSGI environ's text each character is a byte (PEP 3333, "Unicode Issues").
    """
    inherited = {name: value for name, value in os.environ.items() if not _is_meta(name)}
    request = {
        name: _decoded(value)
        for name, value in environ.items()
        if isinstance(value, str) and _is_meta(name)
    }
    request.pop("HTTP_PROXY", None)  # httpoxy
    return {
        **inherited,
        **request,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "nativecgi",
        "SERVER_NAME": host_name(environ) or LOOPBACK,
        "REQUEST_SCHEME": "http",
        "SCRIPT_NAME": _decoded(script_name),
        "PATH_INFO": _decoded(path_info),
    }


_META = {"AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "HTTPS", "PATH_INFO"}
_META |= {"PATH_TRANSLATED", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_IDENT"}
_META |= {"REMOTE_PORT", "REMOTE_USER", "REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI"}
_META |= {"SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"}
_META |= {"SERVER_SOFTWARE"}


def _is_meta(name: str) -> bool:
    return name in _META or name.startswith("HTTP_")


def _decoded(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def parse_head(head: bytes) -> Head:
    """What a program says above its answer's body; raises BadAnswer."""
    status, location, headers, length = "", "", list[tuple[str, str]](), math.inf
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(name):
            raise BadAnswer(f"has written a line that is no header field: {printable(line)!r}")
        match name.lower():
            case "status":
                status = value
            case "content-length" if not (value.isascii() and value.isdigit()):
                raise BadAnswer(f"has written the Content-Length {printable(value)!r}")
            case lower if lower not in _CONNECTION:
                location = value if lower == "location" else location
                length = int(value) if lower == "content-length" else length
                headers.append((name, value))
    if location.startswith("/") and not status and len(headers) == 1:
        return Head("", headers, local_redirect=location)
    if location and not status:
        status = "302 Found"
    if status and not re.fullmatch(r"[1-9][0-9][0-9]( .*)?", status):
        raise BadAnswer(f"has written the status {printable(status)!r}")
    return Head(status or "200 OK", headers, length=length)


def _head(output: Iterator[bytes]) -> tuple[Head, bytes]:
    """The header, and what came with it of the body."""
    read = b""
    for piece in output:
        read += piece
        if end := _END_OF_HEAD.search(read):
            return parse_head(read[: end.start()]), read[end.end() :]
        if len(read) > _HEAD_LIMIT:
            break
    raise BadAnswer("has written no header" if read else "has ended without an answer")


class _Output:
    """What a process writes. `is_complete` is whether it may be left alone."""

    def __init__(self, running: Running, has_gone: Callable[[], bool]) -> None:
        self.is_complete = False
        self._running = running
        self._has_gone = has_gone
        self._poll = select.poll()
        for descriptor in (running.stdout, ending):
            self._poll.register(descriptor, select.POLLIN)

    def pieces(self) -> Iterator[bytes]:
        """Its pieces as they come, until the end, the client's or the server's."""
        while not self.is_complete:
            ready = [descriptor for descriptor, _event in self._poll.poll(_POLL_SECONDS * 1000)]
            if ending in ready or self._has_gone():
                return
            if self._running.stdout in ready:
                piece = os.read(self._running.stdout, _PIECE)
                if not piece:
                    self.is_complete = True
                    return
                yield piece

    def close(self) -> None:
        """End the process if its answer is not complete: nobody will get the rest."""
        os.close(self._running.stdout)
        if not self.is_complete:
            end(self._running.pidfd)
        os.close(self._running.pidfd)


def end(pidfd: int) -> None:
    """End a process, by force when it takes too long."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], _PATIENCE_SECONDS)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _redirected(
    environ: Environ, start_response: StartResponse, location: str, again: Application
) -> Iterator[bytes]:
    """The answer to GET of another path of this server."""
    depth = environ.get(_DEPTH, 0) + 1
    if depth > _REDIRECTS:
        raise BadAnswer(f"has redirected {_REDIRECTS} times")
    target = urlsplit(location)
    kept = {
        name: value
        for name, value in environ.items()
        if name not in ("CONTENT_LENGTH", "CONTENT_TYPE")
    }
    with open(os.devnull, "rb") as nothing:
        request = {
            **kept,
            "REQUEST_METHOD": "HEAD" if environ["REQUEST_METHOD"] == "HEAD" else "GET",
            "PATH_INFO": unquote_to_bytes(target.path).decode("latin-1"),
            "QUERY_STRING": target.query,
            "REQUEST_URI": location,
            "wsgi.input": nothing,
            _DEPTH: depth,
        }
        yield from again(request, start_response)


def _log(variables: dict[str, str], what: str) -> None:
    name = printable(variables["SCRIPT_NAME"])
    tell(f"nativecgi: {name} {what}")
