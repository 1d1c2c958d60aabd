"""Sends a large file, and counts the bytes of a large body, in all the ways that there are."""

import os
from collections.abc import Iterator

from nativecgi import Limits, Request, Response, file, not_found, run, stream, text

PIECE = 64 * 1024


def handle(request: Request) -> Response:
    """Answer by the path: the file in two ways, or the body's length read in two."""
    match request.method, request.parts:
        case "GET", []:
            return text("large")
        case "GET", ["file"]:
            return file(os.environ["LARGE_FILE"])
        case "GET", ["stream"]:
            return stream(pieces(), headers={"Content-Length": os.environ["LARGE_SIZE"]})
        case "POST", ["body"]:
            return text(str(count(request)))
        case "POST", ["form"]:
            return text(str(request.form().files["upload"].size))
        case _:
            return not_found()


def pieces() -> Iterator[bytes]:
    """The file, read by Python."""
    with open(os.environ["LARGE_FILE"], "rb") as large:
        while piece := large.read(PIECE):
            yield piece


def count(request: Request) -> int:
    """How long the body is."""
    size = 0
    while piece := request.body.read(PIECE):
        size += len(piece)
    return size


if __name__ == "__main__":
    run(handle, limits=Limits(max_form=2**31))
