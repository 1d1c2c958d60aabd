"""nativecgi.body: standard input, up to CONTENT_LENGTH and no further (RFC 3875 4.2)."""

import io
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nativecgi import HTTPError
from nativecgi.body import BodyReader


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


def buffered(descriptor: int, length: int) -> io.BufferedReader:
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
