"""A WSGI application below /wsgi and an ASGI application below /asgi, which answer alike.

/echo sends the body back as it is read, /path the path, /slow a piece and, ten seconds later,
another, /cookies three fields of a name, /fail nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.validate import validator

from nativecgi import Request, Response, from_wsgi, not_found, run
from nativecgi.asgi import from_asgi

PIECE = 60_000
SECONDS = 10
COOKIES = ("a=1", "b=2", "c=3")


@validator
def wsgi(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/wsgi/fail":
        raise LookupError("a secret")
    if path == "/wsgi/cookies":
        headers += [("Set-Cookie", cookie) for cookie in COOKIES]
    start_response("200 OK", headers)
    if path == "/wsgi/echo":
        return iter(lambda: environ["wsgi.input"].read(PIECE), b"")
    if path == "/wsgi/slow":
        return slowly()
    return [path.encode("latin-1")]


def slowly() -> Iterator[bytes]:
    yield b"one\n"
    time.sleep(SECONDS)
    yield b"two\n"


async def asgi(
    scope: Any,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["cookies"] = COOKIES
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"].removeprefix(scope["root_path"])
    headers = [(b"content-type", b"text/plain")]
    if path == "/asgi/fail":
        raise LookupError("a secret")
    if path == "/asgi/cookies":
        headers += [(b"set-cookie", cookie.encode()) for cookie in scope["state"]["cookies"]]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send_piece(body: bytes, more: bool) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    if path == "/asgi/echo":
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send_piece(message["body"], more)
    elif path == "/asgi/slow":
        await send_piece(b"one\n", True)
        await asyncio.sleep(SECONDS)
        await send_piece(b"two\n", False)
    else:
        await send_piece(path.encode(), False)


def handle(request: Request) -> Response:
    match request.parts:
        case ["wsgi", *_]:
            return from_wsgi(wsgi)(request)
        case ["asgi", *_]:
            return from_asgi(asgi)(request)
        case _:
            return not_found()


if __name__ == "__main__":
    run(handle)
