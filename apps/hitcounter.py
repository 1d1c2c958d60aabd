"""Counts how often it was requested, and answers with the number as an SVG image.

The number is kept in the file that HITCOUNTER_FILE names, in a folder that the server's user can
write to. That is never the folder of the programs, in which whoever can write can run anything.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import msgspec

from nativecgi import HTTPError, Request, Response, cors, method_not_allowed, run

IMAGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="28" role="img" aria-label="{hits} hits">
<title>{hits} hits</title>
<rect width="{width}" height="28" rx="5" fill="#24292f"/>
<rect x="46" width="{box}" height="28" rx="5" fill="#0a5cad"/>
<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="14" text-anchor="middle">
<text x="23" y="19">hits</text>
<text x="{middle}" y="19" font-weight="bold">{hits}</text>
</g>
</svg>
"""  # noqa: E501
DIGIT_WIDTH = 11  # of a bold digit at this size, generously
PADDING = 18


class Count(msgspec.Struct):
    """What the file holds."""

    hits: int = 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out; the file itself is replaced, so another one is locked."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def count_hit(path: Path) -> int:
    """Add one to the number in the file, which is never seen half written."""
    with locked(path):
        count = msgspec.json.decode(path.read_bytes(), type=Count) if path.exists() else Count()
        count.hits += 1
        new = path.with_name(f"{path.name}.new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(count))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        return count.hits


def counted(request: Request) -> int:
    """Count in the file that the server's configuration names; what is wrong there is logged."""
    try:
        return count_hit(Path(request.env["HITCOUNTER_FILE"]))
    except KeyError:
        reason = "has to name a file, in a folder that the server's user can write to"
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        reason = f"is in a folder that the server's user cannot write to: {error}"
    sys.stderr.write(f"hitcounter: HITCOUNTER_FILE {reason}\n")
    raise HTTPError(500)


def image(hits: int) -> str:
    """The number as an SVG image."""
    box = len(str(hits)) * DIGIT_WIDTH + PADDING
    return IMAGE.format(hits=hits, width=46 + box, box=box, middle=46 + box / 2)


def handle(request: Request) -> Response:
    if request.method != "GET":
        return method_not_allowed("GET")
    headers = {"Content-Type": "image/svg+xml", "Cache-Control": "no-store"}
    return Response(image(counted(request)), headers=headers)


if __name__ == "__main__":
    # In the empty folder that the build runs it in.
    env = {"REQUEST_METHOD": "GET", "HITCOUNTER_FILE": "hits.json"}
    run(cors(handle), warmup=[Request(env, BytesIO())])
