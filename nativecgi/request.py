"""A request as its handler sees it."""

import io
from collections.abc import Mapping
from functools import cached_property
from typing import Any, BinaryIO, TypeVar, overload
from urllib.parse import parse_qsl, quote

import msgspec

from nativecgi.decoders import decoder
from nativecgi.errors import HTTPError
from nativecgi.headers import Headers
from nativecgi.multidict import MultiDict

T = TypeVar("T")

# The largest body that `read` and `json` take into memory, in bytes.
MAX_BODY = 16 * 1024 * 1024


class Request(msgspec.Struct, dict=True, eq=False):
    """A request: the meta-variables that the server set (RFC 3875 4.1) and a body.

    Everything but `env` and `body` is read from these two when it is first asked for.
    """

    env: Mapping[str, str]
    # A binary file that ends where the request's body does.
    body: BinaryIO = msgspec.field(default_factory=io.BytesIO)

    @property
    def method(self) -> str:
        """The request method, such as GET.

        HEAD reads as GET: the answer to both is the same, but for the body, which is left out
        on the way (RFC 9110 9.3.2). `env["REQUEST_METHOD"]` tells them apart.
        """
        method = self.env.get("REQUEST_METHOD") or "GET"
        return "GET" if method == "HEAD" else method

    @property
    def path(self) -> str:
        """The path behind the program's own, decoded by the server: /a/b, or empty."""
        return self.env.get("PATH_INFO", "")

    @property
    def parts(self) -> list[str]:
        """The path's segments that are not empty: ["a", "b"] for /a/b, [] for / and for none."""
        return [part for part in self.path.split("/") if part]

    @cached_property
    def query(self) -> MultiDict:
        """The query string's names and values; empty values are kept."""
        pairs = parse_qsl(
            self.env.get("QUERY_STRING", ""), keep_blank_values=True, errors="surrogateescape"
        )
        return MultiDict(pairs)

    @property
    def headers(self) -> Headers:
        """The header fields, by case-insensitive name."""
        return Headers(self.env)

    @property
    def script_name(self) -> str:
        """The path that leads to the program: /cgi-bin/hello."""
        return self.env.get("SCRIPT_NAME", "")

    @property
    def scheme(self) -> str:
        """https or http: that of the connection to the server."""
        https = self.env.get("HTTPS", "").lower() in ("on", "1")
        return "https" if https else self.env.get("REQUEST_SCHEME") or "http"

    @property
    def host(self) -> str:
        """The Host field, or the server's own name, with the port where it is not the usual."""
        if host := self.env.get("HTTP_HOST"):
            return host
        name, port = self.env.get("SERVER_NAME") or "localhost", self.env.get("SERVER_PORT", "")
        usual = {"http": "80", "https": "443"}.get(self.scheme)
        return name if port in ("", usual) else f"{name}:{port}"

    @property
    def url(self) -> str:
        """The whole address, percent-encoded."""
        path = quote(self.script_name + self.path, safe="/:@!$&'()*+,;=~", errors="surrogateescape")
        query = self.env.get("QUERY_STRING", "")
        return f"{self.scheme}://{self.host}{path}" + (f"?{query}" if query else "")

    @property
    def remote_addr(self) -> str:
        """The client's network address, as text."""
        return self.env.get("REMOTE_ADDR", "")

    @property
    def remote_user(self) -> str | None:
        """Who the server found the client to be, where it asked."""
        return self.env.get("REMOTE_USER") or None

    @property
    def content_type(self) -> str:
        """The body's media type with its parameters, or empty."""
        return self.env.get("CONTENT_TYPE", "")

    @property
    def content_length(self) -> int:
        """The body's length in bytes, 0 where there is none.

        Raises HTTPError (400) where the client's is no number (RFC 3875 4.1.2).
        """
        return content_length(self.env)

    def read(self) -> bytes:
        """The rest of the body.

        Raises HTTPError: 413 where it is announced to be longer than MAX_BODY, 400 where it
        ends before it should.
        """
        length = self.content_length
        if length > MAX_BODY:
            raise HTTPError(413, f"The body may have {MAX_BODY} bytes at most.")
        return self.body.read()

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, type: type[T]) -> T: ...

    def json(self, type: Any = Any) -> Any:
        """The body, read as JSON into `type`: a msgspec Struct or any other type it knows.

        Raises HTTPError: 400 where it is not JSON, 422 where it is of another shape, 413 as
        `read` does.
        """
        try:
            return decoder(type).decode(self.read())
        except msgspec.ValidationError as error:
            raise HTTPError(422, str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPError(400, str(error)) from error


def content_length(env: Mapping[str, str]) -> int:
    """The meta-variable CONTENT_LENGTH; see Request.content_length."""
    text = env.get("CONTENT_LENGTH", "")
    # str.isdigit alone admits digits of other scripts; 18 of ASCII's fit an off_t.
    if not text:
        return 0
    if len(text) > 18 or not (text.isascii() and text.isdigit()):
        raise HTTPError(400, "The Content-Length is not a number of bytes.")
    return int(text)
