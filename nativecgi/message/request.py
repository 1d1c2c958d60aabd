"""A request as its handler sees it."""

import io
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, BinaryIO, TypeVar, overload
from urllib.parse import quote

import msgspec

from nativecgi.message.body import read_whole
from nativecgi.message.cookies import parse_cookies
from nativecgi.message.credentials import BasicCredentials, parse_basic
from nativecgi.message.decoders import decoder
from nativecgi.message.errors import HTTPError
from nativecgi.message.forms import Form, read_form
from nativecgi.message.headers import Headers
from nativecgi.message.limits import Limits, in_force
from nativecgi.message.multidict import MultiDict
from nativecgi.message.negotiation import best_match
from nativecgi.message.urlencoded import parse_urlencoded

T = TypeVar("T")

# RFC 9110 7.2 and RFC 3986 3.2.2: a name, an IPv4 address or an IPv6 address in brackets, a port.
HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
# What a query may have as it is (RFC 3986 3.4), and the brackets that browsers leave as they are.
_QUERY = "%/?:@!$&'()*+,;=~[]"


class Request(msgspec.Struct, dict=True, eq=False):
    """A request: the meta-variables that the server has set (RFC 3875 4.1), and a body.

    Everything else is derived from these two when it is asked for. Text that is not UTF-8 is kept
    in the way of os.fsdecode: os.fsencode gives its bytes.
    """

    env: Mapping[str, str]
    # A binary file that ends where the request's body does.
    body: BinaryIO = msgspec.field(default_factory=io.BytesIO)
    # The limits that the program has set, if any; those in force are in `limits`.
    program_limits: Limits | None = None

    @property
    def method(self) -> str:
        """The request method, such as GET.

        HEAD reads as GET, because the answers are the same except for the body, which is not sent
        (RFC 9110 9.3.2). `env["REQUEST_METHOD"]` has the original.
        """
        method = self.env.get("REQUEST_METHOD") or "GET"
        return "GET" if method == "HEAD" else method

    @property
    def path(self) -> str:
        """The path after the program's name, decoded by the server: /a/b, or empty.

        Servers differ in whether they refuse, decode or keep an encoded slash, and in whether they
        keep empty segments.
        """
        return self.env.get("PATH_INFO", "")

    @property
    def parts(self) -> list[str]:
        """The non-empty segments of the path: ["a", "b"] for /a/b, [] for / and for no path.

        A segment can be ".." if the server lets it through, so never use one as a file name.
        """
        return [part for part in self.path.split("/") if part]

    @cached_property
    def query(self) -> MultiDict[str]:
        """The names and values in the query string; empty values are kept."""
        text = self.env.get("QUERY_STRING", "")
        return MultiDict(parse_urlencoded(text.encode("utf-8", "surrogateescape")))

    @property
    def headers(self) -> Headers:
        """The header fields, by case-insensitive name."""
        return Headers(self.env)

    @cached_property
    def cookies(self) -> MultiDict[str]:
        """The cookies; of two with one name, the one for the most specific path comes first."""
        return parse_cookies(self.env.get("HTTP_COOKIE", ""))

    @property
    def basic_credentials(self) -> BasicCredentials | None:
        """The name and password that the client sends (HTTP Basic), or None.

        Nothing has verified them. Apache passes them on only with `CGIPassAuth On`.
        """
        return parse_basic(self.env.get("HTTP_AUTHORIZATION", ""))

    def accepts(self, *media_types: str) -> str | None:
        """The media type that the client prefers (RFC 9110 12.5.1), the first of equals.

        None if it accepts none of them: answer 406 then, or send what you have.
        """
        return best_match(self.env.get("HTTP_ACCEPT", ""), media_types)

    @property
    def script_name(self) -> str:
        """The path that leads to the program: /cgi-bin/hello."""
        return self.env.get("SCRIPT_NAME", "")

    @property
    def scheme(self) -> str:
        """https or http: the scheme of the connection to the server."""
        https = self.env.get("HTTPS", "").lower() in ("on", "1")
        return "https" if https else self.env.get("REQUEST_SCHEME") or "http"

    @property
    def host(self) -> str:
        """The Host field, or the server's name, with the port if it is not the default.

        A client may send any name that the server does not refuse.
        """
        host = self.env.get("HTTP_HOST", "")
        if HOST.fullmatch(host):
            return host
        name, port = self.env.get("SERVER_NAME") or "localhost", self.env.get("SERVER_PORT", "")
        usual = {"http": "80", "https": "443"}.get(self.scheme)
        return name if port in ("", usual) else f"{name}:{port}"

    @property
    def url(self) -> str:
        """The full address, percent-encoded."""
        path = quote(self.script_name + self.path, safe="/:@!$&'()*+,;=~", errors="surrogateescape")
        query = quote(self.env.get("QUERY_STRING", ""), safe=_QUERY, errors="surrogateescape")
        return f"{self.scheme}://{self.host}{path}" + (f"?{query}" if query else "")

    @property
    def remote_addr(self) -> str:
        """The client's network address, as text."""
        return self.env.get("REMOTE_ADDR", "")

    @property
    def remote_user(self) -> str | None:
        """The user whom the server has authenticated, if it has."""
        return self.env.get("REMOTE_USER") or None

    @property
    def content_type(self) -> str:
        """The media type of the body with its parameters, or empty."""
        return self.env.get("CONTENT_TYPE", "")

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes: 0 without a body, None if the server does not know it.

        Raises HTTPError (400) if the client's value is not a number (RFC 3875 4.1.2).
        """
        return content_length(self.env)

    @cached_property
    def limits(self) -> Limits:
        """The limits in force: the program's, with what the server's environment overrides."""
        return in_force(self.program_limits, self.env)

    def read(self) -> bytes:
        """The rest of the body; later calls return the same.

        Raises HTTPError: 413 if it is longer than `limits.max_body`, 400 if it ends too early.
        Raises ValueError after `form`, because the body is not kept twice.
        """
        data: bytes | None = self.__dict__.get("_read")
        if data is None:
            if "_form" in self.__dict__ and self.content_length != 0:
                raise ValueError(
                    "the body is gone, it was read as a form: call read() before form()"
                )
            data = read_whole(self.body, self.content_length, self.limits.max_body)
            self.__dict__["_read"] = data
        return data

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, type: type[T]) -> T: ...

    def json(self, type: Any = Any) -> Any:
        """The body, decoded as JSON into `type`: a msgspec Struct, or any other type that msgspec
        supports.

        Raises HTTPError: 400 if it is not JSON, 422 if it has another shape, 413 like `read`.
        """
        try:
            return decoder(type).decode(self.read())
        except msgspec.ValidationError as error:
            raise HTTPError(422, str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPError(400, str(error)) from error

    def form(self) -> Form:
        """The body, decoded as a form: urlencoded, or multipart with uploads.

        It is read once; later calls return the same. Call `read` before it, if at all.

        Raises HTTPError: 400 if the body is malformed, 413 if it exceeds one of `limits`, 415 if it
        has another media type.
        """
        return self._form

    @cached_property
    def _form(self) -> Form:
        body = io.BytesIO(self.__dict__["_read"]) if "_read" in self.__dict__ else self.body
        return read_form(self.content_type, body, self.content_length, self.limits)


def content_length(env: Mapping[str, str]) -> int | None:
    """The meta-variable CONTENT_LENGTH; see Request.content_length."""
    text = env.get("CONTENT_LENGTH")
    if not text:
        return _unannounced(env)
    # str.isdigit alone admits digits of other scripts; 18 of ASCII's fit an off_t.
    if len(text) > 18 or not (text.isascii() and text.isdigit()):
        raise HTTPError(400, "The Content-Length is not a number of bytes.")
    return int(text)


def _unannounced(env: Mapping[str, str]) -> int | None:
    """Apache hands on a body that was sent in chunks, to its end, without a length."""
    coding = env.get("HTTP_TRANSFER_ENCODING")
    if coding is None:
        return 0
    if coding.strip().lower() != "chunked":  # it decodes no other (RFC 9112 6.1)
        raise HTTPError(501, "The body's transfer coding is not supported.")
    return None
