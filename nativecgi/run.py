"""What a program's last line calls."""

from typing import NoReturn

from nativecgi.cgi import exchange
from nativecgi.freezepoint import reach
from nativecgi.process import serve
from nativecgi.request import Request
from nativecgi.response import Handler, Response, not_found, text

_REQUEST = {"REQUEST_METHOD": "GET", "PATH_INFO": "/name", "QUERY_STRING": ""}


def run(handler: Handler) -> NoReturn:
    """Answer one request with `handler` and end the process.

    In a build the program is frozen here, after everything it imports and before anything it
    reads; so call this last, under `if __name__ == "__main__":`.
    """
    env = reach(_rehearse)
    serve(handler, env)


def _rehearse(_env: dict[str, str]) -> None:
    """Answer a made-up request, with a handler that does what most do."""
    exchange(_greet, _REQUEST, stdin=0)


def _greet(request: Request) -> Response:
    match request.method, request.parts:
        case "GET", [name]:
            return text(name)
        case _:
            return not_found()
