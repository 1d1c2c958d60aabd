"""A handler's answer, and short ways to write the usual ones."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import msgspec

from nativecgi.message.errors import HTTPError, require_status
from nativecgi.message.headers import HeaderFields, pairs
from nativecgi.message.request import Request

# ASCII but for what a URI has only percent-encoded. A tab is: browsers leave it out, and "/\t/x"
# would be the address of a server.
_URI = "".join(map(chr, range(128))).translate(dict.fromkeys(map(ord, '\t "<>\\^`{|}')))

# The phrases of the status codes that IANA has registered for answers.
_PHRASES = {status.value: status.phrase for status in HTTPStatus if status >= 200}


# Pieces are sent one by one, as they come; a file from where it stands to its end.
Body = bytes | str | Iterable[bytes | str] | BinaryIO


class Response(msgspec.Struct, eq=False):
    """What to send: a body, a status code and header fields.

    Content-Length is set if the length is known. Content-Type is text/plain for a body of str, and
    application/octet-stream for any other body, unless `headers` has one.

    A body of pieces, or a file, is closed after use if it has a method `close`.
    """

    body: Body = b""
    status: int = 200
    headers: HeaderFields = ()


Handler = Callable[[Request], Response]


def text(body: str, status: int = 200, headers: HeaderFields = ()) -> Response:
    """Plain text."""
    return _typed("text/plain; charset=utf-8", body, status, headers)


def html(body: str, status: int = 200, headers: HeaderFields = ()) -> Response:
    """An HTML page. The caller has to escape what comes from outside (html.escape)."""
    return _typed("text/html; charset=utf-8", body, status, headers)


def json(value: Any, status: int = 200, headers: HeaderFields = ()) -> Response:
    """A value that msgspec can encode as JSON: Structs, dicts, lists, datetimes, ..."""
    try:
        body = msgspec.json.encode(value)
    except UnicodeEncodeError:  # bytes of a request that are no UTF-8 were kept as surrogates
        body = msgspec.json.encode(_encodable(msgspec.to_builtins(value)))
    return _typed("application/json", body, status, headers)


def stream(
    pieces: Iterable[bytes | str],
    content_type: str = "application/octet-stream",
    status: int = 200,
    headers: HeaderFields = (),
) -> Response:
    """A body that is sent piece by piece, each as soon as `pieces` yields it.

    The header is sent with the first piece, so a failure before it is still a 500. A failure after
    it ends the program with the answer incomplete. The client can only notice that with a
    Content-Length: pass one in `headers` if you know it.

    Read everything that you need from the request's body before you return this.
    """
    return _typed(content_type, pieces, status, headers)


def redirect(location: str, status: int = 302, headers: HeaderFields = ()) -> Response:
    """Redirect the client: 302 for now, 301 permanently, 303 to the result of a form."""
    return Response(b"", status, [("Location", _uri(location)), *pairs(headers)])


def local_redirect(path: str) -> Response:
    """Have the server answer with what it has at `path`, which may end in a query string.

    The client does not notice (RFC 3875 6.2.2); the new request is a GET. nginx redirects the
    client instead, and lighttpd needs a setting (cgi.local-redir). A path that begins with two
    slashes is refused, because it would be another server's.
    """
    return Response(b"", 200, [("Location", _uri(path))])


def no_content(headers: HeaderFields = ()) -> Response:
    """Success without a body: 204."""
    return Response(b"", 204, headers)


def unauthorized(realm: str, message: str = "", headers: HeaderFields = ()) -> Response:
    """Ask for a name and password (HTTP Basic): 401. `realm` tells the user for what."""
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    challenge = f'Basic realm="{quoted}", charset="UTF-8"'
    return error(401, message, [("WWW-Authenticate", challenge), *pairs(headers)])


def not_found(message: str = "", headers: HeaderFields = ()) -> Response:
    """There is nothing at this path: 404."""
    return error(404, message, headers)


def bad_request(message: str = "", headers: HeaderFields = ()) -> Response:
    """The request makes no sense, and `message` says why: 400."""
    return error(400, message, headers)


def method_not_allowed(*methods: str, headers: HeaderFields = ()) -> Response:
    """The path exists, but only for these methods: 405. GET implies HEAD."""
    if "GET" in methods and "HEAD" not in methods:
        methods = (*methods, "HEAD")
    return error(405, headers=[("Allow", ", ".join(methods)), *pairs(headers)])


def error(status: int, message: str = "", headers: HeaderFields = ()) -> Response:
    """An answer that says what went wrong, as plain text: `message`, or the status's phrase."""
    return text((message or phrase(status)) + "\n", status, headers)


def refusal(failure: HTTPError) -> Response:
    """The answer that an HTTPError stands for."""
    return error(failure.status, failure.message, failure.headers)


def phrase(status: int) -> str:
    """The phrase of a status code; for an unregistered code, that of its class.

    Raises ValueError if it is not the status of an answer.
    """
    if (known := _PHRASES.get(status)) is not None:
        return known
    require_status(status)
    return ("Success", "Redirection", "Client Error", "Server Error")[status // 100 - 2]


def answered(handler: Handler, request: Request) -> Response:
    """The handler's answer, whether it is returned or raised as an HTTPError, also in a task group.

    Raises TypeError if the handler returns something else.
    """
    try:
        response = handler(request)
    except HTTPError as failure:
        return refusal(failure)
    except BaseExceptionGroup as group:
        if group.split(HTTPError)[1] is not None:  # something else has failed, too
            raise
        return refusal(_first(group))
    if not isinstance(response, Response):
        raise TypeError(f"a handler returns a Response, not {type(response).__name__}")
    return response


def _first(group: BaseExceptionGroup[Any]) -> HTTPError:
    failure: Any = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return cast(HTTPError, failure)


def _uri(text: str) -> str:
    """RFC 3986 2: what a URI cannot hold percent-encoded; line breaks are for encode to refuse."""
    return quote(text, safe=_URI, errors="surrogateescape")


def _encodable(value: Any) -> Any:
    """The same built-in value with U+FFFD for what UTF-8 cannot encode."""
    match value:
        case str():
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        case dict():
            return {_encodable(name): _encodable(item) for name, item in value.items()}
        case list() | tuple():
            return [_encodable(item) for item in value]
        case _:
            return value


def _typed(media_type: str, body: Body, status: int, headers: HeaderFields) -> Response:
    fields = pairs(headers) if headers else []
    for name, _value in fields:
        if name.lower() == "content-type":
            return Response(body, status, fields)
    fields.append(("Content-Type", media_type))
    return Response(body, status, fields)
