"""Ticks as often, and as far apart, as the query says.

Try: URL?n=3&interval=1
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

from nativecgi import HTTPError, Request, Response, run, stream

MOST_TICKS, LONGEST_INTERVAL = 100, 10

Number = TypeVar("Number", int, float)


def ticks(count: int, interval: float) -> Iterator[str]:
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(interval)
        yield f"tick {number} of {count}\n"


def handle(request: Request) -> Response:
    count = bounded(int, request.query.get("n", "10"), 1, MOST_TICKS)
    interval = bounded(float, request.query.get("interval", "1"), 0, LONGEST_INTERVAL)
    return stream(ticks(count, interval), "text/plain; charset=utf-8")


def bounded(kind: type[Number], text: str, least: Number, most: Number) -> Number:
    with suppress(ValueError):
        if least <= (number := kind(text)) <= most:
            return number
    what = "whole number" if kind is int else "number"
    raise HTTPError(400, f"{text!r} is not a {what} from {least} to {most}.")


if __name__ == "__main__":
    run(handle)
