"""The server's side of CGI (RFC 3875): a process answers a request that an HTTP server has read."""

import os
import re
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from nativecgi_build.devserver.http import (
    Application,
    Environ,
    StartResponse,
    ending,
    page,
    printable,
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
    output = _output(running, environ.get("waitress.client_disconnected", lambda: False))
    try:
        head, body = _head(output)
        if head.local_redirect:
            yield from _redirected(environ, start_response, head.local_redirect, again)
            return
        write = start_response(head.status, head.headers)
        write(b"")  # the client gets the header now, and not with the first piece
        has_body = environ["REQUEST_METHOD"] != "HEAD" and head.status[:3] not in ("204", "304")
        if body and has_body:
            yield body
        for piece in output:
            if has_body:
                yield piece
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
    try:
        server_name = urlsplit(f"//{request.get('HTTP_HOST', '')}").hostname
    except ValueError:
        server_name = None
    return {
        **inherited,
        **request,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "nativecgi",
        "SERVER_NAME": server_name or "localhost",
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
    status, location, headers = "", "", list[tuple[str, str]]()
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
                headers.append((name, value))
    if location.startswith("/") and not status and len(headers) == 1:
        return Head("", headers, local_redirect=location)
    if location and not status:
        status = "302 Found"
    if status and not re.fullmatch(r"[1-9][0-9][0-9]( .*)?", status):
        raise BadAnswer(f"has written the status {printable(status)!r}")
    return Head(status or "200 OK", headers)


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


def _output(running: Running, has_gone: Callable[[], bool]) -> Generator[bytes, None, None]:
    """What the process writes, as it comes; when this is closed before its end, so is the process.

    It ends as well when the client has gone, and with the server.
    """
    is_over = False
    poll = select.poll()
    for descriptor in (running.stdout, ending):
        poll.register(descriptor, select.POLLIN)
    try:
        while True:
            ready = [descriptor for descriptor, _event in poll.poll(_POLL_SECONDS * 1000)]
            if ending in ready or has_gone():
                return
            if running.stdout in ready:
                piece = os.read(running.stdout, _PIECE)
                if not piece:
                    is_over = True
                    return
                yield piece
    finally:
        os.close(running.stdout)
        if not is_over:
            end(running.pidfd)
        os.close(running.pidfd)


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
    print(f"nativecgi: {name} {what}", file=sys.stderr, flush=True)
