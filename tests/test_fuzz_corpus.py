"""fuzz: what is kept is treated as it should be, and what is not is seen."""

from pathlib import Path

import pytest

from fuzz import exchange, fastcgi
from nativecgi import Request, Response, text
from nativecgi.gateways.fastcgi.connection import Abort, Connection, Event, Params, Reply, Stdin

FOLDER = Path(exchange.__file__).parent / "corpus"
CORPUS = sorted((FOLDER / "exchange").iterdir())
STREAMS = sorted((FOLDER / "fastcgi").iterdir())
GET = b"REQUEST_METHOD=GET\0\0"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_request_of_the_corpus_is_answered(path: Path) -> None:
    exchange.check(path.read_bytes())


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_a_stream_of_the_corpus_means_the_same_however_it_is_split(path: Path) -> None:
    fastcgi.check(path.read_bytes())


@pytest.mark.parametrize("corpus", [CORPUS, STREAMS])
def test_the_corpus_is_small(corpus: list[Path]) -> None:
    assert 20 <= len(corpus) <= 100
    assert all(path.stat().st_size <= 1024 for path in corpus)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0", b"\0\0\0", b"=", b"A", b"\xff=\xff", b"a=1"])
def test_bytes_that_are_no_environment_are_a_request_too(data: bytes) -> None:
    exchange.check(data)


def test_a_request_is_an_environment_and_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    def keep(request: Request) -> Response:
        seen.append((dict(request.env), request.read()))
        return text("kept")

    monkeypatch.setattr(exchange, "HANDLERS", [keep])
    exchange.check(b"A=1\0CONTENT_LENGTH=2\0B==\xff\0NATIVECGI_MAX_BODY=x\0\0\0\n")
    assert seen == [({"A": "1", "CONTENT_LENGTH": "2", "B": "=\udcff"}, b"\0\n")]


def test_a_handler_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: Request) -> Response:
        raise LookupError("this one")

    monkeypatch.setattr(exchange, "HANDLERS", [fail])
    with pytest.raises(exchange.WrongError, match="LookupError: this one"):
        exchange.check(GET)


# --- what is no answer ---


@pytest.mark.parametrize(
    "output",
    [
        b"Status: 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n1",
        b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nof no length",
        b"Status: 304 Not Modified\r\n\r\n",
        b"Location: /a?b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1",
    ],
)
def test_an_answer_is_one(output: bytes) -> None:
    exchange.require_answer(output, is_head=False)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"Status: 200 OK\r\n",
        b"Status: 200 OK\n\n",
        b"Status: 100 Continue\r\n\r\n",
        b"Status: 200\r\n\r\n",
        b"Content-Type: text/plain\r\n\r\n",
        b"Status: 200 OK\r\nStatus: 200 OK\r\n\r\n",
        b"Status: 200 OK\r\nX: \x01\r\n\r\n",
        b"Status: 200 OK\r\nX Y: 1\r\n\r\n",
        b"Status: 200 OK\r\nX: 1\n2\r\n\r\n",
        b"Status: 200 OK\r\n\r\nof no type",
        b"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n1",
        b"Status: 204 No Content\r\nContent-Type: text/plain\r\n\r\n1",
        b"Location: //evil.example/\r\n\r\n",
        b"Location: /\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 700 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_found(output: bytes) -> None:
    with pytest.raises(exchange.WrongError):
        exchange.require_answer(output, is_head=False)


def test_an_answer_to_head_has_no_body() -> None:
    output = b"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n"
    exchange.require_answer(output, is_head=True)
    with pytest.raises(exchange.WrongError):
        exchange.require_answer(output + b"1", is_head=True)


# --- what a FastCGI connection may not do ---


def test_the_corpus_has_events_of_each_kind() -> None:
    events = [event for path in STREAMS for event in fastcgi.told([path.read_bytes()]) or []]
    assert {type(event) for event in events} == {Abort, Params, Reply, Stdin}
    assert any(fastcgi.told([path.read_bytes()]) is None for path in STREAMS)


@pytest.mark.parametrize(
    "events",
    [
        [Stdin(b"before a request")],
        [Abort()],
        [Params(0, {}, True)],
        [Params(1, {}, True), Params(1, {}, True)],
        [Params(1, {}, True), Stdin(b""), Stdin(b"after the end")],
        [Reply(b"")],
        [Reply(b"cut off")],
        [Reply(b"\x01\x05\x00\x01\x00\x00\x00\x00")],
    ],
)
def test_events_that_no_gateway_could_follow_are_found(events: list[Event]) -> None:
    with pytest.raises(exchange.WrongError):
        fastcgi.require_events(events)


def test_a_difference_between_whole_and_split_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(Connection):
        def receive(self, data: bytes) -> list[Event]:
            return super().receive(data) if len(data) > 8 else []

    monkeypatch.setattr(fastcgi, "Connection", Forgetful)
    with pytest.raises(exchange.WrongError):
        fastcgi.check((FOLDER / "fastcgi" / "get").read_bytes())
