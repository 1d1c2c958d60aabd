"""Server-sent events (WHATWG HTML, 9.2): what a page's EventSource reads."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from nativecgi.message.body import close
from nativecgi.message.headers import HeaderFields, pairs
from nativecgi.message.response import Response, stream


class Event(Struct, frozen=True):
    """One event: its data, a name other than "message", and an id to resume from."""

    data: str
    name: str = ""
    id: str = ""
    retry: int | None = None  # milliseconds that the browser waits before it comes back


def event_stream(events: Iterable[Event | str], headers: HeaderFields = ()) -> Response:
    """Send events as they come; a str is the data of one.

    A browser reconnects when the stream ends, with the last event's id in the field Last-Event-ID.
    So let it end after a while, because a process should not stay for hours; answer 204
    (`no_content`) to stop the browser.

    `events` is closed when the client disconnects: a generator's `finally` runs.

    When it is sent, raises ValueError if a name or id has a line break, or if `retry` is negative.
    """
    fields = [("Cache-Control", "no-store"), *pairs(headers)]
    return stream(_pieces(events), "text/event-stream; charset=utf-8", headers=fields)


def _pieces(events: Iterable[Event | str]) -> Iterator[str]:
    try:
        for event in events:
            lines = _lines(Event(event) if isinstance(event, str) else event)
            yield "".join(f"{line}\n" for line in lines) + "\n"
    finally:
        close(events)


def _lines(event: Event) -> Iterator[str]:
    if _breaks(event.name) or _breaks(event.id) or "\0" in event.id:
        raise ValueError(f"an event's name and id are of one line: {event!r}")
    if event.retry is not None and event.retry < 0:
        raise ValueError(f"a browser cannot come back before it has gone: {event!r}")
    if event.name:
        yield f"event: {event.name}"
    if event.id:
        yield f"id: {event.id}"
    if event.retry is not None:
        yield f"retry: {event.retry:d}"
    for line in event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        yield f"data: {line}"


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text
