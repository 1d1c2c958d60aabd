"""What a program does once before it is frozen, for every request to find it done.

The app's own handler is not called: it may have effects.
"""

import os
from typing import Any

from nativecgi.cgi import exchange
from nativecgi.decoders import prepare_decoders
from nativecgi.forms import prepare_forms
from nativecgi.request import Request
from nativecgi.response import Response, json, not_found, text


def prepare() -> None:
    """Make what requests need, and not every program."""
    prepare_decoders()
    prepare_forms()


def rehearse(_env: dict[str, str]) -> None:
    """Answer made-up requests, with a handler that does what most do, to nobody."""
    exchange(_greet, {"REQUEST_METHOD": "GET", "PATH_INFO": "/name", "QUERY_STRING": ""}, stdin=0)
    body = b'{"values":[1,2.5,"text",null]}'
    reader, writer = os.pipe()
    os.write(writer, body)
    os.close(writer)
    exchange(_greet, {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}, reader)
    os.close(reader)
    answer = os.dup(1)
    os.dup2(answer, 1)
    os.close(answer)


def _greet(request: Request) -> Response:
    match request.method, request.parts:
        case "GET", [name]:
            return text(name)
        case "POST", []:
            return json(request.json(dict[str, list[Any]]))
        case _:
            return not_found()
