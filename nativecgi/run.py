"""What a program's last line calls."""

from typing import NoReturn

from nativecgi.freezepoint import reach
from nativecgi.process import serve
from nativecgi.rehearsal import rehearse
from nativecgi.response import Handler


def run(handler: Handler) -> NoReturn:
    """Answer one request with `handler` and end the process.

    In a build the program is frozen here, after everything it imports and before anything it
    reads; so call this last, under `if __name__ == "__main__":`.
    """
    env = reach(rehearse)
    serve(handler, env)
