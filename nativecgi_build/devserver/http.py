"""The HTTP side of the development servers: waitress listens, each request gets a line in a log."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from waitress import create_server

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}

_THREADS = 32  # an event stream keeps one for as long as it is open
_HEADER_LIMIT = 64 * 1024
_NO_LIMIT = 2**62

Environ = dict[str, Any]
# PEP 3333's start_response; what it returns sends the header at once when it is given b"".
StartResponse = Callable[[str, list[tuple[str, str]]], Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class ServeError(Exception):
    """Nothing can be served, and why."""


class Listener:
    """A server that listens, and does not answer yet."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        """Raises ServeError when it cannot listen there."""
        # It warns when all threads are busy, which event streams are for.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        try:
            self._server = create_server(
                logged(application),
                host=host,
                port=port,
                ident="nativecgi",
                threads=_THREADS,
                max_request_header_size=_HEADER_LIMIT,
                max_request_body_size=_NO_LIMIT,
                # To know of a client that has gone while its program is silent.
                channel_request_lookahead=1,
                # The program is to see what the client has sent.
                clear_untrusted_proxy_headers=False,
            )
        except OSError as error:
            raise ServeError(
                f"port {port} of {host}: {error.strerror}\nTake another: --port 8001"
            ) from None
        except ValueError:
            raise ServeError(
                f"{host!r} is no address of this machine\nTry --host {LOOPBACK}"
            ) from None
        listening = getattr(self._server, "effective_listen", None)  # if a name has several
        self.port: int = listening[0][1] if listening else self._server.effective_port
        name = LOOPBACK if host in ("", "0.0.0.0", "::") else host
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.port}"

    def run(self) -> None:
        """Answer until SIGINT or SIGTERM."""
        self._server.run()
        self._server.close()


@contextmanager
def interruptible() -> Iterator[None]:
    """End this context by SIGINT or SIGTERM. What is to be done then is not interrupted again."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with suppress(KeyboardInterrupt):
        yield


# Readable once the server is to end: whoever waits for a program's output waits for this as well.
ending, _end = os.pipe()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.write(_end, b"\0")
    raise KeyboardInterrupt


def logged(application: Application) -> Application:
    """The application, with a line on standard error for each request once it is over."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        began, status, size = time.perf_counter(), "-", 0

        def start(given: str, headers: list[tuple[str, str]]) -> Callable[[bytes], object]:
            nonlocal status
            status = given.partition(" ")[0]
            return start_response(given, headers)

        pieces = iter(application(environ, start))
        try:
            for piece in pieces:
                size += len(piece)
                yield piece
        finally:
            if close := getattr(pieces, "close", None):
                close()
            seconds = time.perf_counter() - began
            request = f"{environ['REQUEST_METHOD']} {environ.get('REQUEST_URI', '')}"
            tell(f"{printable(request)} {status} {size} B {seconds * 1000:.1f} ms")

    return answer


def tell(line: str) -> None:
    """Write a line to the terminal, in one piece: others write to it as well."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    """The text without anything that could forge a line of a log, or steer a terminal."""
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in text)


def host_name(environ: Environ) -> str:
    """What the client calls this server, without its port."""
    try:
        return urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or LOOPBACK
    except ValueError:  # half an IPv6 address
        return ""


def is_local(environ: Environ) -> bool:
    """Whether a request comes from a browser on this machine that was told a name of it.

    Another name may be a stranger's that leads here (DNS rebinding), and a field such as
    X-Forwarded-For is of a proxy that speaks for others.
    """
    name = host_name(environ)
    forwarded = "HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ
    is_named = name in LOCAL_NAMES or name.endswith(".localhost")
    return environ.get("REMOTE_ADDR") in LOCAL_NAMES and is_named and not forwarded


def page(
    environ: Environ,
    start_response: StartResponse,
    status: str,
    body: str,
    media_type: str = "text/plain",
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Answer with a page of the server's own."""
    content = body.encode("utf-8", "backslashreplace")
    start_response(
        status,
        [
            ("Content-Type", f"{media_type}; charset=utf-8"),
            ("Content-Length", str(len(content))),
            *headers,
        ],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]
