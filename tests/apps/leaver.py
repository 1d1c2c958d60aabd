"""Does all it can to leave something behind for the next request, and tells what it finds."""

import json as standard_json
import locale
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from nativecgi import Request, Response, after_thaw, json, not_found, run

left: list[bytes] = []
begun = 0
_DUMPS = standard_json.dumps


@after_thaw
def begin() -> None:
    """Count how often it runs in a process."""
    global begun
    begun += 1


def leave(_request: Request) -> Response:
    """Change what a process has."""
    left.append(bytes(50_000_000))
    os.environ["LEFT"] = "1"
    os.chdir("/")
    os.umask(0o777)
    os.open("/dev/null", os.O_RDONLY)
    signal.signal(signal.SIGUSR2, lambda _number, _frame: None)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    standard_json.dumps = str  # type: ignore[assignment]
    sys.setrecursionlimit(5000)
    locale.setlocale(locale.LC_ALL, "C")
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    random.seed(1)
    return look(_request)


def look(_request: Request) -> Response:
    """Tell what there is of it."""
    mask = os.umask(0)
    os.umask(mask)
    found: dict[str, Any] = {
        "pid": os.getpid(),
        "left": len(left),
        "begun": begun,
        "variable": os.environ.get("LEFT"),
        "folder": os.getcwd(),
        "umask": mask,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "has_handler": signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL,
        "has_timer": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "is_patched": standard_json.dumps is not _DUMPS,
        "recursion": sys.getrecursionlimit(),
        "threads": threading.active_count(),
        "random": [random.random(), uuid.uuid4().hex, os.urandom(8).hex()],
    }
    return json(found)


def slow(request: Request) -> Response:
    """Take as long as it is told."""
    time.sleep(float(request.query["seconds"]))
    return look(request)


def die(_request: Request) -> Response:
    """End the process without an answer."""
    os.kill(os.getpid(), signal.SIGKILL)
    return Response()


def end(_request: Request) -> Response:
    """End the program as a script would."""
    sys.exit(3)


PAGES: dict[str, Callable[[Request], Response]] = {
    "/leave": leave,
    "/look": look,
    "/slow": slow,
    "/die": die,
    "/end": end,
}


def handle(request: Request) -> Response:
    """One page for each."""
    page = PAGES.get(request.path)
    return page(request) if page else not_found()


if __name__ == "__main__":
    run(handle)
