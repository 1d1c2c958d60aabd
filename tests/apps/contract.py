"""Answers by path; each is one thing that the cases of tests/contract ask for."""

import os
import subprocess
import zlib
from collections.abc import Iterator
from io import BytesIO

from msgspec import Struct

from nativecgi import (
    HTTPError,
    Limits,
    MultiDict,
    Request,
    Response,
    behind_proxy,
    cors,
    delete_cookie,
    file,
    html,
    json,
    local_redirect,
    method_not_allowed,
    no_content,
    not_found,
    redirect,
    run,
    set_cookie,
    stream,
    text,
    unauthorized,
)

MIB = 1024 * 1024
LIMITS = Limits(max_body=8 * MIB, max_form=16 * MIB, max_fields=100)

BLOCK = bytes(range(256)) * 256  # 64 KiB


class Point(Struct):
    """What the JSON of a request has to be."""

    x: int
    y: int = 0
    name: str = ""


def handle(request: Request) -> Response:
    match request.parts:
        case []:
            return text("contract")
        case ["show", *_]:
            return show(request)
        case ["forwarded", *_]:
            return behind_proxy(show)(request)
        case ["shared", *_]:
            return cors(show, allow_origin="https://example.org")(request)
        case ["path", *_]:
            return Response(os.fsencode(request.path))
        case ["query", name]:
            return Response(b"|".join(map(os.fsencode, request.query.getlist(name))))
        case ["header", name]:
            return Response(os.fsencode(request.headers.get(name, "none")))
        case ["environ", name]:
            return text(os.environ.get(name, "none"))
        case ["echo"]:
            media_type = request.content_type or "application/octet-stream"
            return Response(request.read(), headers={"Content-Type": media_type})
        case ["lines"]:
            return json([len(line) for line in request.body])
        case ["twice"]:
            return json([len(request.read()), len(request.read()), len(request.body.read(1))])
        case ["ignore"]:
            return text("ignored")
        case ["form"]:
            return show_form(request)
        case ["point"]:
            return json(request.json(Point))
        case ["methods"]:
            return by_method(request)
        case ["private"]:
            user = request.basic_credentials
            return json(user) if user else unauthorized("the staff's room")
        case ["negotiated"]:
            return negotiated(request)
        case ["status", code]:
            return Response(f"status {code}\n", int(code))
        case ["empty", code]:
            return Response(b"", int(code))
        case ["fields"]:
            return text("fields", headers=list(given(request).pairs()))
        case ["redirect", code]:
            return redirect(given(request)["to"], int(code))
        case ["local"]:
            return local_redirect(request.query["to"])
        case ["cookie", name, "set"]:
            return text("set", headers=cookies(request, name))
        case ["cookie", name, "delete"]:
            return text("deleted", headers=[delete_cookie(request, name)])
        case ["body", kind]:
            return body_of(kind)
        case ["stream", kind]:
            return stream_of(kind)
        case ["file", *names]:
            return file("/".join(names), root=folder(request))
        case ["tagged", name]:
            return file(name, headers={"ETag": '"v1"'}, root=folder(request))
        case ["tagged-text"]:
            return text("0123456789", headers={"ETag": 'W/"v1"'})
        case ["download", name]:
            return file(name, root=folder(request), download="Größe.txt")
        case ["raise", kind]:
            raise failure(kind)
        case ["return", kind]:
            return wrong(kind)
        case ["output", kind]:
            write_to_standard_output(kind)
            return text("answered")
        case _:
            return not_found()


def given(request: Request) -> MultiDict[str]:
    """A form's texts, or what is in the query."""
    return request.form().texts if request.method == "POST" else request.query


def show(request: Request) -> Response:
    return json(
        {
            "method": request.method,
            "path": request.path,
            "parts": request.parts,
            "script_name": request.script_name,
            "query": list(request.query.pairs()),
            "headers": dict(request.headers),
            "cookies": list(request.cookies.pairs()),
            "url": request.url,
            "scheme": request.scheme,
            "host": request.host,
            "remote_addr": request.remote_addr,
            "remote_user": request.remote_user,
            "content_type": request.content_type,
            "content_length": request.content_length,
            "env": dict(request.env),
        }
    )


def show_form(request: Request) -> Response:
    form = request.form()
    files = [
        [name, upload.filename, upload.content_type, upload.size, zlib.crc32(upload.read())]
        for name, upload in form.files.pairs()
    ]
    return json({"texts": list(form.texts.pairs()), "files": files})


def by_method(request: Request) -> Response:
    match request.method:
        case "GET":
            return html("<p>got</p>")
        case "POST":
            return text("posted", 201, {"Location": request.url + "/1"})
        case "PUT" | "PATCH":
            return text(f"{request.method} {request.read().decode()}")
        case "DELETE":
            return no_content()
        case "OPTIONS":
            return no_content({"Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
        case _:
            return method_not_allowed("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def negotiated(request: Request) -> Response:
    vary = {"Vary": "Accept"}
    match request.accepts("application/json", "text/html"):
        case "application/json":
            return json("hello", headers=vary)
        case "text/html":
            return html("<p>hello</p>", headers=vary)
        case _:
            raise HTTPError(406, "There is JSON and HTML.", vary)


def cookies(request: Request, name: str) -> list[tuple[str, str]]:
    return [
        set_cookie(request, name, "1"),
        set_cookie(request, f"{name}-long", "2", max_age=60, path="/cgi-bin"),
    ]


def body_of(kind: str) -> Response:
    match kind:
        case "zero":
            return text("0")
        case "blank-lines":
            return Response(b"\r\n\r\n\n\nStatus: 404\r\n\r\n")
        case "every-byte":
            return Response(bytes(range(256)))
        case "large":
            return Response(BLOCK * 80)
        case "unicode":
            return text("Zoë 🌍 \0")
        case _:
            return Response(BytesIO(b"of a file in memory"))


def stream_of(kind: str) -> Response:
    match kind:
        case "list":
            return Response(["one ", b"two ", "", "three"])
        case "generator":
            return stream((f"{number} " for number in range(3)), "text/plain; charset=utf-8")
        case "many":
            return stream(b"%d\n" % number for number in range(10_000))
        case "large":
            return stream(BLOCK for _time in range(80))
        case "nothing":
            return stream(())
        case "fails-first":
            return stream(failing(0))
        case "fails-later":
            return stream(failing(2))
        case _:
            # "announced-3" has the length that is announced.
            length = kind.removeprefix("announced-")
            return stream([b"a", b"b", b"c"], headers={"Content-Length": length})


def failing(after: int) -> Iterator[bytes]:
    for number in range(after):
        yield b"piece %d\n" % number
    raise RuntimeError(f"failed after {after} pieces")


def folder(request: Request) -> str:
    return request.env["CONTRACT_FILES"]


def failure(kind: str) -> BaseException:
    match kind:
        case "http-error":
            return HTTPError(409, "Somebody was faster.", {"Retry-After": "3"})
        case "http-error-without-message":
            return HTTPError(410)
        case "exit":
            return SystemExit(3)
        case _:
            return LookupError("a secret")


def wrong(kind: str) -> Response:
    match kind:
        case "none":
            return None  # type: ignore[return-value]
        case "str":
            return "just text"  # type: ignore[return-value]
        case "dict":
            return Response({"a": 1})
        case "status-text":
            return Response(b"", "200 OK")  # type: ignore[arg-type]
        case _:
            return Response(b"", int(kind))


def write_to_standard_output(kind: str) -> None:
    match kind:
        case "print":
            print("Status: 404 printed\n")  # noqa: T201
        case "descriptor":
            os.write(1, b"Status: 404 written\n\n")
        case _:
            subprocess.run(["/bin/echo", "Status: 404 echoed\n"], check=True)


if __name__ == "__main__":
    run(handle, limits=LIMITS)
