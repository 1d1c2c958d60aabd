"""Calls a handler, or a built program, with made-up requests: for the tests of an app.

    client = Client(handle)                      # in this process
    client = Client(Path("dist/cgi-bin/hello"))  # the program, started for every request
    assert client.get("/Ann").text == "Hello Ann"

It is not part of what programs import.
"""

import io
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from http.client import HTTPResponse, IncompleteRead
from typing import Any, BinaryIO, TypeVar, cast, overload
from urllib.parse import unquote_to_bytes, urlencode, urlsplit

import msgspec

from nativecgi.gateways.exchange import exchange
from nativecgi.message.cookies import parse_cookies
from nativecgi.message.decoders import decoder
from nativecgi.message.errors import HTTPError
from nativecgi.message.limits import Limits
from nativecgi.message.multidict import MultiDict
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response
from nativecgi.process import deadline
from nativecgi.process.report import report
from nativecgi.transfer.send import Streamed, send, write

T = TypeVar("T")

# Names and values; a name can have several where they are pairs.
Fields = Mapping[str, str] | Iterable[tuple[str, str]]
# An upload: its filename, its content and its media type.
File = tuple[str, bytes, str]

_SECONDS = 60  # after which a program is taken to hang


class Answer(msgspec.Struct):
    """The answer to a request."""

    status: int
    headers: MultiDict[str]  # by name in lower case
    body: bytes
    log: str  # what was written to the error log
    exit_status: int  # of the program; 1 where the answer is incomplete

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, type: type[T]) -> T: ...

    def json(self, type: Any = Any) -> Any:
        """The body, decoded as JSON into `type`; raises msgspec.DecodeError if it is not JSON."""
        return decoder(type).decode(self.body)


class Client:
    """Sends requests to one app, and keeps the cookies that it sets.

    The app is a handler, or the path of a program, built or not. `env` adds to the server's
    environment.

    An exception in a handler (other than HTTPError) is raised by the call that made the request.
    With `raise_errors=False`, it becomes an answer with status 500, as in production. A program
    always answers.
    """

    def __init__(
        self,
        app: Handler | str | os.PathLike[str],
        *,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        raise_errors: bool = True,
    ) -> None:
        self.cookies: dict[str, str] = {}
        self._env = dict(env or {})
        self._exchange: Callable[[dict[str, str], BinaryIO], _Output]
        if callable(app):
            self._exchange = partial(_call, app, limits, raise_errors)
        else:
            self._exchange = partial(_run, os.path.abspath(app))

    def request(
        self,
        method: str,
        url: str = "/",
        *,
        query: Fields = (),
        headers: Fields = (),
        body: bytes = b"",
        json: Any = None,
        form: Fields | None = None,
        files: Mapping[str, File] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request.

        `url` is percent-encoded: a path after the program's name, or a full address. The body is
        one of `body`, `json` (encoded as JSON) and `form` (urlencoded, or multipart if there are
        `files`). `env` adds or replaces meta-variables.

        Raises ValueError if the program's output is not an answer, and whatever the handler raises.
        """
        content_type = ""
        if json is not None:
            content_type, body = "application/json", msgspec.json.encode(json)
        elif files:
            content_type, body = _multipart(_pairs(form or ()), files)
        elif form is not None:
            content_type = "application/x-www-form-urlencoded"
            body = urlencode(_pairs(form), doseq=True).encode()
        variables = {**_meta_variables(method, url, query), **self._env}
        if body or method in ("POST", "PUT", "PATCH"):
            variables["CONTENT_LENGTH"] = str(len(body))
        if content_type:
            variables["CONTENT_TYPE"] = content_type
        if self.cookies:
            variables["HTTP_COOKIE"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        variables |= _header_variables(_pairs(headers))
        variables |= env or {}
        with tempfile.TemporaryFile() as stdin:
            stdin.write(body)
            stdin.seek(0)
            answer = parse_answer(*self._exchange(variables, stdin))
        self._keep_cookies(answer)
        return answer

    def get(self, url: str = "/", **options: Any) -> Answer:
        """GET, with the options of `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str = "/", **options: Any) -> Answer:
        """HEAD, with the options of `request`."""
        return self.request("HEAD", url, **options)

    def post(self, url: str = "/", **options: Any) -> Answer:
        """POST, with the options of `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str = "/", **options: Any) -> Answer:
        """PUT, with the options of `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str = "/", **options: Any) -> Answer:
        """PATCH, with the options of `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str = "/", **options: Any) -> Answer:
        """DELETE, with the options of `request`."""
        return self.request("DELETE", url, **options)

    def options(self, url: str = "/", **options: Any) -> Answer:
        """OPTIONS, with the options of `request`."""
        return self.request("OPTIONS", url, **options)

    def _keep_cookies(self, answer: Answer) -> None:
        for field in answer.headers.getlist("set-cookie"):
            pair, _semicolon, attributes = field.partition(";")
            max_age = parse_cookies(attributes.lower()).get("max-age", "")
            for name, value in parse_cookies(pair).items():
                if max_age == "0" or max_age.startswith("-"):
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = value


# What a program leaves: output, error log, exit status.
_Output = tuple[bytes, str, int]


def parse_answer(output: bytes, log: str = "", exit_status: int = 0) -> Answer:
    """Parse a program's output as its server would (RFC 3875 6).

    Raises ValueError if it is not a CGI response.
    """
    if output.startswith(b"HTTP/"):
        return _parse_http(output, log, exit_status)
    # Scripts end their lines as the system does, with a newline alone (RFC 3875 6.2).
    newline = b"\r\n" if output.partition(b"\n")[0].endswith(b"\r") else b"\n"
    head, end, body = output.partition(newline * 2)
    lines = head.split(newline)
    fields = [line.decode("utf-8", "surrogateescape").partition(":") for line in lines]
    if not end or not all(name and colon for name, colon, _value in fields):
        raise ValueError(f"this is no CGI response: {output[:200]!r}\n{log}")
    headers = MultiDict((name.lower(), value.strip()) for name, _colon, value in fields)
    status = int(headers.get("status", "200").partition(" ")[0])
    return Answer(status, headers, body, log, exit_status)


def _parse_http(output: bytes, log: str, exit_status: int) -> Answer:
    class Source:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(output)

    response = HTTPResponse(cast(Any, Source()))
    response.begin()
    headers = MultiDict((name.lower(), value) for name, value in response.getheaders())
    try:
        body = response.read()
    except IncompleteRead as cut_off:  # as it has to be where the request was HEAD
        body = cut_off.partial
    return Answer(response.status, headers, body, log, exit_status)


def _call(
    handler: Handler,
    limits: Limits | None,
    raise_errors: bool,
    env: dict[str, str],
    stdin: BinaryIO,
) -> _Output:
    """What the process of a program does, in this one."""
    env.pop("HTTP_PROXY", None)
    failures: list[BaseException] = []

    def handle(request: Request) -> Response:
        try:
            return handler(request)
        except HTTPError:
            raise
        except BaseException as failure:
            failures.append(failure)
            raise

    exit_status = 0
    with tempfile.TemporaryFile() as stdout, io.StringIO() as log:
        with redirect_stdout(log), redirect_stderr(log):
            output = exchange(handle, env, stdin.fileno(), limits)
            if raise_errors and failures:
                raise failures[0]
            try:
                if isinstance(output, Streamed):
                    send(output, stdout.fileno())
                else:
                    write(output, stdout.fileno())
            except Exception as failure:
                if raise_errors:
                    raise
                log.write(report(failure, env))
                exit_status = 1
            finally:
                deadline.stop()
        stdout.seek(0)
        return stdout.read(), log.getvalue(), exit_status


def _run(program: str, env: dict[str, str], stdin: BinaryIO) -> _Output:
    done = subprocess.run(
        [program], env=env, stdin=stdin, capture_output=True, timeout=_SECONDS, check=False
    )
    return done.stdout, done.stderr.decode(errors="backslashreplace"), done.returncode


def _meta_variables(method: str, url: str, query: Fields) -> dict[str, str]:
    # Two slashes at the beginning of a path are no host's.
    address = urlsplit(f"http://testserver{url}" if url.startswith("/") else url)
    path = unquote_to_bytes(address.path).decode("utf-8", "surrogateescape")
    query_string = "&".join(filter(None, (address.query, urlencode(_pairs(query), doseq=True))))
    host = address.netloc or "testserver"
    scheme = address.scheme or "http"
    script_name = "/cgi-bin/program"
    uri = script_name + address.path
    return {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_HOST": host,
        "HTTPS": "on" if scheme == "https" else "",
        "PATH_INFO": path,
        "QUERY_STRING": query_string,
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": method,
        "REQUEST_SCHEME": scheme,
        "REQUEST_URI": f"{uri}?{query_string}" if query_string else uri,
        "SCRIPT_NAME": script_name,
        "SERVER_NAME": address.hostname or host,
        "SERVER_PORT": str(address.port or (443 if scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "nativecgi.testing",
    }


def _header_variables(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Of a field that is there twice the server makes one (RFC 3875 4.1.18)."""
    variables: dict[str, str] = {}
    for name, value in fields:
        variable = name.upper().replace("-", "_")
        if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            variable = f"HTTP_{variable}"
        separator = "; " if variable == "HTTP_COOKIE" else ", "
        before = variables.get(variable)
        variables[variable] = value if before is None else before + separator + value
    return variables


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def _multipart(fields: list[tuple[str, str]], files: Mapping[str, File]) -> tuple[str, bytes]:
    """A content type and a body, as a browser writes them (WHATWG HTML, "multipart form data")."""
    boundary = secrets.token_hex(16)
    body = b""
    for name, value in fields:
        body += _part(boundary, f"name={_quoted(name)}", "", value.encode())
    for name, (filename, content, media_type) in files.items():
        disposition = f"name={_quoted(name)}; filename={_quoted(filename)}"
        body += _part(boundary, disposition, f"Content-Type: {media_type}\r\n", content)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def _part(boundary: str, disposition: str, fields: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{fields}\r\n"
    return head.encode() + content + b"\r\n"


def _quoted(name: str) -> str:
    return '"' + name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22") + '"'
