"""WSGI applications (PEP 3333) as handlers: Flask's, Django's, Bottle's, ..."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from nativecgi.gateways.encode import encode
from nativecgi.message.body import close
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response
from nativecgi.transfer.latebody import LateBody

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_Failure = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

# PEP 3333, "environ Variables".
_NEVER_EMPTY = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
_PIECE = 64 * 1024  # bytes of a file that are read at a time, unless the application says


def from_wsgi(app: "WSGIApplication") -> Handler:
    """Make a handler of a WSGI application: `run(from_wsgi(app))` is a program.

    An exception in the application is an exception in the handler. An answer's reason phrase is
    replaced by the usual one for its status code. What is written with `write` is sent before the
    next piece of the answer, or at its end. The handler raises ValueError or TypeError if the
    application violates PEP 3333 or answers with something that cannot be sent.
    """

    def handle(request: Request) -> Response:
        body = LateBody(request.body)
        call = _Call()
        pieces = app(_environ(request, io.BufferedReader(body)), call.start_response)
        try:
            response = _response(call, pieces, request)
            if isinstance(response.body, _Pieces):
                body.keep(request.limits.max_form)
        except BaseException:
            close(pieces)
            raise
        return response

    return handle


class FileWrapper:
    """wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling").

    Returned by the application, it is sent as the file itself: by the kernel where it is one.
    """

    def __init__(self, file: BinaryIO, size: int = _PIECE) -> None:
        self.file = file
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        """The file's bytes in pieces, for middleware that looks into them."""
        while piece := self.file.read(self._size):
            yield piece

    def close(self) -> None:
        """Close the file, if that can be closed."""
        close(self.file)


class _Call:
    """What an application tells by start_response, and by what that returns."""

    def __init__(self) -> None:
        self.head: Response | None = None
        self._written: list[bytes] = []
        self.is_sent = False  # or might as well be: there is a byte to follow what it has told

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: _Failure | None = None
    ) -> Callable[[bytes], None]:
        """See PEP 3333, "The start_response() Callable"."""
        if exc_info is not None:
            try:
                if self.is_sent and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it refers to this frame
        elif self.head is not None:
            raise ValueError("start_response has been called already, and without exc_info")
        head = Response(b"", _status_code(status), [_field(name, value) for name, value in headers])
        encode(head, omit_body=True)  # refuses what cannot be sent while the application can react
        self.head = head
        return self._write

    def _write(self, data: bytes) -> None:
        self._written.append(_checked(data))
        self.is_sent |= bool(data)

    def written(self) -> bytes:
        """What has been written since the last call."""
        written = b"".join(self._written)
        self._written.clear()
        return written

    def with_written(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, each behind what is written while the application makes it.

        PEP 3333 forbids it to write then, but servers send that, and Mercurial counts on it.
        """
        for piece in pieces:
            yield self.written() + _checked(piece)
        if rest := self.written():
            yield rest


class _Pieces:
    """The answer's first piece and those that the application still makes."""

    def __init__(self, first: bytes, rest: Iterator[bytes], source: object) -> None:
        self._first = first
        self._rest = rest
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return chain((self._first,), self._rest)

    def close(self) -> None:
        close(self._source)


def _response(call: _Call, pieces: Iterable[bytes], request: Request) -> Response:
    written = call.written()
    is_file = isinstance(pieces, FileWrapper) and not written
    rest = call.with_written(pieces)
    # The application may wait with start_response, or call it again, until there is a byte to send.
    first = b"" if is_file else written or next(filter(None, rest), b"")
    call.is_sent = True
    head = call.head
    if head is None:
        raise ValueError("the application has not called start_response")
    if isinstance(pieces, FileWrapper) and is_file:
        return Response(pieces.file, head.status, head.headers)
    # An answer to HEAD may be without the body that its length would have been that of.
    if isinstance(pieces, list | tuple) and request.env.get("REQUEST_METHOD") != "HEAD":
        body = first + b"".join(rest)
        close(pieces)
        return Response(body, head.status, head.headers)
    return Response(_Pieces(first, rest, pieces), head.status, head.headers)


def _environ(request: Request, body: BinaryIO) -> dict[str, Any]:
    """PEP 3333, "environ Variables"."""
    defaults = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443" if request.scheme == "https" else "80",
        "SERVER_PROTOCOL": "HTTP/1.0",
    }
    environ: dict[str, Any] = {
        **defaults,
        **{name: _as_latin_1(value) for name, value in request.env.items()},
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr or io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": True,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name in _NEVER_EMPTY:
        environ[name] = environ[name] or defaults[name]
    # nginx has these two twice; RFC 3875 4.1.18 has them under their own names only.
    for name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
        environ.pop(name, None)
    if not environ["SCRIPT_NAME"] + environ["PATH_INFO"]:
        environ["PATH_INFO"] = "/"
    if request.content_length is None:
        # What mod_wsgi, Gunicorn and Werkzeug call a body in chunks, which has an end all the same.
        environ["wsgi.input_terminated"] = True
    return environ


def _status_code(status: str) -> int:
    code, space, _phrase = status.partition(" ")
    if not (len(code) == 3 and code.isascii() and code.isdigit() and space):
        raise ValueError(f"{status!r} is not a status, such as '200 OK'")
    return int(code)


def _field(name: str, value: str) -> tuple[str, str]:
    """A field whose value is bytes, each as the character of its number, as one of UTF-8."""
    if not value.isascii():
        value = value.encode("latin-1").decode("utf-8", "surrogateescape")
    return name, value


def _as_latin_1(value: str) -> str:
    """A meta-variable's bytes, each as the character of its number (PEP 3333, "Unicode Issues")."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("latin-1")


def _checked(piece: bytes) -> bytes:
    if not isinstance(piece, bytes):
        raise TypeError(f"a piece of an answer is bytes, not {type(piece).__name__}")
    return piece
