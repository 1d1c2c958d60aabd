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

    In a build, the program is frozen here, after all imports and before it reads its request. So
    call this last, under `if __name__ == "__main__":`.

    `warmup` lists requests that the handler answers at build time, several times each, before the
    freeze. What it imports, compiles or caches for them is then there in every process. A request
    is a path for GET, such as "/" or "/search?q=x", or a Request. List only requests without
    effects: `after_thaw` hooks have not run, and the answers are discarded.
    """
    enter(Program(handler, limits), reach(lambda: prepare(handler, warmup, limits)))
