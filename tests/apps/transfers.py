"""Large bodies both ways, and answers that take long: see test_transfers.py, test_disconnects.py.

What a process has to say of itself goes to the file that NOTES names, a line of JSON each.
"""

import atexit
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import msgspec

from nativecgi import Limits, Request, Response, file, json, not_found, run, stream, text

MIB = 1024 * 1024
PIECE = 64 * 1024
MEMORY = ("VmHWM", "RssAnon", "RssFile", "RssShmem")


def handle(request: Request) -> Response:
    atexit.register(note_memory, request.path)
    match request.method, request.parts:
        case "GET", []:
            return text("transfers")
        case "GET", ["download", size]:
            return download(int(size))
        case "GET", ["stream", size]:
            return stream(noted(map(mebibyte, range(int(size)))))
        case "GET", ["ticks"]:
            return stream(noted(ticks()), "text/plain")
        case "POST", ["count"]:
            return json(digest(request.body))
        case "POST", ["slow"]:
            return json(digest(request.body, pause=0.05))
        case "POST", ["form"]:
            upload = request.form().files["upload"]
            return json({**digest(upload.file), "announced": upload.size})
        case _:
            return not_found()


def download(size: int) -> Response:
    """A file of so many MiB, most of them holes."""
    with NamedTemporaryFile() as temporary:
        for number in range(size):
            temporary.seek(number * MIB)
            temporary.write(b"%8d" % number)
        temporary.truncate(size * MIB)
        return file(temporary.name)


def mebibyte(number: int) -> bytes:
    return (b"%8d" % number).ljust(MIB, b"\0")


def ticks() -> Iterator[bytes]:
    while True:
        yield b"tick\n"
        time.sleep(0.05)


def noted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    note({"opened": os.getpid()})
    try:
        yield from pieces
    finally:
        note({"closed": os.getpid()})


def digest(body: BinaryIO, pause: float = 0) -> dict[str, str | int]:
    """The body's length and its hash; it is in memory piece by piece only."""
    size, sha256 = 0, hashlib.sha256()
    while piece := body.read(PIECE):
        size += len(piece)
        sha256.update(piece)
        time.sleep(pause)
    return {"size": size, "sha256": sha256.hexdigest()}


def note_memory(path: str) -> None:
    """In KiB: what the process has needed at most (VmHWM), and what it has in the end."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    note({"path": path, **{name: int(lines[name].split()[0]) for name in MEMORY}})


def note(what: object) -> None:
    if path := os.environ.get("NOTES"):
        with open(path, "ab", buffering=0) as notes:  # one write, so that it is one line
            notes.write(msgspec.json.encode(what) + b"\n")


if __name__ == "__main__":
    run(handle, limits=Limits(max_form=2048 * MIB))
