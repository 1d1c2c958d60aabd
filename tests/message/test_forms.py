"""nativecgi.message.forms: what a form sends (WHATWG HTML and URL; RFC 7578)."""

import io
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.formparser import MultiPartParser

from nativecgi import Form, HTTPError, Limits, MultiDict, Upload
from nativecgi.message.forms import read_form
from nativecgi.message.limits import DEFAULT_LIMITS

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"

# A name, a filename where the part is an upload, and the content.
Part = tuple[bytes, bytes | None, bytes]
# A name, and text or the filename and the content of an upload.
Pair = tuple[str, str | tuple[str, bytes]]


def form(content_type: str, body: bytes, limits: Limits = DEFAULT_LIMITS) -> Form:
    return read_form(content_type, io.BytesIO(body), len(body), limits)


def urlencoded(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Form:
    return form(URLENCODED, body, limits)


def multipart(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Form:
    return form(MULTIPART, body, limits)


def part(content: bytes, *lines: bytes) -> bytes:
    """A part with these lines as its header, and the delimiter in front."""
    return b"--x\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + content + b"\r\n"


def field(name: bytes, content: bytes, *lines: bytes) -> bytes:
    return part(content, b"Content-Disposition: form-data; name=" + quoted(name), *lines)


def upload(name: bytes, filename: bytes, content: bytes, *lines: bytes) -> bytes:
    disposition = b"form-data; name=" + quoted(name) + b"; filename=" + quoted(filename)
    return part(content, b"Content-Disposition: " + disposition, *lines)


def quoted(name: bytes) -> bytes:
    """As a browser writes it (WHATWG HTML, "multipart/form-data encoding algorithm")."""
    plain = name.replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22")
    return b'"' + plain + b'"'


def named(disposition: bytes, content: bytes = b"1") -> Form:
    return multipart(part(content, b"Content-Disposition: " + disposition) + b"--x--\r\n")


def status_of(content_type: str, body: bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    """The status with which a form is refused; a body in chunks has to be refused with it too."""
    with pytest.raises(HTTPError) as raised:
        form(content_type, body, limits)
    with pytest.raises(HTTPError) as raised_again:
        read_form(content_type, io.BytesIO(body), None, limits)
    assert raised_again.value.status == raised.value.status
    return raised.value.status


def contents(fields: Form) -> list[Pair]:
    """Names and values, the latter of an upload as filename and content; uploads are closed."""
    found: list[Pair] = []
    for name, value in fields.pairs():
        if isinstance(value, Upload):
            with value.file:
                found.append((name, (value.filename, value.read())))
        else:
            found.append((name, value))
    return found


# --- urlencoded (WHATWG URL 5.1) ---


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        (b"a=1", [("a", "1")]),
        (b"a=1&b=2&a=3", [("a", "1"), ("a", "3"), ("b", "2")]),
        (b"a=", [("a", "")]),
        (b"a", [("a", "")]),
        (b"=1", [("", "1")]),
        (b"=", [("", "")]),
        (b"&&a=1&", [("a", "1")]),
        (b"&", []),
        (b"a=b=c", [("a", "b=c")]),
        (b"a+b=c+d", [("a b", "c d")]),
        (b"a=%2B%26%3D%25", [("a", "+&=%")]),
        (b"a=%0D%0A%00", [("a", "\r\n\0")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
        (b"a=%zz%4", [("a", "%zz%4")]),
        (b"a=%u20ac", [("a", "%u20ac")]),
        (b"%C3%A4=%e2%82%ac", [("ä", "€")]),
        ("ä=€".encode(), [("ä", "€")]),
        (b"a=%C3\xa4", [("a", "ä")]),
        (b"a=%FF", [("a", "\udcff")]),
        (b"a=\xff", [("a", "\udcff")]),
        (b"a=%ED%A0%80", [("a", "\udced\udca0\udc80")]),
    ],
)
def test_a_urlencoded_body_is_names_and_values(body: bytes, pairs: list[tuple[str, str]]) -> None:
    assert list(urlencoded(body).pairs()) == pairs


@pytest.mark.parametrize(
    "content_type",
    [f"{URLENCODED}; charset=UTF-8", f" {URLENCODED} ;", URLENCODED.upper(), f"{URLENCODED};;=\0"],
)
def test_the_media_type_may_have_parameters_and_capitals(content_type: str) -> None:
    assert form(content_type, b"a=%C3%A4")["a"] == "ä"


def test_a_form_of_urlencoded_fields_has_no_uploads() -> None:
    fields = urlencoded(b"a=1&b=2")
    assert fields.texts == fields == {"a": "1", "b": "2"}
    assert not fields.files


# --- which forms there are ---


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json", "multipart/mixed; boundary=x", "multipart/form-datax",
     "multipart/form-data, " + URLENCODED, ";" + URLENCODED, "\0", "\udcff"],
)  # fmt: skip
def test_another_media_type_is_415(content_type: str) -> None:
    assert status_of(content_type, b"a=1") == 415


@pytest.mark.parametrize("content_type", ["", "text/plain", URLENCODED, MULTIPART])
def test_there_are_no_fields_in_an_empty_body(content_type: str) -> None:
    assert form(content_type, b"") == Form()


# --- multipart (RFC 7578) ---


def test_a_multipart_body_is_texts_and_uploads() -> None:
    fields = multipart(
        field(b"title", "Größe".encode())
        + upload(b"file", b"a.txt", b"hello", b"Content-Type: text/plain; charset=utf-8")
        + field(b"title", b"")
        + b"--x--\r\n"
    )
    file = fields.files["file"]
    with file.file:
        assert (file.filename, file.content_type) == ("a.txt", "text/plain; charset=utf-8")
        assert (file.size, file.read()) == (5, b"hello")
    assert fields.texts == MultiDict([("title", "Größe"), ("title", "")])
    assert fields.getlist("file") == [file]


def test_an_upload_can_be_read_again_and_in_pieces() -> None:
    with named(b'form-data; name="a"; filename="b"', b"hello").files["a"].file as file:
        assert file.read(2) == b"he"
        assert file.read() == b"llo"
    value = named(b'form-data; name="a"; filename="b"', b"hello").files["a"]
    with value.file:
        assert value.read() == value.read() == b"hello"


def test_one_name_can_have_uploads_and_text() -> None:
    body = field(b"a", b"1") + upload(b"a", b"f", b"2") + upload(b"a", b"g", b"3") + b"--x--"
    assert contents(multipart(body)) == [("a", "1"), ("a", ("f", b"2")), ("a", ("g", b"3"))]


def test_a_form_without_fields_is_its_last_delimiter() -> None:
    assert multipart(b"--x--\r\n") == Form()
    assert multipart(b"--x--") == Form()


def test_what_is_around_the_parts_is_no_part() -> None:
    assert contents(multipart(b"before\r\n" + field(b"a", b"1") + b"--x--after")) == [("a", "1")]
    behind = field(b"a", b"1") + b"--x--\r\n" + field(b"b", b"2") + b"--x--"
    assert contents(multipart(behind)) == [("a", "1")]


def test_no_file_chosen_is_an_upload_without_a_name() -> None:
    assert contents(named(b'form-data; name="a"; filename=""', b"")) == [("a", ("", b""))]


def test_an_upload_without_a_type_is_of_any_bytes() -> None:
    value = named(b'form-data; name="a"; filename="b"').files["a"]
    with value.file:
        assert value.content_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ""),
        (b"\r\n", "\r\n"),
        (b"\r\n--", "\r\n--"),
        (b"\r\n--y", "\r\n--y"),
        (b"--x", "--x"),
        (b"a--x--", "a--x--"),
        (b"\n--x--", "\n--x--"),
        (b"\r--x--", "\r--x--"),
        (b"\r\n\r\n", "\r\n\r\n"),
        (b"\0\xff", "\0\udcff"),
        ("€".encode(), "€"),
    ],
)
def test_text_is_what_is_between_two_delimiters(content: bytes, text: str) -> None:
    assert contents(multipart(field(b"a", content) + b"--x--")) == [("a", text)]


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Type: text/plain; charset=iso-8859-1",
        b"Content-Type: nonsense \xff",
        b"Content-Transfer-Encoding: base64",  # RFC 7578 4.7: deprecated
        b"X-Whatever: \x01",
        b"content-length: 2",
    ],
)
def test_other_fields_of_a_part_do_not_change_its_content(line: bytes) -> None:
    assert contents(multipart(field(b"a", b"\xc3\xa4", line) + b"--x--")) == [("a", "ä")]


# --- names ---


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'form-data; name="a"', "a"),
        (b"form-data; name=a", "a"),
        (b'form-data;name="a"', "a"),
        (b'FORM-DATA ;  Name = "a"', "a"),
        (b'form-data; x=y; name="a"; z="q;"', "a"),
        (b'form-data; name=""', ""),
        (b'form-data; name="a%22b"', 'a"b'),
        (b'form-data; name="a\\"b"', 'a"b'),
        (b'form-data; name="a%0D%0Ab"', "a\r\nb"),
        (b'form-data; name="a;b=c"', "a;b=c"),
        (b'form-data; name="a%41"', "a%41"),
        ('form-data; name="ä"'.encode(), "ä"),
        (b'form-data; name="\xe4"', "\udce4"),
        (b'form-data; name="a\0b"', "a\0b"),
        (b"form-data; name=\"a\"; filename*=UTF-8''b", "a"),  # RFC 7578 4.2: not to be used
    ],
)
def test_a_parts_name_is_the_one_of_its_disposition(disposition: bytes, name: str) -> None:
    assert contents(named(disposition)) == [(name, "1")]


@pytest.mark.parametrize(
    ("filename", "base"),
    [
        (b"a.txt", "a.txt"),
        (b"C:\\folder\\a.txt", "a.txt"),
        (b"\\\\host\\a.txt", "a.txt"),
        (b"folder\\a.txt", "a.txt"),
        (b"..\\..", ""),
        (b"/etc/passwd", "passwd"),
        (b"../../a", "a"),
        (b"a/..", ""),
        (b"..", ""),
        (b".", ""),
        (b"...", "..."),
        (b".htaccess", ".htaccess"),
        (b"folder/", ""),
        (b"a\\..\\b/../c", "c"),
        (b"..%2Fa", "..%2Fa"),
        (b"a;b=c", "a;b=c"),
        (b'a"b', 'a"b'),
        (b"a\r\nb", "a\r\nb"),
        (b"a\0b", "a\0b"),
        (b"../\r\n/..", ""),
        (b"\xe4", "\udce4"),
        ("ä€".encode(), "ä€"),
    ],
)
def test_a_filename_is_without_folders(filename: bytes, base: str) -> None:
    assert contents(multipart(upload(b"a", filename, b"1") + b"--x--")) == [("a", (base, b"1"))]


# --- malformed ---


@pytest.mark.parametrize(
    "body",
    [
        b"a=1",
        b"--x",
        b"--x\r\n",
        b"--xx--",
        b"--y--",
        b" --x--",
        b"\n--x--",
        b"--x\n--x--",
        b"--x--"[:-1],
        field(b"a", b"1"),
        field(b"a", b"1") + b"--x",
        field(b"a", b"1") + b"--x-",
        field(b"a", b"1") + b"--x -",
        field(b"a", b"1") + b"--xy--",
        field(b"a", b"1").replace(b"\r\n", b"\n") + b"--x--",
        field(b"a", b"1").replace(b"\r\n", b"\r") + b"--x--",
        b"--x\r\n\r\n1\r\n--x--",
        part(b"1", b"Content-Type: text/plain") + b"--x--",
        part(b"1", b"Content-Disposition: attachment; name=a") + b"--x--",
        part(b"1", b'Content-Disposition form-data; name="a"') + b"--x--",
        part(b"1", b'Content-Disposition : form-data; name="a"', b"no colon") + b"--x--",
        part(b"1", b": form-data") + b"--x--",
        part(b"1", b" Content-Disposition: form-data") + b"--x--",
        field(b"a", b"1", b"X Y: 1") + b"--x--",
        field(b"a", b"1", b"X\xff: 1") + b"--x--",
        field(b"a", b"1", b"X: 1\nY: 2") + b"--x--",
        field(b"a", b"1", b"X: 1\rY: 2") + b"--x--",
        field(b"a", b"1", b"Content-Length: 2") + b"--x--",
        field(b"a", b"1", b"Content-Length: 0") + b"--x--",
        field(b"a", b"1", b"Content-Length: +1") + b"--x--",
        field(b"a", b"1", b"Content-Length: " + b"9" * 4000) + b"--x--",
    ],
)
def test_a_body_that_is_malformed_is_400(body: bytes) -> None:
    assert status_of(MULTIPART, body) == 400


@pytest.mark.parametrize(
    "disposition",
    [b"form-data", b"form-data; filenames=b", b'form-data; filename="f"', b"form-data; named=a"],
)
def test_a_part_without_a_name_is_400(disposition: bytes) -> None:
    body = part(b"1", b"Content-Disposition: " + disposition) + b"--x--\r\n"
    assert status_of(MULTIPART, body) == 400


def test_a_part_with_two_dispositions_is_400() -> None:
    body = field(b"a", b"1", b'content-disposition: form-data; name="b"; filename="c"') + b"--x--"
    assert status_of(MULTIPART, body) == 400


@pytest.mark.parametrize(
    "boundary",
    ["", "; boundary", "; boundary=", '; boundary=""', "; boundary=ä", "; boundary='\n'",
     "; boundary*=x", '; boundary="x', "; Boundary=y", "; xboundary=x"],
)  # fmt: skip
def test_without_the_boundary_a_body_is_400(boundary: str) -> None:
    assert status_of("multipart/form-data" + boundary, field(b"a", b"1") + b"--x--") == 400


@pytest.mark.parametrize(
    "boundary",
    ["x", "----WebKitFormBoundaryAbC123", "'()+_,-./:=?", "a b", "x" * 70, "x" * 4000, "--", "ä",
     "\udcff"],
)  # fmt: skip
def test_a_boundary_can_be_any_text_in_quotes(boundary: str) -> None:
    delimiter = b"--" + os.fsencode(boundary)
    body = (field(b"a", b"1") + b"--x--").replace(b"--x", delimiter)
    fields = form(f'Multipart/Form-Data; charset=x; BOUNDARY="{boundary}"', body)
    assert contents(fields) == [("a", "1")]


# --- limits ---


def test_as_many_fields_as_the_limit_are_read() -> None:
    limits = Limits(max_fields=3)
    assert len(urlencoded(b"a&b&c", limits)) == 3
    body = field(b"a", b"1") + upload(b"b", b"f", b"2") + field(b"c", b"3") + b"--x--"
    assert len(contents(multipart(body, limits))) == 3


def test_a_field_more_than_the_limit_is_413() -> None:
    limits = Limits(max_fields=2)
    assert status_of(URLENCODED, b"a&b&c", limits) == 413
    body = field(b"a", b"1") + upload(b"b", b"f", b"2") + field(b"c", b"3") + b"--x--"
    assert status_of(MULTIPART, body, limits) == 413


def test_10_000_fields_are_413() -> None:
    assert status_of(URLENCODED, b"a=1&" * 10_000) == 413
    assert status_of(MULTIPART, field(b"a", b"1") * 10_000 + b"--x--") == 413


def test_a_urlencoded_body_within_the_limit_is_read() -> None:
    assert urlencoded(b"a=123", Limits(max_body=5))["a"] == "123"


def test_a_urlencoded_body_over_the_limit_is_413() -> None:
    assert status_of(URLENCODED, b"a=1234", Limits(max_body=5)) == 413


def test_text_of_a_multipart_body_is_limited_all_together() -> None:
    body = field(b"a", b"123") + field(b"b", b"45") + b"--x--"
    assert contents(multipart(body, Limits(max_body=5))) == [("a", "123"), ("b", "45")]
    assert status_of(MULTIPART, body, Limits(max_body=4)) == 413


def test_uploads_do_not_count_as_text() -> None:
    body = upload(b"a", b"f", b"1" * 100) + field(b"b", b"1") + b"--x--"
    assert len(contents(multipart(body, Limits(max_body=1)))) == 2


def test_a_multipart_body_within_the_limit_is_read() -> None:
    body = upload(b"a", b"f", b"1") + b"--x--"
    assert len(contents(multipart(body, Limits(max_form=len(body))))) == 1


def test_a_multipart_body_over_the_limit_is_413() -> None:
    body = upload(b"a", b"f", b"1") + b"--x--"
    assert status_of(MULTIPART, body, Limits(max_form=len(body) - 1)) == 413


def test_what_follows_the_last_delimiter_counts_too() -> None:
    assert status_of(MULTIPART, b"--x--" + b"x" * 100, Limits(max_form=50)) == 413


def test_a_body_that_is_announced_to_be_over_the_limit_is_not_read() -> None:
    body = io.BytesIO(field(b"a", b"1") + b"--x--")
    with pytest.raises(HTTPError) as raised:
        read_form(MULTIPART, body, 10**18 - 1, DEFAULT_LIMITS)
    assert (raised.value.status, body.tell()) == (413, 0)


def test_a_line_of_a_parts_header_is_limited() -> None:
    limits = Limits(max_part_header=60)
    line = b"X: " + b"y" * 57
    assert contents(multipart(field(b"a", b"1", line) + b"--x--", limits)) == [("a", "1")]
    for lines in ([line + b"y"], [line, b" y"], [b"X: y"] + [b" y"] * 60):
        assert status_of(MULTIPART, field(b"a", b"1", *lines) + b"--x--", limits) == 413


def test_a_header_without_an_end_is_413() -> None:
    assert status_of(MULTIPART, b"--x\r\n" + b"X" * 1_000_000) == 413


def test_a_header_of_many_lines_is_413() -> None:
    assert status_of(MULTIPART, field(b"a", b"1", *[b"X: 1"] * 10_000) + b"--x--") == 413


# --- large uploads ---


def uploads(count: int, size: int) -> bytes:
    """As many uploads, each of another byte."""
    parts = (upload(b"a", b"f", bytes([number % 256]) * size) for number in range(count))
    return b"".join(parts) + b"--x--"


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("size", "is_on_disk"), [(64 * 1024, False), (64 * 1024 + 1, True)])
def test_a_large_upload_is_in_a_temporary_file(size: int, is_on_disk: bool) -> None:
    before = descriptors()
    value = multipart(uploads(1, size)).files["a"]
    assert len(descriptors() - before) == is_on_disk
    assert value.size == len(value.read()) == size
    del value
    assert descriptors() == before


def test_all_uploads_have_one_descriptor() -> None:
    before = descriptors()
    files = multipart(uploads(300, 70_000)).files.getlist("a")
    assert len(descriptors() - before) == 1
    assert [file.read() for file in files] == [bytes([n % 256]) * 70_000 for n in range(300)]
    del files
    assert descriptors() == before


def test_small_uploads_take_no_more_memory_than_a_large_one() -> None:
    body = uploads(900, 60_000)
    tracemalloc.start()
    try:
        files = read_form(MULTIPART, io.BytesIO(body), len(body), DEFAULT_LIMITS).files
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert len(files.getlist("a")) == 900


def test_an_upload_that_is_closed_leaves_the_others() -> None:
    one, other = multipart(uploads(2, 70_000)).files.getlist("a")
    one.file.close()
    assert other.read() == b"\1" * 70_000


@pytest.mark.parametrize("size", [10, 70_000])
def test_an_upload_is_a_file_to_be_read(size: int) -> None:
    _one, other = multipart(uploads(2, size)).files.getlist("a")
    file = other.file
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
    assert file.seek(-3, os.SEEK_END) == size - 3
    assert (file.read(2), file.tell(), file.read(), file.read()) == (b"\1\1", size - 1, b"\1", b"")
    assert (file.seek(size + 5), file.read()) == (size + 5, b"")
    with pytest.raises(ValueError, match="beginning"):
        file.seek(-size - 1, os.SEEK_END)


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
def test_an_upload_has_a_descriptor_for_who_asks(size: int) -> None:
    """Of its bytes alone, as a child process needs it."""
    before = descriptors()
    _one, other = multipart(uploads(2, size)).files.getlist("a")
    assert os.fstat(other.file.fileno()).st_nlink == 0
    done = subprocess.run(["cat"], stdin=other.file, capture_output=True, check=True)
    assert done.stdout == b"\1" * size
    del _one, other
    assert descriptors() == before


def test_uploads_can_be_read_in_threads() -> None:
    files = multipart(uploads(8, 300_000)).files.getlist("a")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(Upload.read, files)) == [bytes([n]) * 300_000 for n in range(8)]


class Zeros(io.BytesIO):
    """A body of one upload of zeros, which is nowhere as a whole."""

    def __init__(self, size: int) -> None:
        super().__init__()
        zeros = [bytes(250_000)] * (size // 250_000)
        self.pieces = [upload(b"a", b"f", b"")[:-2], *zeros, b"\r\n--x--\r\n"]

    def read(self, _size: int | None = -1, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_an_upload_of_50_megabytes_is_read() -> None:
    value = read_form(MULTIPART, Zeros(50_000_000), None, DEFAULT_LIMITS).files["a"]
    with value.file:
        assert value.size == 50_000_000


def test_an_upload_over_the_limit_is_413_before_it_is_read_to_its_end() -> None:
    body = Zeros(100_000_000)
    with pytest.raises(HTTPError) as raised:
        read_form(MULTIPART, body, None, DEFAULT_LIMITS)
    assert raised.value.status == 413
    assert len(body.pieces) > 100


def test_the_file_of_a_form_that_is_refused_is_closed() -> None:
    before = descriptors()
    body = upload(b"a", b"f", b"1" * 100_000) + upload(b"b", b"g", b"2")
    with pytest.raises(HTTPError) as raised:
        multipart(body)
    assert descriptors() == before  # while the exception, and so its frames, are there
    assert raised.value.status == 400


# --- time: as long as the body, not its square ---

LONG = 4 * 1024 * 1024
HOSTILE = {
    "carriage returns": b"\r" * LONG,
    "line ends": b"\r\n" * (LONG // 2),
    "near-delimiters": b"\r\n--" * (LONG // 4),
    "delimiters of another name": b"\r\n--xxxxxxxy" * (LONG // 12),
    "dashes": b"-" * LONG,
}


class Piecewise(io.BytesIO):
    """A body that comes in pieces of a size, and counts them."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size, self.reads = size, 0

    def read(self, _size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(self.size)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("start", [b"", upload(b"a", b"f", b"")[:-2]], ids=["before", "inside"])
def test_a_long_body_without_an_end_is_read_once(start: bytes, hostile: bytes) -> None:
    body = Piecewise(start + hostile, 8192)
    with pytest.raises(HTTPError) as raised:
        read_form("multipart/form-data; boundary=xxxxxxxx", body, None, DEFAULT_LIMITS)
    assert raised.value.status == 400
    assert body.reads <= len(start + hostile) // 8192 + 2


@pytest.mark.parametrize("text", [b"%41", b"%41a", b"%C3\xa4", b"%4"])
def test_a_long_value_takes_no_more_memory_than_some_of_its_length(text: bytes) -> None:
    body = b"a=" + text * (500_000 // len(text))
    tracemalloc.start()
    try:
        urlencoded(body)
        _size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(body)


@given(st.integers(65530, 65540), st.sampled_from([b"%41", b"%C3%A4", b"%4", b"%", b"a%%41"]))
def test_a_long_value_is_decoded_as_a_short_one(length: int, end: bytes) -> None:
    assert (
        urlencoded(b"a=" + b"b" * length + end).texts["a"]
        == "b" * length + urlencoded(b"a=" + end).texts["a"]
    )


def test_what_a_parser_keeps_of_a_piece_is_no_longer_than_a_delimiter() -> None:
    from multipart import PushMultipartParser

    boundary = "x" * 70
    start = upload(b"a", b"f", b"")[:-2].replace(b"--x", b"--" + boundary.encode())
    for hostile in HOSTILE.values():
        parser = PushMultipartParser(boundary)
        for offset in range(0, 100_000, 1000):
            for _event in parser.parse((start + hostile)[offset : offset + 1000]):
                pass
            assert len(parser._buffer) <= len(boundary) + 4
        parser.close(check_complete=False)


# --- any body at all ---

WORDS = [
    *(b"--x", b"--x--", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"--", b"x", b'"', b";", b"=", b"&"),
    *(b"Content-Disposition: form-data", b'; name="a"', b'; filename="b"', b"; filename*=c"),
    *(b"Content-Type: text/plain", b"Content-Length: 1", b": ", b"\0", b"\xff", b"%0D", b"%", b"+"),
    *(b"\\", b" ", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"),
]
BODIES = st.binary(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=20).map(b"".join)
# What an environment can hold: bytes, as text of UTF-8 with surrogates for others.
TEXT = st.binary(max_size=30).map(lambda data: data.decode("utf-8", "surrogateescape"))
TYPES = st.sampled_from([URLENCODED, MULTIPART, "multipart/form-data", ""])
SMALL = Limits(max_body=20, max_form=150, max_fields=3, max_part_header=50)


@given(TYPES | TEXT | st.tuples(TYPES, TEXT).map("; boundary=".join), BODIES, st.booleans())
@example("multipart/form-data; boundary=\udcff", b"--\xff--", True)
def test_any_body_is_a_form_or_refused(content_type: str, body: bytes, in_chunks: bool) -> None:
    for limits in (DEFAULT_LIMITS, SMALL):
        length = None if in_chunks else len(body)
        try:
            fields = read_form(content_type, io.BytesIO(body), length, limits)
        except HTTPError as refusal:
            if refusal.status not in (400, 413, 415):
                raise
            continue
        for name, value in contents(fields):
            assert not {"\\", "/"} & set(value[0] if isinstance(value, tuple) else "")
            os.fsencode(name)


@given(st.lists(st.sampled_from(WORDS), max_size=20).map(b"".join), st.integers(1, 20))
def test_it_does_not_matter_in_which_pieces_a_body_comes(body: bytes, size: int) -> None:
    # Of a text before the first delimiter the parser forgets what it need not look at again.
    body = b"--x" + body
    assert outcome(Piecewise(body, size)) == outcome(io.BytesIO(body))


def outcome(body: io.BytesIO) -> list[Pair] | int:
    try:
        return contents(read_form(MULTIPART, body, None, DEFAULT_LIMITS))
    except HTTPError as refusal:
        return refusal.status


# --- there and back ---

# Browsers do not escape a backslash, nor do they "%": a name of those alone is ambiguous.
NAMES = st.binary(max_size=8).filter(lambda name: not re.search(rb'\\"|%(0D|0A|22)|\r|\n', name))
PARTS = st.lists(st.tuples(NAMES, st.none() | NAMES, st.binary(max_size=30)), max_size=4)


def built(parts: list[Part]) -> bytes:
    body = b"".join(
        field(name, content) if filename is None else upload(name, filename, content)
        for name, filename, content in parts
    )
    return body + b"--x--\r\n"


def is_unambiguous(parts: list[Part]) -> bool:
    return not any(b"\r\n--x" in b"\r\n" + content for _name, _filename, content in parts)


def expected(parts: list[Part]) -> list[Pair]:
    found = [
        (
            os.fsdecode(name),
            os.fsdecode(content) if filename is None else (base(filename), content),
        )
        for name, filename, content in parts
    ]
    return list(MultiDict(found).pairs())


def base(filename: bytes) -> str:
    name = re.split(rb"[/\\]", filename)[-1]
    return "" if name in (b".", b"..") else os.fsdecode(name)


@given(PARTS.filter(is_unambiguous))
@example([(b'a"b', b'"', b""), (b"", b"\0", b"\r\n--"), (b"%", None, b"--x--")])
def test_a_multipart_body_has_what_was_sent(parts: list[Part]) -> None:
    assert contents(multipart(built(parts))) == expected(parts)


@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=5))
def test_a_urlencoded_body_has_what_was_sent(pairs: list[tuple[bytes, bytes]]) -> None:
    body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    decoded = [(os.fsdecode(name), os.fsdecode(value)) for name, value in pairs]
    assert urlencoded(body.encode()) == MultiDict(decoded)


# --- compared with others ---


@given(st.lists(st.sampled_from(list(b"ab=&+%;C3A4\xc3\xa4\xff \0\n")), max_size=12).map(bytes))
def test_a_urlencoded_body_is_read_as_the_standard_library_reads_it(body: bytes) -> None:
    # It takes bytes only where they are of ASCII.
    ascii_only = re.sub(rb"[\x80-\xff]", lambda byte: b"%%%02X" % byte[0][0], body).decode()
    pairs = parse_qsl(ascii_only, keep_blank_values=True, errors="surrogateescape")
    assert urlencoded(body) == MultiDict(pairs)


def in_memory(*_args: object, **_options: object) -> io.BytesIO:
    return io.BytesIO()


def werkzeugs(body: bytes) -> list[Pair] | None:
    """What Werkzeug reads; None where it refuses."""
    parser = MultiPartParser(stream_factory=in_memory)
    try:
        texts, files = parser.parse(io.BytesIO(body), b"x", len(body))
    except (ValueError, AttributeError):  # the latter where a part's header has no blank line
        return None
    found: list[Pair] = list(texts.items(multi=True))
    for name, file in files.items(multi=True):
        found.append((name, (file.filename or "", file.stream.read())))
    return found


def comparable(pairs: Sequence[tuple[str | None, str | tuple[str, bytes]]]) -> list[str]:
    """Less what differs by design: bytes that are no UTF-8 are kept here, and folders are not."""
    found = []
    for name, value in pairs:
        match value:
            case str():
                found.append(f"{shown(name or '')}={shown(value)}")
            case filename, content:
                found.append(
                    f"{shown(name or '')}={shown(base(os.fsencode(filename)))} {content!r}"
                )
    return sorted(found)


def shown(text: str) -> str:
    return os.fsencode(text).decode(errors="replace")


PLAIN = st.text("abä€ ;=.-", max_size=6).map(str.encode)
PLAIN_PARTS = st.lists(st.tuples(PLAIN, st.none() | PLAIN, st.text(max_size=20).map(str.encode)))


@given(PLAIN_PARTS.filter(is_unambiguous))
def test_a_multipart_body_is_read_as_werkzeug_reads_it(parts: list[Part]) -> None:
    theirs = werkzeugs(built(parts))
    assert theirs is not None
    assert comparable(contents(multipart(built(parts)))) == comparable(theirs)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A well-formed body, less some of its bytes or with some words more."""
    body = built(draw(PLAIN_PARTS))
    for _mutation in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 3))
        body = body[:start] + draw(st.sampled_from([b"", *WORDS])) + body[end:]
    return body


# What the two read otherwise, by design. Werkzeug takes a line break of CR or LF alone for one of
# CR LF, and a delimiter right behind a header for one (RFC 2046 5.1.1 admits a part without a body,
# and no browser sends one). In a disposition it decodes filename*, which RFC 7578 4.2 forbids, but
# of percent-encoding %22 only; and each has its own ways with one that is malformed.
DELIMITER = re.compile(rb"\r--x|(?<!\r)\n--x|\r\n\r\n--x")
DISPOSITION = re.compile(
    rb'Content-Disposition: form-data; name="[^"\\%\r\n]*"(?:; filename="[^"\\%\r\n]*")?'
)


@given(mutated())
def test_a_mutated_body_is_read_as_werkzeug_reads_it_or_one_refuses(body: bytes) -> None:
    dispositions = [line for line in body.split(b"\r\n") if b"Disposition" in line]
    if DELIMITER.search(body) or not all(map(DISPOSITION.fullmatch, dispositions)):
        return
    ours, theirs = outcome(io.BytesIO(body)), werkzeugs(body)
    if isinstance(ours, list) and theirs is not None:
        assert comparable(ours) == comparable(theirs)


def test_a_delimiter_right_behind_a_header_is_content() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n--x--\r\n--x--'
    assert contents(multipart(body)) == [("a", "--x--")]


# --- what is imported ---


def test_what_reads_multipart_bodies_is_imported_late() -> None:
    code = """
import sys
from nativecgi.message.forms import prepare_forms
assert "multipart" not in sys.modules
prepare_forms()
assert "multipart" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
