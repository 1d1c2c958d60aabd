"""nativecgi.gateways.fastcgi.connection: what a server sends, and what it means (FastCGI 1.0)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.gateways.fastcgi.connection import (
    Abort,
    Connection,
    Event,
    Params,
    Reply,
    Stdin,
)
from nativecgi.gateways.fastcgi.records import (
    FCGI_ABORT_REQUEST,
    FCGI_AUTHORIZER,
    FCGI_BEGIN_REQUEST,
    FCGI_CANT_MPX_CONN,
    FCGI_DATA,
    FCGI_FILTER,
    FCGI_GET_VALUES,
    FCGI_KEEP_CONN,
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
    encode_pairs,
    encode_record,
    encode_unknown_type,
    parse_records,
)

ENV = {"REQUEST_METHOD": "POST", "HTTP_ACCEPT": "*/*", "HTTP_COOKIE": "a" * 200}


def begin(request_id: int = 1, role: int = FCGI_RESPONDER, flags: int = FCGI_KEEP_CONN) -> bytes:
    content = bytes([role >> 8, role & 255, flags]) + bytes(5)
    return encode_record(FCGI_BEGIN_REQUEST, request_id, content)


def params(content: bytes = b"", request_id: int = 1) -> bytes:
    return encode_record(FCGI_PARAMS, request_id, content)


def stdin(content: bytes = b"", request_id: int = 1) -> bytes:
    return encode_record(FCGI_STDIN, request_id, content)


def abort(request_id: int = 1) -> bytes:
    return encode_record(FCGI_ABORT_REQUEST, request_id)


def get_values(*names: str) -> bytes:
    return encode_record(FCGI_GET_VALUES, 0, encode_pairs(dict.fromkeys(names, "")))


def opened(request_id: int = 1, flags: int = FCGI_KEEP_CONN) -> bytes:
    """A request up to the end of its environment, which is ENV."""
    environment = params(encode_pairs(ENV), request_id) + params(b"", request_id)
    return begin(request_id, flags=flags) + environment


def connected(data: bytes) -> Connection:
    """A connection on which this has been received."""
    connection = Connection()
    connection.receive(data)
    return connection


# --- a request (6.2) ---


def test_a_request_of_a_server_is_an_environment_and_the_end_of_a_body() -> None:
    assert Connection().receive(opened() + stdin()) == [Params(1, ENV, True), Stdin(b"")]


def test_a_request_says_whether_to_keep_the_connection() -> None:
    assert Connection().receive(opened(flags=0)) == [Params(1, ENV, False)]


@pytest.mark.parametrize("request_id", [1, 255, 256, 65_535])
def test_a_request_has_the_id_that_the_server_gives_it(request_id: int) -> None:
    assert Connection().receive(opened(request_id)) == [Params(request_id, ENV, True)]


def test_an_environment_may_be_empty() -> None:
    assert Connection().receive(begin() + params()) == [Params(1, {}, True)]


def test_text_of_an_environment_is_decoded_as_in_os_environ() -> None:
    (event,) = Connection().receive(begin() + params(b"\x01\x03a\xc3\xa4\xff") + params())
    assert event == Params(1, {"a": "ä\udcff"}, True)


def test_an_environment_may_be_split_anywhere_across_records() -> None:
    content = encode_pairs(ENV)
    pieces = b"".join(params(content[at : at + 1]) for at in range(len(content)))
    assert Connection().receive(begin() + pieces + params()) == [Params(1, ENV, True)]


def test_nothing_is_told_before_the_environment_is_complete() -> None:
    connection = Connection()
    assert connection.receive(begin() + params(encode_pairs(ENV))) == []
    assert connection.receive(params()) == [Params(1, ENV, True)]


def test_a_body_is_given_as_it_comes() -> None:
    connection = connected(opened())
    assert connection.receive(stdin(b"one") + stdin(b"two")) == [Stdin(b"one"), Stdin(b"two")]
    assert connection.receive(stdin(b"three")) == [Stdin(b"three")]
    assert connection.receive(stdin()) == [Stdin(b"")]


def test_a_record_may_be_received_in_parts() -> None:
    connection, data = connected(opened()), stdin(b"body")
    assert connection.receive(data[:5]) == []
    assert connection.receive(data[5:14]) == []
    assert connection.receive(data[14:]) == [Stdin(b"body")]


def test_no_bytes_mean_nothing() -> None:
    assert Connection().receive(b"") == []


# --- an answer (5.3, 5.5, 6.2) ---


def test_an_answer_is_its_data_the_end_of_its_stream_and_the_end_of_its_request() -> None:
    connection = connected(opened(7) + stdin(b"", 7))
    assert connection.end(b"Status: 200 OK\r\n\r\n") == (
        encode_record(FCGI_STDOUT, 7, b"Status: 200 OK\r\n\r\n")
        + encode_record(FCGI_STDOUT, 7)
        + encode_end_request(7)
    )


def test_an_answer_may_be_sent_in_pieces() -> None:
    connection = connected(opened())
    assert connection.stdout(b"one") == encode_record(FCGI_STDOUT, 1, b"one")
    assert connection.stdout(b"") == b""
    assert connection.end() == encode_record(FCGI_STDOUT, 1) + encode_end_request(1)


def test_a_long_answer_is_several_records() -> None:
    connection = connected(opened())
    found, _consumed = parse_records(connection.end(bytes(100_000)))
    assert [len(record.content) for record in found] == [65_535, 34_465, 0, 8]


def test_a_request_ends_with_the_applications_status() -> None:
    assert connected(opened()).end(app_status=1).endswith(encode_end_request(1, 1))


def test_what_is_written_to_the_log_is_a_stream_with_an_end_too() -> None:
    connection = connected(opened())
    assert connection.stderr(b"oh") == encode_record(FCGI_STDERR, 1, b"oh")
    assert encode_record(FCGI_STDERR, 1) in connection.end()


def test_the_log_of_a_request_is_not_that_of_the_next() -> None:
    connection = connected(opened())
    connection.stderr(b"oh")
    connection.end()
    connection.receive(opened())
    assert encode_record(FCGI_STDERR, 1) not in connection.end()


def test_a_log_of_no_bytes_is_not_begun() -> None:
    connection = connected(opened())
    assert connection.stderr(b"") == b""
    assert encode_record(FCGI_STDERR, 1) not in connection.end()


def test_without_a_request_there_is_nothing_to_answer() -> None:
    connection = connected(opened())
    connection.end()
    for idle in (Connection(), connection):
        for answer in (idle.stdout, idle.stderr, idle.end):
            with pytest.raises(ValueError, match="no request is active"):
                answer(b"")


# --- the next request (3.5, 5.1) ---


def test_a_connection_that_is_kept_has_another_request() -> None:
    connection = connected(opened() + stdin())
    connection.end()
    assert not connection.is_over
    assert connection.receive(opened() + stdin()) == [Params(1, ENV, True), Stdin(b"")]


def test_a_connection_that_is_not_kept_is_over_with_its_request() -> None:
    connection = connected(opened(flags=0))
    assert not connection.is_over
    connection.end()
    assert connection.is_over
    assert connection.receive(opened()) == []


def test_the_rest_of_a_body_that_was_not_read_is_ignored() -> None:
    connection = connected(opened())
    connection.end()
    assert connection.receive(stdin(b"rest") + abort() + stdin()) == []
    assert connection.receive(opened()) == [Params(1, ENV, True)]


def test_records_of_a_request_that_is_not_active_are_ignored() -> None:
    others = params(b"x", 2) + stdin(b"x", 2) + abort(2) + encode_record(FCGI_DATA, 2, b"x")
    assert Connection().receive(others) == []
    assert connected(opened()).receive(others + stdin(b"mine")) == [Stdin(b"mine")]


def test_a_second_request_at_a_time_is_refused() -> None:
    connection = connected(opened())
    refusal = Reply(encode_end_request(2, 0, FCGI_CANT_MPX_CONN))
    assert connection.receive(opened(2, flags=0) + stdin(b"", 2)) == [refusal]
    assert connection.receive(stdin()) == [Stdin(b"")]
    connection.end()
    assert not connection.is_over


def test_a_second_request_is_refused_while_the_environment_of_the_first_comes() -> None:
    refusal = Reply(encode_end_request(2, 0, FCGI_CANT_MPX_CONN))
    assert Connection().receive(begin() + begin(2) + params()) == [refusal, Params(1, {}, True)]


@pytest.mark.parametrize("role", [FCGI_AUTHORIZER, FCGI_FILTER, 0, 257])
def test_a_request_of_another_role_is_refused(role: int) -> None:
    connection = Connection()
    refusal = Reply(encode_end_request(1, 0, FCGI_UNKNOWN_ROLE))
    assert connection.receive(begin(role=role) + params(b"x") + params() + stdin()) == [refusal]
    assert not connection.is_over
    assert connection.receive(opened()) == [Params(1, ENV, True)]


def test_a_connection_that_is_not_kept_is_over_when_its_request_is_refused() -> None:
    connection = connected(begin(role=FCGI_FILTER, flags=0))
    assert connection.is_over


# --- FCGI_ABORT_REQUEST (5.4) ---


def test_an_abort_is_told_and_the_request_is_still_to_be_ended() -> None:
    connection = connected(opened())
    assert connection.receive(stdin(b"x") + abort()) == [Stdin(b"x"), Abort()]
    assert connection.end() == encode_record(FCGI_STDOUT, 1) + encode_end_request(1)


def test_a_request_may_be_aborted_after_its_body() -> None:
    assert connected(opened() + stdin()).receive(abort()) == [Abort()]


def test_a_request_that_was_not_told_yet_is_ended_at_once() -> None:
    connection = Connection()
    assert connection.receive(begin() + params(b"x") + abort()) == [Reply(encode_end_request(1))]
    assert connection.receive(opened()) == [Params(1, ENV, True)]


def test_a_connection_that_is_not_kept_is_over_when_its_request_was_not_told() -> None:
    assert connected(begin(flags=0) + abort()).is_over


# --- management records (4) ---


def test_a_server_is_told_what_the_application_can() -> None:
    connection = Connection(max_conns=3, max_reqs=4)
    values = {"FCGI_MAX_CONNS": "3", "FCGI_MAX_REQS": "4", "FCGI_MPXS_CONNS": "0"}
    assert connection.receive(get_values(*values)) == [Reply(encode_get_values_result(values))]


def test_names_that_are_unknown_are_left_out() -> None:
    answer = Reply(encode_get_values_result({"FCGI_MPXS_CONNS": "0"}))
    assert Connection().receive(get_values("FCGI_MPXS_CONNS", "OTHER")) == [answer]
    assert Connection().receive(get_values("OTHER")) == [Reply(encode_get_values_result({}))]


def test_management_does_not_disturb_a_request() -> None:
    asked, answer = get_values("OTHER"), Reply(encode_get_values_result({}))
    data = begin() + asked + params(encode_pairs(ENV)) + asked + params() + asked + stdin()
    events = [answer, answer, Params(1, ENV, True), answer, Stdin(b"")]
    assert Connection().receive(data) == events


@pytest.mark.parametrize("type", [0, FCGI_BEGIN_REQUEST, FCGI_STDIN, 12, 255])
def test_a_management_record_of_unknown_type_is_answered_with_its_type(type: int) -> None:
    assert Connection().receive(encode_record(type, 0, b"x")) == [Reply(encode_unknown_type(type))]


# --- what is malformed ---


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "version 71"),
        (encode_record(FCGI_BEGIN_REQUEST, 1, bytes(7)), "has 7 bytes"),
        (begin() + begin(), "begins twice"),
        (opened() + begin(), "begins twice"),
        (begin() + params(b"\x01") + params(), "within a name-value pair"),
        (encode_record(FCGI_GET_VALUES, 0, b"\x01"), "within a name-value pair"),
        (begin() + stdin(), "type 5 is out of place"),
        (opened() + params(), "type 4 is out of place"),
        (opened() + stdin() + stdin(), "type 5 is out of place"),
        (opened() + stdin() + encode_record(0, 1), "type 0 is out of place"),
        (opened() + encode_record(FCGI_DATA, 1, b"x"), "type 8 is out of place"),
    ],
)
def test_a_malformed_stream_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        Connection().receive(data)


def test_after_what_is_malformed_the_connection_is_unusable() -> None:
    connection = connected(opened())
    for data in (params(), stdin(), b""):
        with pytest.raises(ProtocolError, match="out of place"):
            connection.receive(data)
    assert connection.is_over


def test_an_environment_has_a_limit() -> None:
    content = b"\x01\x05a" + b"b" * 5
    whole = Connection(max_params=8).receive(begin() + params(content) + params())
    assert whole == [Params(1, {"a": "bbbbb"}, True)]
    with pytest.raises(ProtocolError, match="more than 7 bytes"):
        Connection(max_params=7).receive(begin() + params(content))
    with pytest.raises(ProtocolError, match="more than 7 bytes"):
        Connection(max_params=7).receive(begin() + params(content[:4]) + params(content[4:]))


def test_the_limit_is_a_mebibyte_unless_the_caller_says_otherwise() -> None:
    connection = connected(begin() + params(bytes(65_535)) * 16)
    connection.receive(params(bytes(16)))
    with pytest.raises(ProtocolError, match="more than 1,048,576 bytes"):
        connection.receive(params(bytes(1)))


def test_the_limit_is_for_each_environment() -> None:
    connection = Connection(max_params=300)
    for _ in range(3):
        assert connection.receive(opened()) == [Params(1, ENV, True)]
        connection.end()


# --- any stream ---

# What follows one another in a sensible order, and what does not.
SENSIBLE = [begin(), params(encode_pairs(ENV)), params(), stdin(b"body"), stdin(), abort()]
OTHERS = [
    *(opened(), opened(2), opened(flags=0), begin(role=FCGI_FILTER), begin(flags=0, role=0)),
    *(get_values("FCGI_MAX_REQS"), encode_record(99, 0), stdin(b"x", 2), abort(2)),
    *(b"\x01", b"\x02" * 8, params(b"\x80")),
]
a_stream = st.one_of(
    st.lists(st.sampled_from([*SENSIBLE, *OTHERS]), max_size=12).map(b"".join),
    st.lists(st.sampled_from(OTHERS), max_size=3).map(lambda them: b"".join([*SENSIBLE, *them])),
    st.binary(max_size=100),
    st.binary(max_size=100).map(lambda data: opened() + data),
    st.builds(Record, st.integers(0, 12), st.integers(0, 2), st.binary(max_size=9)).map(
        lambda it: begin() + encode_record(it.type, it.request_id, it.content)
    ),
)


def told(pieces: list[bytes]) -> list[Event] | None:
    """The events of a connection, or None if what is received is malformed."""
    connection = Connection()
    try:
        return [event for piece in pieces for event in connection.receive(piece)]
    except ProtocolError:
        return None


@given(a_stream, st.data())
def test_a_stream_means_the_same_however_it_is_split(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    limits = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(limits)]
    assert told(pieces) == told([stream])


@given(a_stream)
def test_a_stream_means_the_same_byte_by_byte(stream: bytes) -> None:
    assert told([bytes([byte]) for byte in stream]) == told([stream])


@given(a_stream)
def test_what_is_replied_is_whole_records(stream: bytes) -> None:
    for event in told([stream]) or []:
        if isinstance(event, Reply):
            assert parse_records(event.data)[1] == len(event.data)


@given(st.dictionaries(st.text(max_size=150), st.text(max_size=150)), st.binary(max_size=300))
def test_a_request_survives_the_round_trip(env: dict[str, str], body: bytes) -> None:
    environment = params(encode_pairs(env)) if env else b""
    pieces = stdin(body) if body else b""
    events = Connection().receive(begin() + environment + params() + pieces + stdin())
    assert events == [Params(1, env, True), *([Stdin(body)] if body else []), Stdin(b"")]
