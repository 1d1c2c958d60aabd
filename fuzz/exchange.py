"""Any bytes as a request: whatever it is, a handler's answer is one, and nothing escapes."""

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from nativecgi import (
    Form,
    HTTPError,
    Limits,
    Request,
    Response,
    Upload,
    behind_proxy,
    cors,
    delete_cookie,
    file,
    json,
    local_redirect,
    redirect,
    set_cookie,
    stream,
    text,
    unauthorized,
)
from nativecgi.gateways import exchange as gateway
from nativecgi.message.cookies import parse_cookies
from nativecgi.message.response import Handler
from nativecgi.testing import parse_answer
from nativecgi.transfer.send import Streamed, send

LIMITS = Limits(max_body=512, max_form=1024, max_fields=10, max_part_header=256)
DIGITS = b"0123456789" * 20

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# RFC 9110 5.1, 5.5; RFC 3875 6.3.3.
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
_STATUS = re.compile(rb"([2-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")
_LOCAL = re.compile(rb"Location: /(?:[!-.0-~][!-~]*)?\r\n\r\n")
_ONCE = (b"status", b"content-type", b"content-length", b"location")


class WrongError(AssertionError):
    """What was found."""


def check(data: bytes) -> None:
    """Answer the request that `data` is, with each of the handlers.

    Meta-variables come first, NAME=value with a NUL behind each, as the kernel has an
    environment; another NUL, and then the body.

    Raises WrongError where an answer is none that a server could read, or is an error of status
    500 that the handler has not asked for.
    """
    block, _end, body = data.partition(b"\0\0")
    env = _environment(block)
    for handler in HANDLERS:
        _check_one(handler, env, body)


def _environment(block: bytes) -> dict[str, str]:
    env: dict[str, str] = {}
    for variable in block.decode("utf-8", "surrogateescape").split("\0"):
        name, separator, value = variable.partition("=")
        # Names are the server's to choose, and the limits are too.
        if separator and _NAME.fullmatch(name) and not name.startswith("NATIVECGI_"):
            env[name] = value
    return env


def _check_one(handler: Handler, env: Mapping[str, str], body: bytes) -> None:
    stdin, stdout = os.memfd_create("stdin"), os.memfd_create("stdout")
    try:
        os.pwrite(stdin, body, 0)
        with contextlib.redirect_stderr(io.StringIO()) as log:
            answer = gateway.exchange(handler, env, stdin, LIMITS)
            if isinstance(answer, Streamed):
                send(answer, stdout)
                answer = os.pread(stdout, os.fstat(stdout).st_size, 0)
        require_answer(answer, is_head=env.get("REQUEST_METHOD") == "HEAD")
        if log.getvalue():
            raise WrongError(f"{handler}: {log.getvalue()}")
    finally:
        os.close(stdin)
        os.close(stdout)


def require_answer(output: bytes, *, is_head: bool) -> None:
    """Raises WrongError where a strict server would not take `output`; of NPH just the client."""
    if output.startswith(b"HTTP/"):
        _require(200 <= parse_answer(output).status <= 599, output)
        return
    if output.startswith(b"Location:"):
        _require(_LOCAL.fullmatch(output), output)
        return
    head, end, body = output.partition(b"\r\n\r\n")
    matches = [_FIELD.fullmatch(line) for line in head.split(b"\r\n")]
    _require(end and all(matches), output)
    fields = [(match[1].lower(), match[2]) for match in matches if match]
    names = [name for name, _value in fields]
    _require(names[0] == b"status" and all(names.count(name) <= 1 for name in _ONCE), output)
    status = _STATUS.fullmatch(fields[0][1])
    _require(status, output)
    if is_head or (status and status[1] in (b"204", b"304")):
        _require(not body, output)
    elif b"content-length" in names:
        _require(dict(fields)[b"content-length"] == b"%d" % len(body), output)
    _require(not body or b"content-type" in names, output)


def _require(holds: object, what: object) -> None:
    if not holds:
        raise WrongError(repr(what))


# --- handlers ---


def _look(request: Request) -> Response:
    """Read all that is not the body."""
    credentials = request.basic_credentials
    seen = [
        *(request.method, request.path, request.parts, request.url, request.host, request.scheme),
        *(request.script_name, request.remote_addr, request.remote_user, request.content_type),
        *(dict(request.headers), list(request.query.pairs()), list(request.cookies.pairs())),
        *(request.content_length, request.accepts("text/html", "application/json"), credentials),
    ]
    return json(seen)


def _read(request: Request) -> Response:
    return Response(request.read())


def _read_json(request: Request) -> Response:
    return json(request.json())


def _read_typed(request: Request) -> Response:
    return json(request.json(dict[str, list[int] | str]))


def _read_form(request: Request) -> Response:
    form = request.form()
    try:
        _require(len(list(form.pairs())) <= LIMITS.max_fields, form)
        return json([(name, _shown(value)) for name, value in form.pairs()])
    finally:
        _close(form)


def _shown(value: str | Upload) -> list[str | int] | str:
    if isinstance(value, str):
        return value
    content = value.read()
    _require(len(content) == value.size, value)
    _require(not {"/", "\\"} & set(value.filename), value)
    return [value.filename, value.content_type, value.size]


def _close(form: Form) -> None:
    for value in form.files.pairs():
        value[1].file.close()


def _set_fields(request: Request) -> Response:
    """Make header fields of what the client says; ValueError is for what cannot be one."""
    headers = []
    for name, value in request.query.pairs():
        with contextlib.suppress(ValueError):
            cookie = set_cookie(request, name, value, path=request.path or "/", max_age=len(value))
            headers.append(cookie)
            kept = parse_cookies(cookie[1].partition(";")[0])
            _require(list(kept.pairs()) == [(name, value)], cookie)
            headers.append(delete_cookie(request, name, domain=request.host))
    return text("ok", headers=headers)


def _refuse(request: Request) -> Response:
    raise HTTPError(400 + len(request.path) % 200 % 100, request.path)


def _redirect(request: Request) -> Response:
    # A Location has no line break, and no other server either.
    target = request.query.get("to", request.url)
    if re.search(r"[\0-\x1f\x7f]", target):
        return unauthorized("".join(filter(str.isprintable, target)))
    return redirect(target, 301)


def _redirect_locally(request: Request) -> Response:
    if "/nph-" in request.script_name:  # there a server takes no part that could follow it
        return text("not here")
    return local_redirect("/" + re.sub(r"[\0-\x1f\x7f]", "", request.path).lstrip("/"))


def _file(request: Request) -> Response:
    """A file and a part of it; the answer has to be the bytes that it says it is."""
    return file(_folder() / "digits.txt", download="".join(request.parts).strip("\r\n\0"))


def _file_below(request: Request) -> Response:
    answer = file(request.path, root=_folder() / "root")
    name = getattr(answer.body, "name", "")
    _require(os.path.realpath(name).startswith(str(_folder() / "root")), name)
    return answer


@cache
def _folder() -> Path:
    folder = Path(_temporary().name).resolve()
    (folder / "digits.txt").write_bytes(DIGITS)
    (folder / "secret").write_text("secret")
    (folder / "root" / "sub").mkdir(parents=True)
    (folder / "root" / "a").write_text("a")
    (folder / "root" / "out").symlink_to(folder / "secret")
    os.utime(folder / "digits.txt", (784111777, 784111777))
    return folder


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _stream(request: Request) -> Response:
    content = request.read()

    def pieces() -> Iterator[bytes | str]:
        for line in content.splitlines(keepends=True):
            yield line if len(line) % 2 else line.decode("utf-8", "surrogateescape")

    return stream(pieces())


def _negotiate(request: Request) -> Response:
    return text(request.accepts("text/html", "text/plain") or "none", headers={"ETag": '"a"'})


HANDLERS: list[Callable[[Request], Response]] = [
    _look,
    behind_proxy(_look, 2),
    _read,
    _read_json,
    _read_typed,
    _read_form,
    _set_fields,
    _refuse,
    _redirect,
    _redirect_locally,
    _file,
    _file_below,
    _stream,
    cors(_negotiate, allow_origin="*"),
]
