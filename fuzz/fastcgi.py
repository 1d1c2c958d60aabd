"""Any bytes from a FastCGI server: they are malformed, or mean the same however they are split."""

from collections.abc import Iterable

from fuzz.exchange import WrongError
from nativecgi.gateways.fastcgi.connection import Abort, Connection, Event, Params, Reply, Stdin
from nativecgi.gateways.fastcgi.records import (
    FCGI_END_REQUEST,
    FCGI_GET_VALUES_RESULT,
    FCGI_STDERR,
    FCGI_STDOUT,
    FCGI_UNKNOWN_TYPE,
    ProtocolError,
    encode_pairs,
    parse_pairs,
    parse_records,
)

MAX_PARAMS = 256

_REPLIES = (FCGI_END_REQUEST, FCGI_GET_VALUES_RESULT, FCGI_UNKNOWN_TYPE)


def check(data: bytes) -> None:
    """Receive `data` at once, in pieces and byte by byte, and answer the requests in it.

    Raises WrongError where these differ, or where what is told or sent is not what may be. What
    else is raised was found, too.
    """
    whole = told([data])
    for length in (1, 7, 64):
        pieces = [data[start : start + length] for start in range(0, len(data), length)]
        _require(told(pieces) == whole, whole)
    require_events(whole or [])
    _answer(data)


def told(pieces: Iterable[bytes]) -> list[Event] | None:
    """The events of a connection that receives these; None if they are malformed."""
    connection = Connection(max_params=MAX_PARAMS)
    try:
        return [event for piece in pieces for event in connection.receive(piece)]
    except ProtocolError:
        return None


def require_events(events: Iterable[Event]) -> None:
    """Raises WrongError where a gateway could not follow: they are of one request at most."""
    expected: type[Params] | type[Stdin] | None = Params
    for event in events:
        match event:
            case Reply(data):
                _require_records(data, _REPLIES)
            case Abort():
                _require(expected is not Params, event)
            case Params(request_id, env, _keep_conn):
                _require(expected is Params and request_id, event)
                _require(parse_pairs(encode_pairs(env)) == env, event)
                expected = Stdin
            case Stdin(content):
                _require(expected is Stdin, event)
                expected = Stdin if content else None


def _answer(data: bytes) -> None:
    """Answer each request as soon as it is there: a connection may have several."""
    connection = Connection(max_params=MAX_PARAMS)
    for start in range(len(data)):
        try:
            events = connection.receive(data[start : start + 1])
        except ProtocolError:
            _require(connection.is_over, data)
            return
        # What is over has no request that would have to be answered.
        _require(not connection.is_over or all(isinstance(it, Reply) for it in events), events)
        for event in events:
            if isinstance(event, Abort) or event == Stdin(b""):
                log, answer = connection.stderr(b"log"), connection.end(b"answer")
                _require_records(log + answer, (FCGI_STDOUT, FCGI_STDERR, FCGI_END_REQUEST))


def _require_records(data: bytes, types: tuple[int, ...]) -> None:
    records, consumed = parse_records(data)
    _require(records and consumed == len(data), data)
    _require(all(record.type in types for record in records), data)


def _require(holds: object, what: object) -> None:
    if not holds:
        raise WrongError(repr(what))
