"""Shows the server's time, which the page receives as a stream of events."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from nativecgi import Event, Request, Response, event_stream, html, not_found, run

# The browser comes back when a stream ends, so no process stays for long; ?seconds= is shorter.
SECONDS = 60
RETRY = 500  # milliseconds until it does

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Clock</title>
<style>
  :root { color-scheme: light dark; }
  body { display: grid; place-content: center; min-height: 90vh; text-align: center;
         font-family: system-ui, sans-serif; }
  time { font-size: min(18vw, 9rem); font-variant-numeric: tabular-nums; }
</style>
<time>--:--:--</time>
<p>The server's time (UTC), as it tells it.</p>
<script>
  const shown = document.querySelector("time");
  new EventSource(location.pathname.replace(/\\/$/, "") + "/events" + location.search)
    .addEventListener("tick", event => { shown.textContent = event.data; });
</script>
</html>
"""


def ticks(seconds: int, last: str) -> Iterator[Event]:
    """The time, once a second; who has seen `last`, of an earlier stream, does not see it again."""
    if last == str(int(time.time())):
        await_next_second()
    for number in range(seconds):
        if number:
            await_next_second()
        now = int(time.time())
        shown = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S")
        yield Event(shown, name="tick", id=str(now), retry=RETRY)


def length(asked: str) -> int:
    return int(asked) if re.fullmatch("[0-9]|[1-5][0-9]", asked) else SECONDS


def await_next_second() -> None:
    time.sleep(1 - time.time() % 1)


def handle(request: Request) -> Response:
    match request.method, request.parts:
        case "GET", []:
            return html(PAGE)
        case "GET", ["events"]:
            seconds = length(request.query.get("seconds", ""))
            return event_stream(ticks(seconds, request.headers.get("Last-Event-ID", "")))
        case _:
            return not_found()


if __name__ == "__main__":
    run(handle)
