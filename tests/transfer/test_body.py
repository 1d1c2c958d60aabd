"""nativecgi.transfer.body: standard input, up to CONTENT_LENGTH and no further (RFC 3875 4.2)."""

import io
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi import HTTPError
from nativecgi.message.body import read_whole
from nativecgi.transfer.body import BodyReader


@contextmanager
def pipe_with(data: bytes) -> Iterator[int]:
    """The reading end of a pipe that holds `data`, and whose writing end is closed."""
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


def buffered(descriptor: int, length: int | None) -> io.BufferedReader:
    return io.BufferedReader(BodyReader(descriptor, length))


def test_the_announced_bytes_are_read() -> None:
    with pipe_with(b"hello") as stdin:
        assert buffered(stdin, 5).read() == b"hello"


def test_nothing_is_read_past_the_announced_length() -> None:
    with pipe_with(b"hello, and the next request") as stdin:
        body = buffered(stdin, 5)
        assert body.read() == b"hello"
        assert body.read() == b""
        assert os.read(stdin, 100) == b", and the next request"


def test_nothing_is_read_past_the_announced_length_by_a_small_read() -> None:
    with pipe_with(b"hello, and the next request") as stdin:
        assert buffered(stdin, 5).read(1) == b"h"
        assert os.read(stdin, 100) == b", and the next request"


def test_reading_all_does_not_wait_for_an_end_of_input() -> None:
    reader, writer = os.pipe()  # a server may keep the writing end open
    os.write(writer, b"hello")
    assert buffered(reader, 5).read() == b"hello"
    os.close(reader)
    os.close(writer)


def test_a_body_that_arrives_in_pieces_is_read_whole() -> None:
    reader, writer = os.pipe()

    def send() -> None:
        for piece in (b"one ", b"two ", b"three"):
            os.write(writer, piece)
            time.sleep(0.002)
        os.close(writer)

    sender = threading.Thread(target=send)
    sender.start()
    assert buffered(reader, 13).read() == b"one two three"
    sender.join()
    os.close(reader)


def test_it_can_be_read_by_line() -> None:
    with pipe_with(b"a\nb\nc\n") as stdin:
        assert list(buffered(stdin, 5)) == [b"a\n", b"b\n", b"c"]


def test_it_is_readable_and_neither_writable_nor_seekable() -> None:
    body = BodyReader(0, 0)
    assert body.readable()
    assert not body.writable()
    assert not body.seekable()


def test_an_empty_body_reads_nothing_from_the_descriptor() -> None:
    assert buffered(-1, 0).read() == b""


def test_an_end_before_the_announced_length_is_the_clients_fault() -> None:
    with pipe_with(b"half") as stdin, pytest.raises(HTTPError) as raised:
        buffered(stdin, 8).read()
    assert raised.value.status == 400


def test_an_announced_body_of_which_nothing_comes_is_the_clients_fault() -> None:
    with pipe_with(b"") as stdin, pytest.raises(HTTPError) as raised:
        buffered(stdin, 1).read()
    assert raised.value.status == 400


def test_drain_reads_what_is_left() -> None:
    with pipe_with(b"hello") as stdin:
        body = BodyReader(stdin, 5)
        body.read(2)
        body.drain(100)
        assert os.read(stdin, 100) == b""


def test_drain_reads_nothing_past_the_announced_length() -> None:
    with pipe_with(b"hello, and the next request") as stdin:
        BodyReader(stdin, 5).drain(100)
        assert os.read(stdin, 100) == b", and the next request"


def test_drain_reads_no_more_than_its_limit() -> None:
    with pipe_with(b"hello") as stdin:
        BodyReader(stdin, 5).drain(3)
        assert os.read(stdin, 100) == b"lo"


def test_drain_of_a_body_that_ends_early_just_ends() -> None:
    with pipe_with(b"half") as stdin:
        BodyReader(stdin, 8).drain(100)
        assert os.read(stdin, 100) == b""


def test_drain_of_a_body_that_was_read_reads_nothing() -> None:
    with pipe_with(b"hello") as stdin:
        body = BodyReader(stdin, 5)
        body.read()
        body.drain(100)


def test_an_input_that_cannot_be_read_is_the_clients_fault() -> None:
    for length in (5, None):
        with pytest.raises(HTTPError) as raised:
            buffered(-1, length).read()
        assert raised.value.status == 400


# --- a body of unknown length ---


def test_without_a_length_all_there_is_is_read() -> None:
    with pipe_with(b"hello") as stdin:
        body = buffered(stdin, None)
        assert body.read() == b"hello"
        assert body.read() == b""


def test_without_a_length_nothing_is_a_body_too() -> None:
    with pipe_with(b"") as stdin:
        assert buffered(stdin, None).read() == b""


def test_the_end_of_a_body_without_a_length_is_asked_for_once() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    body = BodyReader(reader, None)
    assert body.read(1) == b""
    os.close(reader)
    assert body.read(1) == b""


def test_drain_of_a_body_without_a_length_reads_to_its_end_or_the_limit() -> None:
    with pipe_with(b"hello") as stdin:
        BodyReader(stdin, None).drain(3)
        assert os.read(stdin, 100) == b"lo"
    with pipe_with(b"hello") as stdin:
        BodyReader(stdin, None).drain(100)
        assert os.read(stdin, 100) == b""


# --- after the answer ---


@pytest.mark.parametrize("length", [5, None])
def test_a_body_that_was_drained_cannot_be_read(length: int | None) -> None:
    with pipe_with(b"hello") as stdin:
        raw = BodyReader(stdin, length)
        body = io.BufferedReader(raw)
        raw.drain(100)
        with pytest.raises(ValueError, match="read it before the answer is returned"):
            body.read()


# --- the whole of it ---


class Counting(io.BytesIO):
    """A body that notes how many bytes it is asked for at a time."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.append(-1 if size is None else size)
        return super().read(size)


@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("limit", [5, 6, 10**6, 10**18, 10**40])
def test_the_whole_body_is_read_where_it_is_within_the_limit(
    length: int | None, limit: int
) -> None:
    with pipe_with(b"hello") as stdin:
        assert read_whole(buffered(stdin, length), length, limit) == b"hello"


@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("limit", [0, 4])
def test_a_body_over_the_limit_is_413(length: int | None, limit: int) -> None:
    with pipe_with(b"hello") as stdin, pytest.raises(HTTPError) as raised:
        read_whole(buffered(stdin, length), length, limit)
    assert raised.value.status == 413
    assert raised.value.message == f"The body may have {limit} bytes at most."


def test_a_body_that_is_announced_to_be_over_the_limit_is_not_read() -> None:
    body = Counting(b"hello")
    with pytest.raises(HTTPError):
        read_whole(body, 5, 4)
    assert body.asked == []


def test_a_body_without_a_length_is_read_to_one_byte_over_the_limit() -> None:
    body = Counting(b"x" * 100)
    with pytest.raises(HTTPError):
        read_whole(body, None, 10)
    assert body.tell() == 11


def test_no_more_is_asked_for_at_a_time_than_there_is_memory_for() -> None:
    body = Counting(b"x" * 3_000_000)
    assert len(read_whole(body, None, 10**15)) == 3_000_000
    assert max(body.asked) <= 1024 * 1024


def test_no_body_has_no_limit_to_be_over() -> None:
    assert read_whole(io.BytesIO(), 0, 0) == b""
    assert read_whole(io.BytesIO(), None, 0) == b""


@given(st.binary(max_size=50), st.integers(0, 60), st.lists(st.integers(0, 20)))
def test_however_it_is_read_a_body_is_its_bytes(
    content: bytes, length: int, sizes: list[int]
) -> None:
    with pipe_with(content) as stdin:
        body = buffered(stdin, min(length, len(content)))
        pieces = [body.read(size) for size in sizes] + [body.read()]
        assert b"".join(pieces) == content[:length]
        assert os.read(stdin, 100) == content[length:]


@pytest.mark.parametrize("length", [5, None])
def test_an_input_that_does_not_block_is_waited_for(length: int | None) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def send() -> None:
        for byte in (b"he", b"llo"):
            time.sleep(0.05)
            os.write(writer, byte)
        os.close(writer)

    thread = threading.Thread(target=send)
    thread.start()
    assert buffered(reader, length).read() == b"hello"
    thread.join()
    os.close(reader)


def test_drain_waits_for_an_input_that_does_not_block() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    threading.Timer(0.05, os.write, [writer, b"hello"]).start()
    BodyReader(reader, 5).drain(100)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
