"""A handler's answer, and short ways to write the usual ones."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from nativecgi.errors import HTTPError
from nativecgi.headers import HeaderFields, pairs
from nativecgi.request import Request

# ASCII but for what a URI has only percent-encoded.
_URI = "".join(map(chr, range(128))).translate(dict.fromkeys(map(ord, ' "<>\\^`{|}')))

# The phrases of the status codes that IANA has registered.
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Response(msgspec.Struct, eq=False):
    """What to send: a body, a status code and header fields.

    Content-Length is set on the way; Content-Type is text/plain for a body of str, and
    application/octet-stream for one of bytes, unless `headers` has another.
    """

    body: bytes | str = b""
    status: int = 200
    headers: HeaderFields = ()


Handler = Callable[[Request], Response]


def text(body: str, status: int = 200, headers: HeaderFields = ()) -> Response:
    """Plain text."""
    return _typed("text/plain; charset=utf-8", body, status, headers)


def html(body: str, status: int = 200, headers: HeaderFields = ()) -> Response:
    """A page; whatever comes from outside has to be escaped by the caller (html.escape)."""
    return _typed("text/html; charset=utf-8", body, status, headers)


def json(value: Any, status: int = 200, headers: HeaderFields = ()) -> Response:
    """A value that msgspec can write as JSON: Structs, dicts, lists, datetimes, ..."""
    return _typed("application/json", msgspec.json.encode(value), status, headers)


def redirect(location: str, status: int = 302, headers: HeaderFields = ()) -> Response:
    """Send the client elsewhere: 302 for now, 301 for good, 303 to look at a result."""
    # What a URI cannot hold is percent-encoded (RFC 3986 2); line breaks are for encode to refuse.
    return Response(b"", status, [("Location", quote(location, safe=_URI)), *pairs(headers)])


def no_content(headers: HeaderFields = ()) -> Response:
    """Done, and nothing to show for it: 204."""
    return Response(b"", 204, headers)


def not_found(message: str = "") -> Response:
    """There is nothing at that path: 404."""
    return error(404, message)


def bad_request(message: str = "") -> Response:
    """The request makes no sense, and `message` says why: 400."""
    return error(400, message)


def method_not_allowed(*methods: str) -> Response:
    """The path exists, but only for these methods: 405. GET brings HEAD with it."""
    if "GET" in methods and "HEAD" not in methods:
        methods = (*methods, "HEAD")
    return error(405, headers=[("Allow", ", ".join(methods))])


def error(status: int, message: str = "", headers: HeaderFields = ()) -> Response:
    """An answer that says what went wrong as plain text: `message`, or the status's phrase."""
    return text((message or phrase(status)) + "\n", status, headers)


def phrase(status: int) -> str:
    """What a status code is called; its number's class where it is not a registered one."""
    known = _PHRASES.get(status)
    return known or ("Success", "Redirection", "Client Error", "Server Error")[status // 100 - 2]


def answered(handler: Handler, request: Request) -> Response:
    """The handler's answer, be it returned or raised as an HTTPError.

    Raises TypeError where the handler returns something else.
    """
    try:
        response = handler(request)
    except HTTPError as failure:
        return error(failure.status, failure.message, failure.headers)
    if not isinstance(response, Response):
        raise TypeError(f"a handler returns a Response, not {type(response).__name__}")
    return response


def _typed(media_type: str, body: bytes | str, status: int, headers: HeaderFields) -> Response:
    fields = pairs(headers) if headers else []
    for name, _value in fields:
        if name.lower() == "content-type":
            return Response(body, status, fields)
    fields.append(("Content-Type", media_type))
    return Response(body, status, fields)
