"""Records as bytes, and the name-value pairs in them (FastCGI 1.0 3, 5 and 8). Pure functions."""

from collections.abc import Mapping
from struct import Struct as Layout

from msgspec import Struct

FCGI_VERSION_1 = 1
FCGI_NULL_REQUEST_ID = 0  # of management records
FCGI_HEADER_LEN = 8
FCGI_MAX_LENGTH = 65_535  # of a record's content

# Types of records.
FCGI_BEGIN_REQUEST = 1
FCGI_ABORT_REQUEST = 2
FCGI_END_REQUEST = 3
FCGI_PARAMS = 4
FCGI_STDIN = 5
FCGI_STDOUT = 6
FCGI_STDERR = 7
FCGI_DATA = 8
FCGI_GET_VALUES = 9
FCGI_GET_VALUES_RESULT = 10
FCGI_UNKNOWN_TYPE = 11

# In the body of FCGI_BEGIN_REQUEST: a flag, and roles.
FCGI_KEEP_CONN = 1
FCGI_RESPONDER = 1
FCGI_AUTHORIZER = 2
FCGI_FILTER = 3

# In the body of FCGI_END_REQUEST: protocol statuses.
FCGI_REQUEST_COMPLETE = 0
FCGI_CANT_MPX_CONN = 1
FCGI_OVERLOADED = 2
FCGI_UNKNOWN_ROLE = 3

# Names that a server may ask for by FCGI_GET_VALUES.
FCGI_MAX_CONNS = "FCGI_MAX_CONNS"
FCGI_MAX_REQS = "FCGI_MAX_REQS"
FCGI_MPXS_CONNS = "FCGI_MPXS_CONNS"

# Version, type, request id, lengths of content and padding, a reserved byte.
_HEADER = Layout(">BBHHBx")
_BEGIN_REQUEST = Layout(">HB5x")  # role, flags
_END_REQUEST = Layout(">BBHHBxIB3x")  # with the header: application status, protocol status
_UNKNOWN_TYPE = Layout(">BBHHBxB7x")  # with the header: the type
# The specification recommends it: what begins at a multiple of 8 bytes is copied fastest.
_PADDINGS = [bytes(-length % 8) for length in range(8)]
# A length of 128 or more has four bytes, of which the first bit says so.
_LONG = 0x80
_LONG_FLAG, _LONG_MASK = 0x8000_0000, 0x7FFF_FFFF


class ProtocolError(Exception):
    """What was received is not FastCGI, or not what may come here; its text says why."""


class Record(Struct, frozen=True):
    """A record that was received."""

    type: int
    request_id: int
    content: bytes


def parse_records(data: bytes | bytearray | memoryview) -> tuple[list[Record], int]:
    """The records that `data` begins with, and how many bytes of it they are.

    What is left is the start of a record: parse it again with what is received next.

    Raises ProtocolError if one of the records has another version than 1.
    """
    records: list[Record] = []
    start, received = 0, len(data)
    while (begin := start + FCGI_HEADER_LEN) <= received:
        version, type, request_id, content_length, padding = _HEADER.unpack_from(data, start)
        if version != FCGI_VERSION_1:
            raise ProtocolError(f"a record has the version {version}")
        end = begin + content_length
        if end + padding > received:
            break
        records.append(Record(type, request_id, bytes(data[begin:end])))
        start = end + padding
    return records, start


def parse_begin_request(content: bytes) -> tuple[int, bool]:
    """Role, and whether to keep the connection, in the content of an FCGI_BEGIN_REQUEST record.

    Raises ProtocolError if it has another length than 8.
    """
    if len(content) != _BEGIN_REQUEST.size:
        raise ProtocolError(f"an FCGI_BEGIN_REQUEST record has {len(content)} bytes")
    role, flags = _BEGIN_REQUEST.unpack(content)
    return role, bool(flags & FCGI_KEEP_CONN)


def parse_pairs(content: bytes) -> dict[str, str]:
    """The names and values in the whole content of a stream; of two with one name, the last.

    Text that is not UTF-8 is kept in the way of os.fsdecode, as in os.environ.

    Raises ProtocolError if the content ends within a pair.
    """
    pairs: dict[str, str] = {}
    start, end = 0, len(content)
    try:
        while start < end:
            name_length = content[start]
            start += 1
            if name_length >= _LONG:
                name_length = int.from_bytes(content[start - 1 : start + 3]) & _LONG_MASK
                start += 3
            value_length = content[start]
            start += 1
            if value_length >= _LONG:
                value_length = int.from_bytes(content[start - 1 : start + 3]) & _LONG_MASK
                start += 3
            middle = start + name_length
            name = content[start:middle].decode("utf-8", "surrogateescape")
            start = middle + value_length
            pairs[name] = content[middle:start].decode("utf-8", "surrogateescape")
    except IndexError:
        start = end + 1
    if start > end:
        raise ProtocolError("a stream ends within a name-value pair")
    return pairs


def encode_pairs(pairs: Mapping[str, str]) -> bytes:
    """Names and values as `parse_pairs` reads them."""
    parts: list[bytes] = []
    for pair in pairs.items():
        name, value = (text.encode("utf-8", "surrogateescape") for text in pair)
        parts += (_length(name), _length(value), name, value)
    return b"".join(parts)


def _length(text: bytes) -> bytes:
    length = len(text)
    return length.to_bytes() if length < _LONG else (length | _LONG_FLAG).to_bytes(4)


def record_parts(
    type: int, request_id: int, content: bytes | memoryview
) -> list[bytes | memoryview]:
    """A record, padded to a multiple of 8 bytes; its parts are to be joined, or sent as they are.

    Raises ValueError if the content has more than 65,535 bytes.
    """
    length = len(content)
    if length > FCGI_MAX_LENGTH:
        raise ValueError(f"a record has at most {FCGI_MAX_LENGTH:,} bytes, not {length:,}")
    padding = _PADDINGS[length % 8]
    header = _HEADER.pack(FCGI_VERSION_1, type, request_id, length, len(padding))
    return [header, content, padding]


def encode_record(type: int, request_id: int, content: bytes = b"") -> bytes:
    """A record as bytes; of a stream, one without content is its end. Raises as `record_parts`."""
    return b"".join(record_parts(type, request_id, content))


def stream_parts(type: int, request_id: int, data: bytes) -> list[bytes | memoryview]:
    """Any amount of a stream's data as records, as `record_parts` gives them.

    The stream stays open. In particular, no data is no record: an empty one would be its end.
    """
    if len(data) <= FCGI_MAX_LENGTH:
        return record_parts(type, request_id, data) if data else []
    view, parts = memoryview(data), list[bytes | memoryview]()
    for start in range(0, len(data), FCGI_MAX_LENGTH):
        parts += record_parts(type, request_id, view[start : start + FCGI_MAX_LENGTH])
    return parts


def encode_stream(type: int, request_id: int, data: bytes) -> bytes:
    """Data of FCGI_STDOUT or FCGI_STDERR as records; see `stream_parts`."""
    return b"".join(stream_parts(type, request_id, data))


def encode_end_request(
    request_id: int, app_status: int = 0, protocol_status: int = FCGI_REQUEST_COMPLETE
) -> bytes:
    """An FCGI_END_REQUEST record; the application's status is what a CGI program exits with.

    Raises struct.error if `app_status` is not an unsigned number of 32 bits.
    """
    return _END_REQUEST.pack(
        FCGI_VERSION_1, FCGI_END_REQUEST, request_id, 8, 0, app_status, protocol_status
    )


def encode_get_values_result(values: Mapping[str, str]) -> bytes:
    """An FCGI_GET_VALUES_RESULT record. Raises as `record_parts`."""
    return encode_record(FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, encode_pairs(values))


def encode_unknown_type(type: int) -> bytes:
    """An FCGI_UNKNOWN_TYPE record: the answer to a management record of an unknown type."""
    return _UNKNOWN_TYPE.pack(FCGI_VERSION_1, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, 8, 0, type)
