"""What a program's last line calls."""

from typing import NoReturn

from nativecgi.freezepoint import reach
from nativecgi.hooks import run_after_thaw
from nativecgi.limits import Limits
from nativecgi.process import serve
from nativecgi.rehearsal import prepare, rehearse
from nativecgi.request import Request
from nativecgi.response import Handler, Response


def run(handler: Handler, *, limits: Limits | None = None) -> NoReturn:
    """Answer one request with `handler`, within `limits`, and end the process.

    In a build the program is frozen here, after everything it imports and before anything it
    reads; so call this last, under `if __name__ == "__main__":`.
    """
    answer(handler, reach(prepare, rehearse), limits)


def answer(handler: Handler, env: dict[str, str], limits: Limits | None) -> NoReturn:
    """Answer the request of a process that has begun, with the hooks for it."""

    def handle(request: Request) -> Response:
        run_after_thaw()  # here, so that what a hook raises is answered too
        return handler(request)

    serve(handle, env, limits)
