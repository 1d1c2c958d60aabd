"""What a program's last line calls."""

from collections.abc import Iterable
from typing import NoReturn

from nativecgi.frozen.freezepoint import reach
from nativecgi.frozen.rehearsal import WarmUp, prepare
from nativecgi.gateways.table import Program, enter
from nativecgi.message.limits import Limits
from nativecgi.message.response import Handler


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
    enter(Program(handler, limits), reach(lambda: prepare(handler, warmup, limits)))
