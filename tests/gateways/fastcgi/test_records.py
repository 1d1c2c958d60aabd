"""nativecgi.gateways.fastcgi.records: records and pairs, byte by byte (FastCGI 1.0 3, 5 and 8)."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.gateways.fastcgi import records
from nativecgi.gateways.fastcgi.records import (
    FCGI_STDERR,
    FCGI_STDOUT,
    ProtocolError,
    Record,
    encode_end_request,
    encode_get_values_result,
    encode_pairs,
    encode_record,
    encode_stream,
    encode_unknown_type,
    parse_begin_request,
    parse_pairs,
    parse_records,
    record_parts,
    stream_parts,
)

# FCGI_BEGIN_REQUEST of request 1, for a responder, and an empty FCGI_STDIN.
BEGIN = b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
STDIN_END = b"\x01\x05\x00\x01\x00\x00\x00\x00"

a_record = st.builds(Record, st.integers(0, 255), st.integers(0, 65_535), st.binary(max_size=300))


def encoded(record: Record) -> bytes:
    return encode_record(record.type, record.request_id, record.content)


# --- records (3.3) ---


def test_a_record_has_a_type_a_request_id_and_content() -> None:
    found, consumed = parse_records(b"\x01\x05\x01\x02\x00\x03\x00\x00abc")
    assert found == [Record(records.FCGI_STDIN, 0x102, b"abc")]
    assert consumed == 11


def test_records_follow_one_another() -> None:
    found, consumed = parse_records(BEGIN + STDIN_END)
    assert [record.type for record in found] == [
        records.FCGI_BEGIN_REQUEST,
        records.FCGI_STDIN,
    ]
    assert consumed == 24


def test_padding_is_no_content() -> None:
    data = b"\x01\x05\x00\x01\x00\x03\x05\x00abcXXXXX"
    assert parse_records(data + STDIN_END)[0][0].content == b"abc"
    assert parse_records(data + STDIN_END)[1] == 24


def test_the_reserved_byte_does_not_count() -> None:
    assert parse_records(b"\x01\x05\x00\x01\x00\x00\x00\xff")[0] == parse_records(STDIN_END)[0]


def test_of_no_bytes_there_is_no_record() -> None:
    assert parse_records(b"") == ([], 0)


@pytest.mark.parametrize("received", range(16))
def test_a_part_of_a_record_is_left_for_later(received: int) -> None:
    assert parse_records(BEGIN[:received]) == ([], 0)
    found, consumed = parse_records(STDIN_END + BEGIN[:received])
    assert (len(found), consumed) == (1, 8)


def test_a_record_is_complete_with_its_padding() -> None:
    assert parse_records(b"\x01\x05\x00\x01\x00\x03\x05\x00abcXXXX") == ([], 0)


def test_a_record_of_the_greatest_length_is_one() -> None:
    data = b"\x01\x05\x00\x01\xff\xff\xff\x00" + bytes(65_535 + 255)
    assert parse_records(data) == ([Record(5, 1, bytes(65_535))], len(data))


@pytest.mark.parametrize("version", [0, 2, ord("G"), 255])
def test_a_record_of_another_version_is_malformed(version: int) -> None:
    data = bytes([version]) + STDIN_END[1:]
    with pytest.raises(ProtocolError, match=f"version {version}$"):
        parse_records(data)
    with pytest.raises(ProtocolError):
        parse_records(BEGIN + data)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_parsed_may_be_any_bytes(kind: type[bytes]) -> None:
    found, _consumed = parse_records(kind(BEGIN))
    assert type(found[0].content) is bytes


@given(st.lists(a_record, max_size=5))
def test_records_survive_the_round_trip(them: list[Record]) -> None:
    data = b"".join(map(encoded, them))
    assert parse_records(data) == (them, len(data))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: BEGIN + data))
def test_any_bytes_are_records_or_malformed(data: bytes) -> None:
    try:
        found, consumed = parse_records(data)
    except ProtocolError:
        return
    assert 8 * len(found) <= consumed <= len(data)
    assert parse_records(data[:consumed]) == (found, consumed)


# --- FCGI_BEGIN_REQUEST (5.1) ---


def test_a_request_begins_with_a_role_and_the_flag_to_keep_the_connection() -> None:
    assert parse_begin_request(b"\x00\x01\x00\x00\x00\x00\x00\x00") == (1, False)
    assert parse_begin_request(b"\x00\x01\x01\x00\x00\x00\x00\x00") == (1, True)
    assert parse_begin_request(b"\x12\x34\x00\x00\x00\x00\x00\x00") == (0x1234, False)


def test_other_flags_and_reserved_bytes_do_not_count() -> None:
    assert parse_begin_request(b"\x00\x01\xfe\x01\x02\x03\x04\x05") == (1, False)
    assert parse_begin_request(b"\x00\x01\xff\x01\x02\x03\x04\x05") == (1, True)


@pytest.mark.parametrize("length", [0, 7, 9, 16])
def test_the_beginning_of_a_request_has_8_bytes(length: int) -> None:
    with pytest.raises(ProtocolError, match="FCGI_BEGIN_REQUEST"):
        parse_begin_request(bytes(length))


# --- name-value pairs (3.4) ---


@pytest.mark.parametrize(
    ("content", "pairs"),
    [
        (b"", {}),
        (b"\x01\x02abc", {"a": "bc"}),
        (b"\x01\x00a", {"a": ""}),
        (b"\x00\x00", {"": ""}),
        (b"\x01\x01ab\x01\x01cd", {"a": "b", "c": "d"}),
        (b"\x01\x80\x00\x00\x02abc", {"a": "bc"}),
        (b"\x80\x00\x00\x01\x02abc", {"a": "bc"}),
        (b"\x80\x00\x00\x01\x80\x00\x00\x02abc", {"a": "bc"}),
        (b"\x01\x80\x00\x01\x00a" + b"b" * 256, {"a": "b" * 256}),
    ],
)
def test_a_length_has_one_byte_or_four(content: bytes, pairs: dict[str, str]) -> None:
    assert parse_pairs(content) == pairs


def test_of_two_values_of_a_name_the_last_counts() -> None:
    assert parse_pairs(b"\x01\x01ab\x01\x01ac") == {"a": "c"}


def test_text_that_is_not_utf_8_is_kept_as_in_the_environment() -> None:
    pairs = parse_pairs(b"\x01\x03\xff\xc3\xa4\xfe")
    assert pairs == {os.fsdecode(b"\xff"): os.fsdecode(b"\xc3\xa4\xfe")}


@pytest.mark.parametrize(
    "content",
    [
        b"\x01",
        b"\x01\x01",
        b"\x01\x01a",
        b"\x01\x01ab\x00",
        b"\x80",
        b"\x80\x00\x00",
        b"\x80\x00\x00\x01",
        b"\x80\x00\x00\x01\x00",
        b"\x01\x80\x00\x00",
        b"\x00\x80\x00\x00\x00\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xffab",
    ],
)
def test_a_pair_that_breaks_off_is_malformed(content: bytes) -> None:
    with pytest.raises(ProtocolError, match="within a name-value pair"):
        parse_pairs(content)


@pytest.mark.parametrize(
    ("length", "encoding"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x00\x00\x80"), (70_000, b"\x80\x01\x11\x70")],
)
def test_a_length_up_to_127_is_encoded_as_one_byte(length: int, encoding: bytes) -> None:
    assert encode_pairs({"a": "b" * length}) == b"\x01" + encoding + b"a" + b"b" * length
    assert encode_pairs({"a" * length: "b"}) == encoding + b"\x01" + b"a" * length + b"b"


@given(st.dictionaries(st.text(max_size=200), st.text(max_size=200)))
def test_pairs_survive_the_round_trip(pairs: dict[str, str]) -> None:
    assert parse_pairs(encode_pairs(pairs)) == pairs


@given(st.dictionaries(st.binary(max_size=9), st.binary(max_size=200)))
def test_names_and_values_of_any_bytes_survive_the_round_trip(them: dict[bytes, bytes]) -> None:
    pairs = {os.fsdecode(name): os.fsdecode(value) for name, value in them.items()}
    content = encode_pairs(pairs)
    assert {os.fsencode(it): os.fsencode(parse_pairs(content)[it]) for it in pairs} == them


@given(st.binary(max_size=100))
def test_any_bytes_are_pairs_or_malformed(content: bytes) -> None:
    try:
        pairs = parse_pairs(content)
    except ProtocolError:
        return
    assert parse_pairs(encode_pairs(pairs)) == pairs


# --- streams (3.3, 5.5) ---


def test_data_is_padded_to_a_multiple_of_8_bytes() -> None:
    assert encode_stream(FCGI_STDOUT, 1, b"abc") == b"\x01\x06\x00\x01\x00\x03\x05\x00abc" + bytes(
        5
    )


def test_data_of_a_multiple_of_8_bytes_has_no_padding() -> None:
    assert (
        encode_stream(FCGI_STDERR, 258, b"12345678") == b"\x01\x07\x01\x02\x00\x08\x00\x0012345678"
    )


def test_no_data_is_no_record_because_an_empty_one_would_end_the_stream() -> None:
    assert encode_stream(FCGI_STDOUT, 1, b"") == b""
    assert encode_record(FCGI_STDOUT, 1) == b"\x01\x06\x00\x01\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("length", "lengths"),
    [
        (65_535, [65_535]),
        (65_536, [65_535, 1]),
        (131_070, [65_535, 65_535]),
        (131_072, [65_535, 65_535, 2]),
    ],
)
def test_data_is_split_after_65535_bytes(length: int, lengths: list[int]) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    found, _consumed = parse_records(encode_stream(FCGI_STDOUT, 1, data[:length]))
    assert [len(record.content) for record in found] == lengths
    assert b"".join(record.content for record in found) == data[:length]


def test_large_data_is_not_copied_before_it_is_sent() -> None:
    data = bytes(100_000)
    views = [part for part in stream_parts(FCGI_STDOUT, 1, data) if isinstance(part, memoryview)]
    assert [view.obj is data for view in views] == [True, True]


def test_a_record_has_at_most_65535_bytes() -> None:
    with pytest.raises(ValueError, match="at most 65,535 bytes, not 65,536"):
        record_parts(FCGI_STDOUT, 1, bytes(65_536))


@given(st.binary(max_size=300))
def test_what_is_encoded_is_a_multiple_of_8_bytes(data: bytes) -> None:
    assert len(encode_stream(FCGI_STDOUT, 1, data)) % 8 == 0


# --- what ends a request, and management (4.1, 4.2, 5.5) ---


def test_a_request_ends_with_two_statuses() -> None:
    header = b"\x01\x03\x00\x01\x00\x08\x00\x00"
    assert encode_end_request(1) == header + bytes(8)
    assert encode_end_request(1, 0x01020304) == header + b"\x01\x02\x03\x04\x00\x00\x00\x00"
    assert encode_end_request(1, 0, records.FCGI_UNKNOWN_ROLE) == header + b"\0\0\0\0\x03\0\0\0"


def test_values_are_management_and_so_of_no_request() -> None:
    assert encode_get_values_result({"FCGI_MPXS_CONNS": "0"}) == (
        b"\x01\x0a\x00\x00\x00\x12\x06\x00\x0f\x01FCGI_MPXS_CONNS0" + bytes(6)
    )


def test_an_unknown_type_is_named() -> None:
    assert encode_unknown_type(99) == b"\x01\x0b\x00\x00\x00\x08\x00\x00\x63" + bytes(7)
