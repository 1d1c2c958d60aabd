"""nativecgi.gateways.http.connection: bytes in, events out."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nativecgi.gateways.http.connection import Body, Closed, End
from nativecgi.gateways.http.head import Head
from nativecgi.message.errors import HTTPError
from tests.gateways.http.requests import (
    bodies,
    chunked,
    connect,
    count,
    head_of,
    outcome,
    post,
    request,
)

EXPECT = "Expect: 100-continue"


def paths(found: list[Head | bytes | End | Closed | int]) -> list[str]:
    return [it.meta["PATH_INFO"] for it in found if isinstance(it, Head)]


def test_a_request_is_a_head_a_body_and_an_end() -> None:
    connection = connect()
    connection.receive(post(b"abc"))
    assert isinstance(connection.next_event(), Head)
    assert connection.next_event() == Body(b"abc")
    assert connection.next_event() == End()
    assert connection.next_event() is None


def test_a_request_without_a_body_is_a_head_and_an_end() -> None:
    assert outcome(request())[1:] == [End()]


def test_pieces_of_a_body_come_as_they_are_received() -> None:
    connection = connect()
    connection.receive(request("Content-Length: 4", line="POST / HTTP/1.1", body=b"ab"))
    connection.next_event()
    assert connection.next_event() == Body(b"ab")
    assert connection.next_event() is None
    connection.receive(b"cd")
    assert connection.next_event() == Body(b"cd")
    assert connection.next_event() == End()


def test_chunks_are_decoded() -> None:
    data = chunked(b'3;a="b c"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n')
    assert outcome(data)[1:] == [b"abc0123456789", End()]


def test_a_body_in_chunks_may_have_the_end_of_one_inside() -> None:
    assert bodies(outcome(chunked(b"9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"))) == [
        b"\r\n0\r\n\r\n\r\n"
    ]


def test_the_next_request_waits_for_the_answer() -> None:
    connection = connect()
    connection.receive(request() + request(line="GET /2 HTTP/1.1"))
    assert isinstance(connection.next_event(), Head)
    assert connection.next_event() == End()
    assert connection.next_event() is None
    connection.finish()
    second = connection.next_event()
    assert isinstance(second, Head)
    assert second.meta["PATH_INFO"] == "/2"


@pytest.mark.parametrize("first", [post(b"abc"), chunked(b"3\r\nabc\r\n0\r\n\r\n"), request()])
def test_requests_may_come_at_once(first: bytes) -> None:
    assert paths(outcome(first + request(line="GET /2 HTTP/1.1"))) == ["/", "/2"]


def test_the_body_of_a_request_for_an_upgrade_is_not_the_next_request() -> None:
    hidden = request(line="GET /hidden HTTP/1.1")
    found = outcome(post(hidden, "Connection: Upgrade", "Upgrade: h2c") + request())
    assert paths(found) == ["/", "/"]
    assert bodies(found) == [hidden]


def test_the_chunks_of_a_request_for_an_upgrade_are_decoded() -> None:
    found = outcome(chunked(b"3\r\nabc\r\n0\r\n\r\n", "Connection: Upgrade", "Upgrade: h2c"))
    assert found[1:] == [b"abc", End()]


def test_nothing_is_read_behind_a_request_that_is_the_last() -> None:
    found = outcome(request("Connection: close") + request(line="GET /2 HTTP/1.1"))
    assert found[1:] == [End(), Closed()]


def test_nothing_is_read_behind_a_refusal() -> None:
    connection = connect()
    connection.receive(request(host=None) + request())
    with pytest.raises(HTTPError):
        connection.next_event()
    connection.receive(request())
    assert connection.next_event() == Closed()


def test_a_connection_is_closed_if_its_answer_does_not_wait_for_the_body() -> None:
    connection = connect()
    connection.receive(request("Content-Length: 4", line="POST / HTTP/1.1", body=b"ab"))
    connection.next_event()
    connection.finish()
    connection.receive(b"cd" + request())
    assert connection.next_event() == Closed()


def test_a_client_that_leaves_between_requests_has_closed_the_connection() -> None:
    assert outcome(request(), b"\r\n", b"")[2:] == [Closed()]


@pytest.mark.parametrize("data", [post(b"abc")[:-1], chunked(b"3\r\nabc\r\n"), request()[:-1]])
def test_a_request_that_breaks_off_is_refused(data: bytes) -> None:
    assert outcome(data, b"")[-1] == 400


def test_a_client_that_sends_no_more_gets_its_answer() -> None:
    connection = connect()
    connection.receive(request())
    connection.receive(b"")
    assert isinstance(connection.next_event(), Head)
    assert connection.next_event() == End()
    assert not connection.keeps_alive
    connection.finish()
    assert connection.next_event() == Closed()


# --- Expect: 100-continue ---


def test_a_client_that_waits_is_invited_once() -> None:
    connection = connect()
    connection.receive(post(b"abc", EXPECT)[:-3])
    connection.next_event()
    assert connection.invite() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.invite() == b""
    assert connection.keeps_alive


@pytest.mark.parametrize(
    "data",
    [
        request(),
        request(EXPECT),
        post(b"abc")[:-3],
        post(b"abc", EXPECT),
        request(EXPECT, "Content-Length: 3", line="POST / HTTP/1.0"),
        request("Expect: else", "Content-Length: 3", line="POST / HTTP/1.1"),
    ],
    ids=["no body", "empty body", "not asked for", "body is there", "HTTP/1.0", "something else"],
)
def test_a_client_that_does_not_wait_is_not_invited(data: bytes) -> None:
    connection = connect()
    connection.receive(data)
    connection.next_event()
    assert connection.invite() == b""


def test_a_client_that_was_not_invited_may_send_the_body_or_not_so_nothing_is_read() -> None:
    connection = connect()
    connection.receive(post(b"abc", EXPECT)[:-3])
    connection.next_event()
    assert not connection.keeps_alive
    connection.finish()
    connection.receive(request())
    assert connection.next_event() == Closed()


def test_a_body_that_came_without_an_invitation_is_read() -> None:
    connection = connect()
    connection.receive(post(b"abc", EXPECT))
    connection.next_event()
    assert connection.next_event() == Body(b"abc")
    assert connection.keeps_alive


# --- any bytes, in any pieces ---

CHUNKED = chunked(b"3\r\nabc\r\n2\r\n\r\n\r\n0\r\nT: u\r\n\r\n")
LONG = request("X: " + "a" * 200)


@pytest.mark.parametrize("stream", [CHUNKED + request(), CHUNKED + CHUNKED, LONG + request()])
def test_bytes_may_be_cut_anywhere(stream: bytes) -> None:
    whole = outcome(stream, b"")
    assert count(whole, Head) == 2
    for place in range(1, len(stream)):
        assert outcome(stream[:place], stream[place:], b"") == whole


STREAMS = st.lists(
    st.sampled_from(
        [
            request("Accept: */*"),
            post(b"a=1&b=2", "Content-Type: text/plain"),
            post(b"abc", "Connection: Upgrade", "Upgrade: h2c"),
            chunked(b"3\r\nabc\r\n5;x=y\r\n\r\n\r\n0\r\n0\r\nT: u\r\n\r\n"),
            chunked(b"3\r\nabcXX"),
            chunked(b"3\r\nabc\r\n0\r\n\n"),
            chunked(b"3\n"),
            request("X : y"),
            request(line="FOO / HTTP/1.1"),
            request("Connection: close"),
            b"\r\n",
            b"\n",
        ]
    ),
    max_size=4,
).map(b"".join)


@given(STREAMS, st.data())
@settings(deadline=None)
def test_any_split_of_the_bytes_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    places = st.integers(0, len(stream))
    cuts = sorted({0, len(stream), *data.draw(st.lists(places, max_size=30))})
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    assert outcome(*pieces, b"") == outcome(stream, b"")


@pytest.mark.parametrize("stream", [CHUNKED + request(), post(b"abc")])
def test_bytes_may_come_one_by_one(stream: bytes) -> None:
    assert outcome(*(bytes([byte]) for byte in stream), b"") == outcome(stream, b"")


# Bytes that mean something, in any order.
TOKENS = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/", b"/%", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r", b" "),
        *(b"Host: a", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"Connection: "),
        *(b"close", b"Upgrade", b"Upgrade: h2c", b": ", b",", b";", b"0", b"3", b"abc", b"\0"),
        *(b"Expect: 100-continue", b"\xff", b"\t", b"?", b"#", b"http://a", b"_"),
    ]
)
ANY = st.lists(TOKENS | st.binary(max_size=4), max_size=40).map(b"".join)


@given(ANY | ANY.map(lambda rest: b"POST / HTTP/1.1\r\nHost: a\r\n" + rest))
@example(b"\r")
@settings(deadline=None)
def test_any_bytes_are_events_or_are_refused(data: bytes) -> None:
    found = outcome(data, b"")
    assert isinstance(found[-1], Closed) or found[-1] in (400, 413, 414, 431, 501, 505)


@given(ANY)
@settings(deadline=None)
def test_any_body_in_chunks_is_decoded_or_refused(body: bytes) -> None:
    found = outcome(chunked(body), b"")
    assert isinstance(found[0], Head)
    assert isinstance(found[-1], Closed) or found[-1] in (400, 413, 414, 431, 501, 505)


@given(st.lists(st.text("\r\n0;a", min_size=1).map(str.encode), max_size=8))
@settings(deadline=None)
def test_the_chunks_of_any_data_are_decoded_and_the_next_request_is_read(data: list[bytes]) -> None:
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in data)
    found = outcome(chunked(coded + b"0\r\n\r\n") + request(line="GET /2 HTTP/1.1"))
    assert b"".join(bodies(found)) == b"".join(data)
    assert paths(found) == ["/", "/2"]


# --- request smuggling ---

HIDDEN = request(line="GET /hidden HTTP/1.1")
LAST = b"0\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        # One of the two parsers goes by the length, the other by the chunks.
        request(
            "Content-Length: 5", "Transfer-Encoding: chunked", line="POST / HTTP/1.1", body=LAST
        ),
        request(
            f"Content-Length: {len(LAST + HIDDEN)}",
            "Transfer-Encoding: chunked",
            line="POST / HTTP/1.1",
            body=LAST,
        ),
        request(
            "Content-Length: 5", "Transfer-Encoding: xchunked", line="POST / HTTP/1.1", body=LAST
        ),
        request(
            "Content-Length: 5", "Transfer-Encoding : chunked", line="POST / HTTP/1.1", body=LAST
        ),
        request(
            "Content-Length: 5", "Transfer-Encoding:\x0bchunked", line="POST / HTTP/1.1", body=LAST
        ),
        request(
            "Content-Length: 5",
            "X: y\nTransfer-Encoding: chunked",
            line="POST / HTTP/1.1",
            body=LAST,
        ),
        request(
            "Content-Length: 5",
            "X: y\rTransfer-Encoding: chunked",
            line="POST / HTTP/1.1",
            body=LAST,
        ),
        # One takes the first length, the other the last.
        request("Content-Length: 0", "Content-Length: 5", line="POST / HTTP/1.1", body=LAST),
        # One takes LF for the end of a head, the other does not.
        request("X: y\n", "Content-Length: 5", line="POST / HTTP/1.1", body=LAST),
        # One takes LF for the end of an extension, the other does not.
        chunked(b"2;\nxx\r\n%x\r\n" % len(HIDDEN) + b"0\r\n\r\n"),
        # One takes two bytes for the line end behind the data, whatever they are.
        chunked(b"3\r\nabc" + b"\n" + LAST),
    ],
)
def test_a_request_that_two_parsers_frame_differently_hides_none(data: bytes) -> None:
    found = outcome(data + HIDDEN)
    assert found[-1] == 400
    assert "/hidden" not in paths(found)


def test_only_bodies_of_this_length_are_left_to_the_next_request() -> None:
    assert head_of(post(b"abc")).length == 3
    assert count(outcome(post(b"abc") + HIDDEN), Head) == 2
