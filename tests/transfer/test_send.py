"""nativecgi.transfer.send: answers that are not in memory, over real pipes and sockets."""

import bz2
import gzip
import io
import lzma
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nativecgi import Response, stream
from nativecgi.gateways.encode import encode
from nativecgi.message.body import close
from nativecgi.transfer.send import (
    DisconnectedError,
    IncompleteError,
    Streamed,
    chunk,
    file_length,
    send,
    write,
)


def sent(response: Response, nph: str | None = None) -> bytes:
    """All that comes out of a pipe, whose reader is in another thread."""
    output = encode(response, nph=nph)
    reader, writer = os.pipe()
    received = bytearray()

    def receive() -> None:
        while data := os.read(reader, 65536):
            received.extend(data)

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        if isinstance(output, Streamed):
            send(output, writer)
        else:
            write(output, writer)
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    return bytes(received)


def body_of(response: Response) -> bytes:
    return sent(response).partition(b"\r\n\r\n")[2]


def announced(output: bytes) -> list[int]:
    lines = output.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [int(line.partition(b":")[2]) for line in lines if line.startswith(b"Content-Length:")]


class Closable:
    """Some pieces, and whether they were closed."""

    def __init__(self, pieces: Iterable[Any]) -> None:
        self._pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pieces)

    def close(self) -> None:
        self.closed += 1


def gone() -> int:
    """The write end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


# --- pieces ---


@pytest.mark.parametrize(
    "pieces",
    [
        [b"abc", b"def"],
        ["abc", "def"],
        (b"abc", "def"),
        iter([b"abcdef"]),
        [b"", b"abc", b"", "", b"def", b""],
        [bytearray(b"abc"), memoryview(b"def")],
        (character for character in "abcdef"),
        {"abc": 1, "def": 2}.keys(),
    ],
)
def test_pieces_are_sent_one_after_the_other(pieces: Iterable[bytes | str]) -> None:
    assert sent(stream(pieces)) == (
        b"Status: 200 OK\r\nContent-Type: application/octet-stream\r\n\r\nabcdef"
    )


@pytest.mark.parametrize("pieces", [[], [b""], ["", b""], iter(())])
def test_no_pieces_are_an_empty_body(pieces: Iterable[bytes | str]) -> None:
    assert body_of(stream(pieces)) == b""


def test_pieces_of_text_are_utf8_and_a_requests_bytes_come_back() -> None:
    assert body_of(stream(["ä€", "\udcff"])) == b"\xc3\xa4\xe2\x82\xac\xff"


@pytest.mark.parametrize("piece", [None, 7, ["a"], {"a": 1}, object()])
def test_a_piece_of_another_type_is_refused(piece: Any) -> None:
    with pytest.raises(TypeError, match="a piece of a body is bytes or str, not "):
        sent(stream([b"x", piece]))


def test_the_pieces_are_closed_once_all_is_sent() -> None:
    pieces = Closable([b"a", b"b"])
    sent(stream(pieces))
    assert pieces.closed == 1


def test_what_cannot_be_closed_is_left() -> None:
    close([b"a"])


def test_the_pieces_are_closed_when_one_fails() -> None:
    def fail() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("a bug")

    pieces = Closable(fail())
    with pytest.raises(LookupError, match="a bug"):
        sent(stream(pieces))
    assert pieces.closed == 1


def test_the_pieces_are_closed_when_the_reader_has_gone() -> None:
    pieces = Closable([b"a", b"b"])
    output = encode(stream(pieces))
    assert isinstance(output, Streamed)
    writer = gone()
    with pytest.raises(DisconnectedError, match="Broken pipe"):
        send(output, writer)
    os.close(writer)
    assert pieces.closed == 1


def test_a_generators_finally_is_run_when_the_reader_has_gone() -> None:
    ended = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append(True)

    output = encode(stream(pieces()))
    assert isinstance(output, Streamed)
    writer = gone()
    with pytest.raises(DisconnectedError):
        send(output, writer)
    os.close(writer)
    assert ended == [True]


def test_a_client_that_has_gone_is_no_exception_for_a_handler_to_catch() -> None:
    assert not issubclass(DisconnectedError, Exception)


def test_what_was_sent_before_a_failure_stays() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise LookupError

    reader, writer = os.pipe()
    output = encode(stream(pieces()))
    assert isinstance(output, Streamed)
    with pytest.raises(LookupError):
        send(output, writer)
    assert os.read(reader, 65536).endswith(b"\r\n\r\nab")
    os.close(reader)
    os.close(writer)


def test_each_piece_is_sent_before_the_next_is_made() -> None:
    reader, writer = os.pipe()
    received = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            received.append(os.read(reader, 65536)[-1:])

    output = encode(stream(pieces()))
    assert isinstance(output, Streamed)
    send(output, writer)
    os.close(reader)
    os.close(writer)
    assert received == [b"0", b"1", b"2"]


# --- a Content-Length of the author's ---


def with_length(length: int, pieces: Iterable[bytes | str]) -> Response:
    return stream(pieces, headers={"Content-Length": str(length)})


def test_pieces_of_the_announced_length_are_sent() -> None:
    output = sent(with_length(4, [b"ab", "", "ä"]))
    assert announced(output) == [4]
    assert output.endswith("\r\n\r\nabä".encode())


@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"b", ""]])
def test_fewer_bytes_than_announced_are_an_error(pieces: list[bytes]) -> None:
    with pytest.raises(IncompleteError, match="bytes shorter than its Content-Length"):
        sent(with_length(3, pieces))


def test_more_bytes_than_announced_are_an_error_and_not_sent() -> None:
    reader, writer = os.pipe()
    output = encode(with_length(3, [b"ab", b"cd"]))
    assert isinstance(output, Streamed)
    with pytest.raises(IncompleteError, match="longer than its Content-Length"):
        send(output, writer)
    assert os.read(reader, 65536).endswith(b"\r\n\r\nab")
    os.close(reader)
    os.close(writer)


def test_a_first_piece_that_is_too_long_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="longer than its Content-Length"):
        encode(with_length(3, [b"abcd"]))


PIECES = st.lists(st.binary(max_size=4) | st.text("aä", max_size=3), max_size=5)


@settings(deadline=None)
@given(PIECES, st.none() | st.integers(0, 12), st.sampled_from([None, "HTTP/1.1", "HTTP/1.0"]))
@example([], 0, None)
@example([b"", b"a"], 1, "HTTP/1.1")
def test_any_pieces_are_complete_or_an_error(
    pieces: list[bytes | str], length: int | None, nph: str | None
) -> None:
    whole = b"".join(piece.encode() if isinstance(piece, str) else piece for piece in pieces)
    response = stream(pieces) if length is None else with_length(length, pieces)
    try:
        output = sent(response, nph)
    except (IncompleteError, ValueError):
        assert length is not None
        assert length != len(whole)
        return
    assert length in (None, len(whole))
    head, _end, body = output.partition(b"\r\n\r\n")
    assert announced(output) == ([] if length is None else [length])
    assert (b"chunked" in head) == (nph == "HTTP/1.1" and length is None)
    assert (unchunked(body) if b"chunked" in head else body) == whole


# --- chunks (RFC 9112 7.1) ---


def unchunked(body: bytes) -> bytes:
    """What a strict client makes of chunks; there is one empty chunk, and it is the last."""
    content = b""
    while True:
        size, _end, body = body.partition(b"\r\n")
        assert size == b"%x" % int(size, 16)
        data, end, body = (
            body[: int(size, 16)],
            body[int(size, 16) :][:2],
            body[int(size, 16) + 2 :],
        )
        assert end == b"\r\n"
        if not data:
            assert body == b""
            return content
        content += data


@pytest.mark.parametrize(
    ("piece", "framed"),
    [
        (b"a", b"1\r\na\r\n"),
        (b"0123456789", b"a\r\n0123456789\r\n"),
        (bytes(256), b"100\r\n" + bytes(256) + b"\r\n"),
        (b"\r\n", b"2\r\n\r\n\r\n"),
    ],
)
def test_a_chunk_has_its_length_before_it(piece: bytes, framed: bytes) -> None:
    assert chunk(piece) == framed


def test_an_empty_piece_is_no_chunk_since_that_would_be_the_last() -> None:
    assert chunk(b"") == b""


def test_an_nph_programs_pieces_are_chunks() -> None:
    output = sent(stream([b"abc", b"", "ä" * 10]), "HTTP/1.1")
    head, _end, body = output.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert body == b"3\r\nabc\r\n14\r\n" + "ä".encode() * 10 + b"\r\n0\r\n\r\n"


def test_an_nph_program_that_has_no_pieces_ends_its_chunks() -> None:
    assert sent(stream([]), "HTTP/1.1").endswith(b"\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("nph", ["HTTP/1.0", "HTTP/2.0", "INCLUDED", ""])
def test_chunks_are_for_http_1_1_alone(nph: str) -> None:
    output = sent(stream([b"abc"]), nph)
    assert b"chunked" not in output
    assert output.endswith(b"\r\n\r\nabc")


def test_chunks_that_fail_have_no_end() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise LookupError

    reader, writer = os.pipe()
    output = encode(stream(pieces()), nph="HTTP/1.1")
    assert isinstance(output, Streamed)
    with pytest.raises(LookupError):
        send(output, writer)
    assert os.read(reader, 65536).endswith(b"\r\n\r\n1\r\na\r\n")
    os.close(reader)
    os.close(writer)


# --- files ---

CONTENT = bytes(range(256)) * 5000  # longer than a pipe and than a call of sendfile(2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "content.bin"
    file.write_bytes(CONTENT)
    return file


def test_a_file_is_sent_to_its_end(path: Path) -> None:
    with path.open("rb") as opened:
        output = sent(Response(opened))
        assert opened.closed
    assert announced(output) == [len(CONTENT)]
    assert output.endswith(b"\r\n\r\n" + CONTENT)


@pytest.mark.parametrize("position", [0, 1, 100_000, len(CONTENT), len(CONTENT) + 5])
def test_a_file_is_sent_from_where_it_stands(path: Path, position: int) -> None:
    with path.open("rb") as opened:
        opened.seek(position)
        output = sent(Response(opened))
    assert announced(output) == [len(CONTENT[position:])]
    assert output.endswith(b"\r\n\r\n" + CONTENT[position:])


def test_a_file_of_which_some_was_read_is_sent_from_there(path: Path) -> None:
    with path.open("rb") as opened:
        assert opened.read(3) == CONTENT[:3]  # more is in its buffer
        assert body_of(Response(opened)) == CONTENT[3:]


def test_a_file_is_sent_as_far_as_the_author_says(path: Path) -> None:
    with path.open("rb") as opened:
        opened.seek(10)
        output = sent(Response(opened, headers={"Content-Length": "20"}))
    assert announced(output) == [20]
    assert output.endswith(b"\r\n\r\n" + CONTENT[10:30])


def test_a_file_that_is_shorter_than_the_author_says_is_refused(path: Path) -> None:
    with path.open("rb") as opened, pytest.raises(ValueError, match="but the body has"):
        encode(Response(opened, headers={"Content-Length": str(len(CONTENT) + 1)}))


def test_an_unbuffered_file_is_sent(path: Path) -> None:
    with path.open("rb", buffering=0) as opened:
        output = sent(Response(opened))
    assert announced(output) == [len(CONTENT)]
    assert output.endswith(CONTENT)


def test_an_empty_file_is_sent(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as opened:
        assert sent(Response(opened)) == b"Status: 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_an_nph_programs_file_is_no_chunks(path: Path) -> None:
    with path.open("rb") as opened:
        output = sent(Response(opened), "HTTP/1.1")
    assert b"chunked" not in output[:500]
    assert output.endswith(b"\r\n\r\n" + CONTENT)


@pytest.mark.parametrize("make", [tempfile.TemporaryFile, tempfile.NamedTemporaryFile])
def test_what_was_written_to_a_temporary_file_is_sent(make: Callable[[], Any]) -> None:
    with make() as temporary:
        temporary.write(b"abcdef")
        temporary.seek(2)
        temporary.write(b"CD")  # in the file's buffer still
        output = sent(Response(temporary))
        assert temporary.closed
    assert announced(output) == [2]
    assert output.endswith(b"\r\n\r\nef")


def test_a_closed_file_is_refused(path: Path) -> None:
    opened = path.open("rb")
    opened.close()
    with pytest.raises(ValueError, match="closed file"):
        encode(Response(opened))


def shortened(path: Path, write_to: int) -> None:
    """Send a file that loses its end after its length was announced."""
    output = encode(Response(path.open("rb")))
    assert isinstance(output, Streamed)
    os.truncate(path, 1000)
    send(output, write_to)


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_a_file_that_shrinks_while_it_is_sent_is_an_error(
    path: Path, tmp_path: Path, flags: int
) -> None:
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT | flags)
    with pytest.raises(IncompleteError, match="the file has become shorter"):
        shortened(path, out)
    os.close(out)
    assert (tmp_path / "out").read_bytes().endswith(b"\r\n\r\n" + CONTENT[:1000])


def test_a_file_that_grows_is_sent_as_announced(path: Path, tmp_path: Path) -> None:
    output = encode(Response(path.open("rb")))
    assert isinstance(output, Streamed)
    with path.open("ab") as appended:
        appended.write(b"more")
    with (tmp_path / "out").open("wb") as out:
        send(output, out.fileno())
    assert (tmp_path / "out").read_bytes().endswith(b"\r\n\r\n" + CONTENT)


# sendfile(2) takes no output that was opened to append to: there it is copied.
@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_a_file_is_sent_to_a_file(path: Path, tmp_path: Path, flags: int) -> None:
    (tmp_path / "out").write_bytes(b"before:")
    out = os.open(tmp_path / "out", os.O_WRONLY | flags)
    os.lseek(out, 0, os.SEEK_END)
    output = encode(Response(path.open("rb")))
    assert isinstance(output, Streamed)
    send(output, out)
    os.close(out)
    received = (tmp_path / "out").read_bytes()
    assert received.startswith(b"before:Status: 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n" + CONTENT)


def test_a_file_is_sent_to_a_socket(path: Path) -> None:
    ours, theirs = socket.socketpair()
    output = encode(Response(path.open("rb")))
    assert isinstance(output, Streamed)
    received = bytearray()

    def receive() -> None:
        with theirs:
            while data := theirs.recv(65536):
                received.extend(data)

    thread = threading.Thread(target=receive)
    thread.start()
    with ours:
        send(output, ours.fileno())
    thread.join()
    assert received.endswith(b"\r\n\r\n" + CONTENT)


def test_a_file_is_closed_when_the_reader_has_gone(path: Path) -> None:
    with path.open("rb") as opened:
        output = encode(Response(opened))
        assert isinstance(output, Streamed)
        writer = gone()
        with pytest.raises(DisconnectedError, match="Broken pipe"):
            send(output, writer)
        os.close(writer)
        assert opened.closed


def test_a_reader_that_goes_in_the_middle_of_a_file_is_noticed(path: Path) -> None:
    output = encode(Response(path.open("rb")))
    assert isinstance(output, Streamed)
    reader, writer = os.pipe()

    def receive() -> None:
        os.read(reader, 1000)
        os.close(reader)

    thread = threading.Thread(target=receive)
    thread.start()
    with pytest.raises(DisconnectedError, match="Broken pipe"):
        send(output, writer)
    thread.join()
    os.close(writer)


# --- files that are none of the file system's ---


def test_bytes_io_is_sent_from_where_it_stands() -> None:
    body = io.BytesIO(b"line\n" * 100_000)
    body.seek(5)
    assert body_of(Response(body)) == b"line\n" * 99_999
    assert body.closed


def test_a_pipes_read_end_is_sent_as_it_comes() -> None:
    reader, writer = os.pipe()
    source = os.fdopen(reader, "rb")
    out_reader, out_writer = os.pipe()
    os.write(writer, b"one\n")
    output = encode(Response(source))  # the first piece is there, and is not waited for longer
    assert isinstance(output, Streamed)
    assert output.head.endswith(b"\r\n\r\none\n")
    os.write(writer, b"two\n")
    os.close(writer)
    send(output, out_writer)
    assert os.read(out_reader, 65536).endswith(b"\r\n\r\none\ntwo\n")
    os.close(out_reader)
    os.close(out_writer)
    assert source.closed


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pipe_has_no_length(buffering: int) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb", buffering) as source:
        assert file_length(source) is None
        assert announced(sent(Response(source))) == []


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=lambda module: module.__name__)
def test_what_a_file_unpacks_is_sent_and_not_the_file(module: Any, tmp_path: Path) -> None:
    """These have a descriptor, which is that of the file below."""
    with module.open(tmp_path / "packed", "wb") as packed:
        packed.write(b"unpacked")
    assert body_of(Response(module.open(tmp_path / "packed"))) == b"unpacked"


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_a_file_that_may_be_in_memory_is_sent(size: int) -> None:
    with tempfile.SpooledTemporaryFile(1000) as spooled:
        spooled.write(bytes(size))
        spooled.seek(0)
        assert body_of(Response(spooled)) == bytes(size)
        assert spooled.closed


def test_an_object_with_a_method_read_is_sent() -> None:
    class Reader:
        def __init__(self) -> None:
            self.left = [b"a", b"b"]

        def read(self, _size: int) -> bytes:
            return self.left.pop(0) if self.left else b""

    assert body_of(Response(Reader())) == b"ab"  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [io.StringIO, lambda: open(os.devnull)])  # noqa: SIM115
def test_a_file_of_text_is_refused(make: Callable[[], Any]) -> None:
    with make() as opened, pytest.raises(TypeError, match="binary mode"):
        encode(Response(opened))


def test_text_that_is_read_has_an_end() -> None:
    """It is not recognised as a file of text, and its end is no b""."""
    with tempfile.NamedTemporaryFile("w+") as temporary:
        temporary.write("ä")
        temporary.seek(0)
        assert body_of(Response(temporary)) == "ä".encode()


def test_a_pipe_that_has_nothing_yet_and_does_not_wait_is_an_error() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb", 0) as source, pytest.raises(TypeError, match="not NoneType"):
        encode(Response(source))
    os.close(writer)


# --- writing ---


def test_all_is_written_to_a_pipe_that_takes_it_in_pieces() -> None:
    assert sent(Response(CONTENT)).endswith(CONTENT)


def test_nothing_is_nothing_to_write() -> None:
    write(b"", -1)


def test_what_cannot_be_written_says_why() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(DisconnectedError, match="No space left"):
        write(b"x", full)
    os.close(full)


def test_what_is_closed_cannot_be_written_to() -> None:
    with pytest.raises(DisconnectedError, match="Bad file descriptor"):
        write(b"x", -1)


@pytest.fixture
def unblocking() -> Iterator[tuple[int, int]]:
    """The ends of a pipe that does not wait until there is room."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    yield reader, writer
    os.close(reader)


def read_late(reader: int, into: list[bytes]) -> threading.Thread:
    def read() -> None:
        time.sleep(0.1)  # until the pipe is full
        while piece := os.read(reader, 1_000_000):
            into.append(piece)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_a_descriptor_that_does_not_block_is_waited_for(unblocking: tuple[int, int]) -> None:
    reader, writer = unblocking
    received: list[bytes] = []
    thread = read_late(reader, received)
    write(300_000 * b"x", writer)
    os.close(writer)
    thread.join()
    assert b"".join(received) == 300_000 * b"x"


def test_a_file_is_sent_to_a_descriptor_that_does_not_block(
    unblocking: tuple[int, int], tmp_path: Path
) -> None:
    reader, writer = unblocking
    (tmp_path / "file").write_bytes(300_000 * b"x")
    received: list[bytes] = []
    thread = read_late(reader, received)
    answer = encode(Response((tmp_path / "file").open("rb")))
    assert isinstance(answer, Streamed)
    send(answer, writer)
    os.close(writer)
    thread.join()
    assert b"".join(received).endswith(b"\r\n\r\n" + 300_000 * b"x")


def test_a_reader_that_goes_while_it_is_waited_for_is_noticed() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Timer(0.1, os.close, [reader]).start()
    with pytest.raises(DisconnectedError, match="Broken pipe"):
        write(300_000 * b"x", writer)
    os.close(writer)
