"""What a program does before it is frozen, for every request to find it done.

The app's own handler is called for the requests that its author lists, and for no others: it may
have effects.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from importlib import import_module
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct

from nativecgi.gateways.cgi import respond
from nativecgi.message.body import close
from nativecgi.message.decoders import prepare_decoders
from nativecgi.message.forms import prepare_forms
from nativecgi.message.limits import Limits
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response, answered, json, not_found, text
from nativecgi.process.streams import flush_streams, keep_stdout
from nativecgi.process.threads import await_threads, count_threads

# A path, decoded by nobody yet, with a query if there is a "?": asked for with GET. Or a request.
WarmUp = str | Request

# What a server says about a browser's request. What is usual here is what a process is ready for.
SERVER = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "Apache/2.4 (Unix)",
    "SERVER_NAME": "localhost",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_PORT": "80",
    "REQUEST_SCHEME": "http",
    "DOCUMENT_ROOT": "/var/www/html",
    "SCRIPT_FILENAME": "/usr/lib/cgi-bin/warmup",
    "SCRIPT_NAME": "/cgi-bin/warmup",
    "REQUEST_METHOD": "GET",
    "QUERY_STRING": "",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "40000",
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "Mozilla/5.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_LANGUAGE": "en",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate",
    "HTTP_CONNECTION": "keep-alive",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}


# Of the warm-up's first GET what a server says about it and not about any other. The build knows it
# from here, and tries the program with it.
trial: dict[str, str] = {}
# The same of its other requests: the build sees what the program touches for them, too.
others: list["Asked"] = []


class Asked(Struct, frozen=True):
    """A request, as a process gets it."""

    environment: Mapping[str, str]
    body: bytes


class Scene(Struct, frozen=True):
    """A request and who answers it."""

    handler: Handler
    env: Mapping[str, str]
    body: bytes = b""


def prepare(
    handler: Handler, warmup: Iterable[WarmUp] = (), limits: Limits | None = None
) -> Callable[[], None]:
    """Make what requests need, and not every program. Returns a function that rehearses.

    It answers made-up requests, to nobody: some as most handlers do, those of `warmup` by
    `handler`. This is asked for each once now, and what it raises (but for HTTPError) is raised;
    RuntimeError where it leaves a thread running, or answers that it has failed.
    """
    import_module("nativecgi.gateways.pooled")  # for a worker, which begins here for each request
    prepare_decoders()
    prepare_forms()
    asked = [_scene(handler, request) for request in warmup]
    first = next(filter(_is_get, asked), None)
    trial.update(_differing(first) if first else {})
    others.extend(Asked(_differing(scene), scene.body) for scene in asked if scene is not first)
    scenes = [*_SCENES, *asked]
    count = count_threads()
    for scene in scenes:
        request = Request(scene.env, io.BytesIO(scene.body), limits)
        context = copy_context()
        response = context.run(answered, scene.handler, request)
        context.run(close, response.body)
        await_threads(count)
        if response.status >= 500:  # a framework has the exception, and logs it
            path = scene.env.get("PATH_INFO", "")
            raise RuntimeError(f"the warm-up of {path!r} was answered with {response.status}")
    return lambda: _play(scenes, limits)


def _scene(handler: Handler, request: WarmUp) -> Scene:
    if isinstance(request, Request):
        body = request.body.read()
        length = {"CONTENT_LENGTH": str(len(body))} if body else {}
        uri = SERVER["SCRIPT_NAME"] + quote(
            request.env.get("PATH_INFO", ""), errors="surrogateescape"
        )
        env = {**SERVER, "REQUEST_URI": uri, **request.env, **length}
        env.pop("HTTP_PROXY", None)  # no handler sees that (gateways/cgi.py)
        return Scene(handler, env, body)
    return Scene(handler, get_environment(request))


def get_environment(request: str) -> dict[str, str]:
    """What a server says of a browser's GET request for a path, perhaps with a query."""
    path, _, query = request.partition("?")
    return {
        **SERVER,
        "PATH_INFO": unquote(path, errors="surrogateescape"),
        "QUERY_STRING": query,
        "REQUEST_URI": SERVER["SCRIPT_NAME"] + request,
    }


def _is_get(scene: Scene) -> bool:
    return scene.env["REQUEST_METHOD"] == "GET" and not scene.body


def _differing(scene: Scene) -> dict[str, str]:
    differing = {name: value for name, value in scene.env.items() if SERVER.get(name) != value}
    return {**differing, "REQUEST_METHOD": scene.env["REQUEST_METHOD"]}


def _play(scenes: Iterable[Scene], limits: Limits | None) -> None:
    """Do with descriptors and streams what a process does, and then put them back."""
    kept = os.dup(1), sys.stdout
    nowhere = os.open(os.devnull, os.O_WRONLY)
    count = count_threads()
    for scene in scenes:
        os.dup2(nowhere, 1)
        stdin = os.memfd_create("body")
        os.write(stdin, scene.body)
        os.lseek(stdin, 0, os.SEEK_SET)
        stdout = keep_stdout()
        # What an answer sets in context variables is its own.
        context = copy_context()
        context.run(respond, scene.handler, dict(scene.env), stdin, stdout, limits, _begin)
        await_threads(count)
        flush_streams()
        os.close(stdin)
        os.close(stdout)
    os.dup2(kept[0], 1)
    sys.stdout = kept[1]
    os.close(kept[0])
    os.close(nowhere)


def _begin() -> None:
    """In place of the hooks for a new process, which this is none."""


def _greet(request: Request) -> Response:
    match request.method, request.parts:
        case "GET", [name]:
            return text(name)
        case "POST", []:
            return json(request.json(dict[str, list[Any]]))
        case _:
            return not_found()


_SCENES = (
    Scene(_greet, SERVER | {"PATH_INFO": "/name"}),
    _scene(_greet, Request({"REQUEST_METHOD": "POST"}, io.BytesIO(b'{"values":[1,2.5,"a",null]}'))),
)
