"""A server's connection: what is received becomes events, and what to send is told (no I/O).

It has one request at a time. A server that would multiplex them is told so.
"""

from msgspec import Struct

from nativecgi.gateways.fastcgi.records import (
    FCGI_ABORT_REQUEST,
    FCGI_BEGIN_REQUEST,
    FCGI_CANT_MPX_CONN,
    FCGI_GET_VALUES,
    FCGI_MAX_CONNS,
    FCGI_MAX_REQS,
    FCGI_MPXS_CONNS,
    FCGI_NULL_REQUEST_ID,
    FCGI_PARAMS,
    FCGI_RESPONDER,
    FCGI_STDERR,
    FCGI_STDIN,
    FCGI_STDOUT,
    FCGI_UNKNOWN_ROLE,
    ProtocolError,
    Record,
    encode_end_request,
    encode_get_values_result,
    encode_record,
    encode_stream,
    encode_unknown_type,
    parse_begin_request,
    parse_pairs,
    parse_records,
    stream_parts,
)

MAX_PARAMS = 1024 * 1024  # bytes


class Reply(Struct, frozen=True):
    """Send this at once; it is no part of the request's answer."""

    data: bytes


class Params(Struct, frozen=True):
    """A request has begun, and its environment is complete."""

    request_id: int
    env: dict[str, str]  # text that is not UTF-8 is kept as in os.environ
    keep_conn: bool  # whether the server may send another request after this one


class Stdin(Struct, frozen=True):
    """The next piece of the request's body, or if it is empty, the body's end."""

    content: bytes


class Abort(Struct, frozen=True):
    """The server no longer wants the answer; the request has to be ended all the same."""


Event = Reply | Params | Stdin | Abort


class Connection:
    """A connection, from its first byte to its last.

    `max_conns` and `max_reqs` are what a server is told that asks how many connections and
    requests the application takes at once. `max_params` limits the bytes of an environment.
    """

    # Whether nothing may follow: the connection has to be closed after what there is to send.
    is_over = False

    def __init__(self, max_conns: int = 1, max_reqs: int = 1, max_params: int = MAX_PARAMS) -> None:
        self._values = {
            FCGI_MAX_CONNS: str(max_conns),
            FCGI_MAX_REQS: str(max_reqs),
            FCGI_MPXS_CONNS: "0",
        }
        self._max_params = max_params
        self._rest = b""  # the start of a record
        self._failure = ""
        # Of the active request.
        self._request_id = FCGI_NULL_REQUEST_ID  # this: none is active
        self._keep_conn = False
        self._has_stderr = False
        self._params = bytearray()
        self._open: int | None = None  # the type of the stream that the server is sending

    def receive(self, data: bytes) -> list[Event]:
        """What the next bytes from the server mean. All events are of one request at most.

        Raises ProtocolError if they are malformed, and from then on always.
        """
        try:
            if self._failure:
                raise ProtocolError(self._failure)
            # The start of a record is shorter than 64 KiB and 263 bytes, so copying it is cheap.
            received = self._rest + data if self._rest else data
            records, consumed = parse_records(received)
            self._rest = received[consumed:]
            return [event for record in records if (event := self._event(record))]
        except ProtocolError as failure:
            self._failure = str(failure)
            self.is_over = True
            raise

    def stdout(self, data: bytes) -> bytes:
        """What to send for a piece of the answer. Raises ValueError if no request is active."""
        return encode_stream(FCGI_STDOUT, self._active(), data)

    def stderr(self, data: bytes) -> bytes:
        """What to send for the server's log. Raises ValueError if no request is active."""
        request_id = self._active()
        self._has_stderr = self._has_stderr or bool(data)
        return encode_stream(FCGI_STDERR, request_id, data)

    def end(self, data: bytes = b"", app_status: int = 0) -> bytes:
        """What to send for the last piece of the answer, or all of it, and for the request's end.

        The request is no longer active then, and what is still received of it is ignored.
        `app_status` is what a CGI program would exit with.

        Raises ValueError if no request is active.
        """
        request_id = self._active()
        parts = stream_parts(FCGI_STDOUT, request_id, data)
        parts.append(encode_record(FCGI_STDOUT, request_id))
        if self._has_stderr:  # a stream that was not begun needs no end
            parts.append(encode_record(FCGI_STDERR, request_id))
        parts.append(self._ended(app_status))
        return b"".join(parts)

    def _active(self) -> int:
        if self._request_id == FCGI_NULL_REQUEST_ID:
            raise ValueError("no request is active")
        return self._request_id

    def _ended(self, app_status: int = 0) -> bytes:
        """The end of the active request."""
        record = encode_end_request(self._request_id, app_status)
        self._request_id = FCGI_NULL_REQUEST_ID
        self.is_over = self.is_over or not self._keep_conn
        return record

    def _event(self, record: Record) -> Event | None:
        type, request_id, content = record.type, record.request_id, record.content
        if self.is_over:
            return None
        if request_id == FCGI_NULL_REQUEST_ID:
            return Reply(self._managed(type, content))
        if type == FCGI_BEGIN_REQUEST:
            return self._begin(request_id, content)
        if request_id != self._request_id:
            return None  # the rest of a request that was ended before it was read
        if type == FCGI_ABORT_REQUEST:
            # Nobody has heard of a request whose environment is not complete.
            return Reply(self._ended()) if self._open == FCGI_PARAMS else Abort()
        if type != self._open:
            raise ProtocolError(f"a record of type {type} is out of place")
        if type == FCGI_PARAMS:
            return self._take_params(content)
        if not content:
            self._open = None
        return Stdin(content)

    def _managed(self, type: int, content: bytes) -> bytes:
        if type != FCGI_GET_VALUES:
            return encode_unknown_type(type)
        names = parse_pairs(content)
        known = {name: value for name, value in self._values.items() if name in names}
        return encode_get_values_result(known)

    def _begin(self, request_id: int, content: bytes) -> Reply | None:
        role, keep_conn = parse_begin_request(content)
        if request_id == self._request_id:
            # To refuse the one would be to end the other.
            raise ProtocolError("a request begins twice")
        if self._request_id != FCGI_NULL_REQUEST_ID:
            return Reply(encode_end_request(request_id, 0, FCGI_CANT_MPX_CONN))
        if role != FCGI_RESPONDER:
            self.is_over = not keep_conn
            return Reply(encode_end_request(request_id, 0, FCGI_UNKNOWN_ROLE))
        self._request_id = request_id
        self._keep_conn = keep_conn
        self._has_stderr = False
        self._params = bytearray()
        self._open = FCGI_PARAMS
        return None

    def _take_params(self, content: bytes) -> Params | None:
        if content:
            self._params += content
            if len(self._params) > self._max_params:
                raise ProtocolError(f"the environment has more than {self._max_params:,} bytes")
            return None
        env = parse_pairs(bytes(self._params))
        self._params = bytearray()
        self._open = FCGI_STDIN
        return Params(self._request_id, env, self._keep_conn)
