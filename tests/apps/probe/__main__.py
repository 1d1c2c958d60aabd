"""Answers by path; each is one thing that has to work in a frozen program."""

import atexit
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from nativecgi import HTTPError, Request, Response, json, not_found, run, text

from . import hooked


def versions_of_late_imports() -> dict[str, str]:
    """Modules that nothing has imported before: of Python, extensions, with libraries."""
    import decimal
    import html.parser
    import json as standard_json
    import lzma
    import sqlite3
    import ssl
    import zoneinfo

    with sqlite3.connect(":memory:") as connection:
        (one,) = connection.execute("select 1").fetchone()
    return {
        "decimal": str(decimal.Decimal("0.1") + decimal.Decimal("0.2")),
        "html.parser": html.parser.HTMLParser.__name__,
        "json": standard_json.dumps({"c speedups": "_json" in sys.modules}),
        "lzma": str(len(lzma.compress(b""))),
        "sqlite3": str(one),
        "ssl": ssl.OPENSSL_VERSION,
        "zoneinfo": str(zoneinfo.ZoneInfo.__name__),
    }


warmed_up: list[list[str]] = []


def in_thread() -> str:
    result: list[str] = []
    thread = threading.Thread(target=lambda: result.append("ran"))
    thread.start()
    thread.join()
    return result[0]


def say_goodbye() -> None:
    sys.stderr.write("goodbye from atexit\n")


def handle(request: Request) -> Response:
    match request.parts:
        case []:
            return text("probe")
        case ["late"]:
            return json(versions_of_late_imports())
        case ["hooks"]:
            return json(hooked.order)
        case ["imported"]:
            return json(hooked.is_imported)
        case ["environment", name]:
            child = subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True)
            lines = [line for line in child.stdout.splitlines() if line.startswith(f"{name}=")]
            return json([os.environ.get(name), os.getenv(name), request.env.get(name), lines])
        case ["paths"]:
            return json([sys.path, __file__])
        case ["process"]:
            return json({"argv": sys.argv, "pid": os.getpid(), "cwd": str(Path.cwd())})
        case ["random"]:
            return json([random.random(), str(uuid.uuid4()), os.urandom(8).hex()])
        case ["streams"]:
            streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
            return json([stream and [stream.encoding, stream.isatty()] for stream in streams])
        case ["signals"]:
            return json([signal.getsignal(signal.SIGPIPE), signal.SIG_IGN])
        case ["warm"]:
            warmed_up.append([request.query.get("q", ""), *hooked.order])
            return text("warm")
        case ["warmed-up"]:
            return json(warmed_up)
        case ["thread"]:
            return text(in_thread())
        case ["atexit"]:
            atexit.register(say_goodbye)
            return text("registered")
        case ["print"]:
            print("printed")
            return text("answered")
        case ["raise"]:
            raise RuntimeError("a secret")
        case ["refuse"]:
            raise HTTPError(418, "Short and stout.")
        case _:
            return not_found()


if __name__ == "__main__":
    run(handle, warmup=["/warm?q=1"])
