"""nativecgi.message.events: what a browser's EventSource makes of it (WHATWG HTML 9.2.6)."""

import re
from collections.abc import Generator, Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct

from nativecgi import Event, Request, Response, event_stream, no_content
from nativecgi.testing import Client


class Seen(Struct):
    """An event as a page sees it."""

    type: str
    data: str
    last_event_id: str


class Source:
    """An EventSource, as in 9.2.6."""

    def __init__(self, stream: bytes) -> None:
        self.seen: list[Seen] = []
        self.retry: int | None = None
        self._type, self._data, self._id = "", "", ""
        text = stream.decode("utf-8").removeprefix("\ufeff")
        lines = re.split("\r\n|\n|\r", text)
        for line in lines[:-1]:  # what has no end of line is not processed
            self._take(line)

    def _take(self, line: str) -> None:
        if line == "":
            self._dispatch()
        elif not line.startswith(":"):
            field, _colon, value = line.partition(":")
            self._process(field, value.removeprefix(" "))

    def _process(self, field: str, value: str) -> None:
        match field:
            case "event":
                self._type = value
            case "data":
                self._data += value + "\n"
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if re.fullmatch("[0-9]+", value):
                self.retry = int(value)

    def _dispatch(self) -> None:
        if self._data:
            data = self._data.removesuffix("\n")
            self.seen.append(Seen(self._type or "message", data, self._id))
        self._type, self._data = "", ""


def sent(*events: Event | str) -> bytes:
    """The body of the answer."""
    return Client(lambda _request: event_stream(events)).get().body


def pieces(events: Iterable[Event | str]) -> Generator[str, None, None]:
    """The body as a handler returns it."""
    body = event_stream(events).body
    assert isinstance(body, Generator)
    return body


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
ID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))
EVENTS = st.builds(Event, data=TEXT, name=LINE, id=ID, retry=st.none() | st.integers(min_value=0))


def normal(text: str) -> str:
    """Line breaks as they arrive."""
    return re.sub("\r\n|\r", "\n", text)


@given(st.lists(EVENTS))
@example([Event("")])
@example([Event("\n")])
@example([Event(" a\r\n\r: b\rdata: c\n")])
@example([Event("\ufeff", name="\ufeff", id=" ")])
def test_what_is_sent_is_what_a_page_sees(events: list[Event]) -> None:
    source = Source(sent(*events))
    last_id, expected = "", []
    for event in events:
        last_id = event.id or last_id
        expected.append(Seen(event.name or "message", normal(event.data), last_id))
    assert source.seen == expected
    retries = [event.retry for event in events if event.retry is not None]
    assert source.retry == (retries[-1] if retries else None)


def test_an_event_looks_like_this() -> None:
    event = Event("one\ntwo", name="tick", id="7", retry=500)
    assert sent(event) == b"event: tick\nid: 7\nretry: 500\ndata: one\ndata: two\n\n"


def test_a_text_is_the_data_of_an_event() -> None:
    assert Source(sent("one", "two")).seen == [Seen("message", it, "") for it in ("one", "two")]


@pytest.mark.parametrize(
    "event",
    [
        Event("", name="a\nb"),
        Event("", name="a\rb"),
        Event("", id="a\nb"),
        Event("", id="a\rb"),
        Event("", id="a\0b"),
        Event("", retry=-1),
    ],
)
def test_what_no_event_can_have(event: Event) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(event))):
        list(pieces([event]))


def test_the_header_of_a_stream() -> None:
    answer = Client(lambda _request: event_stream([], headers={"X-A": "b"})).get()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-a"] == "b"
    assert "content-length" not in answer.headers


def test_a_stream_goes_on_from_the_last_event() -> None:
    def handle(request: Request) -> Response:
        last = int(request.headers.get("Last-Event-ID", "0"))
        if last == 4:
            return no_content()
        return event_stream(Event(str(number), id=str(number)) for number in (last + 1, last + 2))

    client = Client(handle)
    seen: list[Seen] = []
    while (answer := client.get(headers={"Last-Event-ID": str(len(seen))})).status == 200:
        seen += Source(answer.body).seen
    assert answer.status == 204
    assert [event.data for event in seen] == ["1", "2", "3", "4"]


def test_a_stream_that_breaks_off_closes_its_events() -> None:
    closed = []

    def events() -> Iterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(True)

    body = pieces(events())
    assert next(body) == "data: one\n\n"
    assert not closed
    body.close()
    assert closed
