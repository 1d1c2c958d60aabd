"""What a program's last line calls."""

from collections.abc import Iterable
from typing import NoReturn

from nativecgi.freezepoint import reach
from nativecgi.limits import Limits
from nativecgi.process import serve
from nativecgi.rehearsal import WarmUp, prepare
from nativecgi.response import Handler


def run(
    handler: Handler, *, limits: Limits | None = None, warmup: Iterable[WarmUp] = ()
) -> NoReturn:
    """Answer one request with `handler`, within `limits`, and end the process.

    In a build the program is frozen here, after everything it imports and before anything it
    reads; so call this last, under `if __name__ == "__main__":`.

    `warmup` are requests that the handler is to answer in the build, before the freeze, some
    times over: what it then imports, compiles or caches every process finds done. They are paths
    for GET, such as "/" or "/search?q=x", or each a Request. List those without effects: they
    come with no hook for a new process, and their answers go nowhere.
    """
    serve(handler, reach(lambda: prepare(handler, warmup, limits)), limits)
