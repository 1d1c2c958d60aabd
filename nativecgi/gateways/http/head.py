"""A request's head as meta-variables: httptools parses it, and what it lets through is checked.

What two parsers could read differently is refused. So nobody can hide a request from a proxy in
front of this server, or from this server (request smuggling, RFC 9112 11.2).
"""

import re
from urllib.parse import unquote_to_bytes

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from msgspec import Struct

from nativecgi.message.errors import HTTPError
from nativecgi.message.request import HOST

MAX_FIELDS = 100
_LENGTH_DIGITS = 18  # those of 10**18 - 1: more would not fit an off_t

# RFC 9112 3.2.2. The scheme is that of the connection.
_ABSOLUTE_FORM = re.compile(rb"http://([^/?]*)(.*)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")  # RFC 9110 5.6.2
_VERSION = re.compile(rb" HTTP/[0-9]\.[0-9]\Z")
_CONTINUE = "100-continue"
_UNPREFIXED = ("CONTENT_LENGTH", "CONTENT_TYPE")  # RFC 3875 4.1.2, 4.1.3

_Fields = list[tuple[bytes, bytes]]


class Ends(Struct, frozen=True):
    """The two ends of a connection, as text."""

    server_name: str  # for requests that do not name a host
    server_port: str
    remote_addr: str
    remote_port: str


class Head(Struct, frozen=True):
    """The head of a request."""

    meta: dict[str, str]  # the meta-variables (RFC 3875 4.1)
    length: int | None  # of the body, in bytes; None if it comes in chunks
    keeps_alive: bool  # whether the client wants to send more requests
    expects_continue: bool  # whether it waits for 100 Continue before it sends the body


class _Listener:
    """What httptools has found."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: _Fields = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True


def read_head(raw: bytes, ends: Ends) -> Head:
    """The head that `raw` is, with the empty line at its end and nothing after it.

    Raises HTTPError with the status to refuse it with: 400, 413, 431, 501 or 505.
    """
    line = raw.partition(b"\n")[0].removesuffix(b"\r")
    listener = _Listener()
    parser = HttpRequestParser(listener)
    try:
        parser.feed_data(raw)
    except HttpParserUpgrade:
        pass  # nothing is upgraded: the request is answered as if it had not asked
    except HttpParserError as failure:
        raise _refusal(failure, line) from None
    method, version = parser.get_method(), parser.get_http_version()
    # httptools lets more spaces through, and other protocols and versions.
    if line != b"%b %b HTTP/%b" % (method, listener.target, version.encode()):
        raise HTTPError(400, "The request line is malformed.")
    if version not in ("1.0", "1.1"):
        raise _unsupported_version()
    if not listener.is_complete:  # it waits for more of HTTP/2's preface, and of nothing else
        raise HTTPError(400, "The head is malformed.")
    if method == b"CONNECT":
        raise HTTPError(501, "This server is no proxy.")
    if len(listener.fields) > MAX_FIELDS:
        raise HTTPError(431, f"The request has more than {MAX_FIELDS} header fields.")
    host = _host(listener.fields, is_required=version == "1.1")
    fields = _variables(listener.fields)
    length = _length(fields, version)
    options = [it.strip().lower() for it in fields.get("HTTP_CONNECTION", "").split(",")]
    return Head(
        {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_SOFTWARE": "nativecgi",
            "SERVER_PROTOCOL": f"HTTP/{version}",
            "SERVER_NAME": _name(host) or ends.server_name,
            "SERVER_PORT": ends.server_port,
            "REMOTE_ADDR": ends.remote_addr,
            "REMOTE_PORT": ends.remote_port,
            "REQUEST_METHOD": method.decode("ascii"),
            "REQUEST_SCHEME": "http",
            "SCRIPT_NAME": "",
            **_of_target(method, listener.target, host),
            **fields,
        },
        length,
        keeps_alive="close" not in options and (version == "1.1" or "keep-alive" in options),
        # RFC 9110 10.1.1: of an HTTP/1.0 client it is ignored.
        expects_continue=(
            version == "1.1" and length != 0 and fields.get("HTTP_EXPECT", "").lower() == _CONTINUE
        ),
    )


def _refusal(failure: HttpParserError, line: bytes) -> HTTPError:
    if isinstance(failure, HttpParserInvalidMethodError) and _METHOD.match(line):
        return HTTPError(501, "The request method is not supported.")
    if (match := _VERSION.search(line)) and match[0] not in (b" HTTP/1.0", b" HTTP/1.1"):
        return _unsupported_version()
    return HTTPError(400, "The request is malformed.")


def _unsupported_version() -> HTTPError:
    return HTTPError(505, "This server speaks HTTP/1.1 and HTTP/1.0.")


def _host(fields: _Fields, *, is_required: bool) -> str | None:
    """The Host field (RFC 9112 3.2), or None if there is none and none is required."""
    values = [value for name, value in fields if name.lower() == b"host"]
    if len(values) > 1 or (is_required and not values):
        raise HTTPError(400, "A request has one Host field.")
    if not values:
        return None
    host = _text(values[0])
    # A client that has no name for the server sends it empty.
    if host and not HOST.fullmatch(host):
        raise HTTPError(400, "The Host field is malformed.")
    return host


def _name(host: str | None) -> str:
    """The host without its port; an IPv6 address keeps its brackets (RFC 3875 4.1.14)."""
    return re.sub(r":[0-9]*\Z", "", host or "")


def _variables(fields: _Fields) -> dict[str, str]:
    """The meta-variables of the header fields (RFC 3875 4.1.18).

    Names that are not letters, digits and hyphens are dropped, as nginx does: `X_A` would be taken
    for `X-A`, which a proxy in front may have checked. `Proxy` would become the proxy of the
    program's own requests (httpoxy).
    """
    variables: dict[str, str] = {}
    for name, value in fields:
        if not name.replace(b"-", b"").isalnum():
            continue
        variable = name.decode("ascii").upper().replace("-", "_")
        if variable not in _UNPREFIXED:
            variable = f"HTTP_{variable}"
        if variable in variables:
            separator = "; " if variable == "HTTP_COOKIE" else ", "
            variables[variable] += separator + _text(value)
        elif variable != "HTTP_PROXY":
            variables[variable] = _text(value)
    return variables


def _length(fields: dict[str, str], version: str) -> int | None:
    """The body's length (RFC 9112 6.3), None if it comes in chunks; its variable becomes plain.

    httptools has made sure that one of the two fields is there at most, that a Content-Length is a
    number, and that the last coding is chunked.
    """
    if (coding := fields.get("HTTP_TRANSFER_ENCODING")) is not None:
        if version == "1.0":  # RFC 9112 6.1
            raise HTTPError(400, "HTTP/1.0 has no transfer codings.")
        if coding.lower() != "chunked":
            raise HTTPError(501, "The body's transfer coding is not supported.")
        return None
    digits = fields.get("CONTENT_LENGTH", "0").lstrip("0")
    if len(digits) > _LENGTH_DIGITS:
        raise HTTPError(413, "The body is too long.")
    length = int(digits or "0")
    if "CONTENT_LENGTH" in fields:
        fields["CONTENT_LENGTH"] = str(length)
    return length


def _of_target(method: bytes, target: bytes, host: str | None) -> dict[str, str]:
    """The meta-variables of the request target."""
    if b"#" in target:
        raise HTTPError(400, "The request target has a fragment.")
    origin = _origin_form(method, target, host)
    path, _, query = origin.partition(b"?")
    if _BAD_ESCAPE.search(path):
        raise HTTPError(400, "The path has a malformed escape sequence.")
    return {
        "REQUEST_URI": _text(origin),
        # It is not a path, so there is none.
        "PATH_INFO": "" if origin == b"*" else _text(unquote_to_bytes(path)),
        "QUERY_STRING": _text(query),
    }


def _origin_form(method: bytes, target: bytes, host: str | None) -> bytes:
    """The path and the query of a target in any form (RFC 9112 3.2), or the * of OPTIONS."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    if not (match := _ABSOLUTE_FORM.fullmatch(target)):
        raise HTTPError(400, "The request target is not a path on this server.")
    # A proxy goes by the one, an application by the other.
    if host is not None and _text(match[1]).lower() != host.lower():
        raise HTTPError(400, "The request target and the Host field differ.")
    rest = match[2]
    return rest if rest.startswith(b"/") else b"/" + rest


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
