"""nativecgi.gateways.conditional: conditional and range requests (RFC 9110 13 and 14)."""

import io
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nativecgi import Response, file, local_redirect
from nativecgi.gateways.conditional import select
from nativecgi.gateways.encode import encode
from nativecgi.message.body import close
from nativecgi.message.headers import pairs

GET = {"REQUEST_METHOD": "GET"}
HEAD = {"REQUEST_METHOD": "HEAD"}
# RFC 9110 5.6.7's own example, a second before it, and a second after it.
BEFORE, NOW, AFTER = (f"Sun, 06 Nov 1994 08:49:{second} GMT" for second in (36, 37, 38))
TAG, OTHER = '"v1"', '"v2"'

every_method = pytest.mark.parametrize("method", [GET, HEAD], ids=["GET", "HEAD"])


def page(
    body: bytes = b"0123456789", *, etag: str = TAG, modified: str = NOW, ranges: str = "bytes"
) -> Response:
    """A representation that says all that conditions can be about."""
    fields = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": ranges}
    return Response(body, 200, {name: value for name, value in fields.items() if value})


def selected(response: Response, **fields: str) -> Response:
    """The answer to GET with these header fields, such as If_Match."""
    return select(response, GET | {f"HTTP_{name.upper()}": fields[name] for name in fields})


def status(response: Response, **fields: str) -> int:
    answer = selected(response, **fields)
    close(answer.body)
    return answer.status


def values(response: Response, name: str) -> list[str]:
    return [value for key, value in pairs(response.headers) if key.lower() == name.lower()]


# --- RFC 9110 8.8.3.2: how entity tags are compared ---


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_the_examples_of_comparisons(one: str, other: str, strong: bool, weak: bool) -> None:
    for mine, theirs in ((one, other), (other, one)):
        assert status(page(etag=mine), If_Match=theirs) == (200 if strong else 412)
        assert status(page(etag=mine), If_None_Match=theirs) == (304 if weak else 200)


@pytest.mark.parametrize(
    "field",
    ['"v1"', ' "v1" ', '"a", "v1"', '"a","v1","b"', ', "v1",', '"a,b", "v1"', "*", " * "],
)
def test_a_tag_is_found_in_a_list(field: str) -> None:
    assert status(page(), If_Match=field) == 200
    assert status(page(), If_None_Match=field) == 304


@pytest.mark.parametrize("field", ['"v2"', '"v11"', '"V1"', '"a", "b"', "", "v1", '"v1', '","'])
def test_a_tag_that_is_not_in_a_list_is_not_found(field: str) -> None:
    assert status(page(), If_Match=field) == 412
    assert status(page(), If_None_Match=field) == 200


def test_a_comma_in_a_tag_is_part_of_it() -> None:
    assert status(page(etag='"a,b"'), If_None_Match='"a,b"') == 304
    assert status(page(etag='"a"'), If_None_Match='"a,b"') == 200


def test_what_has_no_tag_has_none_of_a_list_but_there_is_something() -> None:
    assert status(page(etag=""), If_Match=TAG) == 412
    assert status(page(etag=""), If_Match="*") == 200
    assert status(page(etag=""), If_None_Match=TAG) == 200
    assert status(page(etag=""), If_None_Match="*") == 304


# --- RFC 9110 13.1.3, 13.1.4: dates ---


@pytest.mark.parametrize(("date", "not_modified"), [(BEFORE, False), (NOW, True), (AFTER, True)])
def test_what_has_not_changed_since_is_not_sent(date: str, not_modified: bool) -> None:
    assert status(page(), If_Modified_Since=date) == (304 if not_modified else 200)


@pytest.mark.parametrize(("date", "expected"), [(BEFORE, 412), (NOW, 200), (AFTER, 200)])
def test_what_has_changed_since_is_refused(date: str, expected: int) -> None:
    assert status(page(), If_Unmodified_Since=date) == expected


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 06 Nov 1994", "0", NOW + ", " + NOW])
@pytest.mark.parametrize("name", ["If_Modified_Since", "If_Unmodified_Since"])
def test_a_date_that_is_none_is_ignored(name: str, date: str) -> None:
    assert status(page(), **{name: date}) == 200


@pytest.mark.parametrize("name", ["If_Modified_Since", "If_Unmodified_Since"])
@pytest.mark.parametrize("date", [BEFORE, AFTER])
def test_a_date_is_ignored_for_what_has_none(name: str, date: str) -> None:
    assert status(page(modified=""), **{name: date}) == 200


@pytest.mark.parametrize("date", ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
def test_the_obsolete_forms_of_a_date_are_understood(date: str) -> None:
    assert status(page(), If_Modified_Since=date) == 304


# --- RFC 9110 13.2.2: in which order they are evaluated ---

YES, NO = {True: TAG, False: OTHER}, {True: OTHER, False: TAG}
ORDER = list(itertools.product([None, True, False], repeat=4))


@every_method
@pytest.mark.parametrize(("match", "unmodified", "none_match", "modified"), ORDER)
def test_conditions_are_evaluated_in_the_order_of_the_rfc(
    match: bool | None,
    unmodified: bool | None,
    none_match: bool | None,
    modified: bool | None,
    method: dict[str, str],
) -> None:
    """Each of the four fields is left out, or its condition is true or false."""
    env = dict(method)
    if match is not None:
        env["HTTP_IF_MATCH"] = YES[match]
    if unmodified is not None:
        env["HTTP_IF_UNMODIFIED_SINCE"] = NOW if unmodified else BEFORE
    if none_match is not None:
        env["HTTP_IF_NONE_MATCH"] = NO[none_match]
    if modified is not None:
        env["HTTP_IF_MODIFIED_SINCE"] = BEFORE if modified else NOW
    # Steps 1 and 2, then 3 and 4: a date counts only where there is no tag.
    first = match if match is not None else unmodified
    second = none_match if none_match is not None else modified
    expected = 412 if first is False else 304 if second is False else 200
    assert select(page(), env).status == expected


@every_method
def test_a_range_comes_last(method: dict[str, str]) -> None:
    env = method | {"HTTP_RANGE": "bytes=0-0"}
    assert select(page(), env | {"HTTP_IF_NONE_MATCH": TAG}).status == 304
    assert select(page(), env | {"HTTP_IF_MATCH": OTHER}).status == 412
    assert select(page(), env | {"HTTP_IF_MATCH": OTHER, "HTTP_RANGE": "bytes=99-"}).status == 412


# RFC 9110 13.2.1: conditions are about what would have been a success, and here those of GET.
@pytest.mark.parametrize("code", [201, 204, 206, 301, 404, 500])
def test_an_answer_of_another_status_is_left_alone(code: int) -> None:
    answer = Response(b"x", code, {"ETag": TAG})
    assert selected(answer, If_None_Match=TAG, If_Match=OTHER, Range="bytes=0-0") is answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "QUERY", ""])
def test_other_methods_are_left_to_the_handler(method: str) -> None:
    answer = page()
    env = {"REQUEST_METHOD": method, "HTTP_IF_NONE_MATCH": "*", "HTTP_RANGE": "bytes=0-0"}
    assert select(answer, env) is answer


def test_without_conditions_the_answer_is_as_it_was() -> None:
    answer = page()
    assert selected(answer) is answer


# --- what the answers have ---


# RFC 9110 15.4.5: the fields that would have been in a 200, less what describes the body.
def test_304_has_the_fields_of_a_cache_and_none_of_the_body() -> None:
    fields = [
        ("Cache-Control", "max-age=60"),
        ("Content-Location", "/a"),
        ("ETag", TAG),
        ("Expires", NOW),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Vary", "Accept"),
    ]
    described = [
        ("Content-Type", "text/plain"),
        ("content-encoding", "gzip"),
        ("Content-Language", "de"),
        ("Content-Length", "1"),
    ]
    answer = selected(Response(b"x", 200, fields + described), If_None_Match=TAG)
    assert (answer.status, answer.body, pairs(answer.headers)) == (304, b"", fields)


def test_304_is_sent_without_body_and_length() -> None:
    output = encode(selected(page(modified="", ranges=""), If_None_Match=TAG))
    assert output == b'Status: 304 Not Modified\r\nETag: "v1"\r\n\r\n'


def test_412_says_what_is_wrong_and_nothing_of_the_page() -> None:
    answer = selected(page(b"secret"), If_Match=OTHER)
    assert (answer.status, answer.body) == (412, "Precondition Failed\n")
    assert values(answer, "ETag") == []


# RFC 9110 15.3.7: "MUST generate Content-Range", and the fields that a 200 would have.
def test_206_has_the_fields_of_200_and_the_range() -> None:
    answer = selected(page(), Range="bytes=2-4")
    assert (answer.status, answer.body) == (206, b"234")
    assert pairs(answer.headers) == [
        *pairs(page().headers),
        ("Content-Range", "bytes 2-4/10"),
        ("Content-Length", "3"),
    ]


# RFC 9110 15.5.17.
def test_416_says_how_long_it_is() -> None:
    answer = selected(page(), Range="bytes=10-")
    assert (answer.status, values(answer, "Content-Range")) == (416, ["bytes */10"])
    assert values(answer, "ETag") == []


@pytest.mark.parametrize("condition", [{"If_Match": OTHER}, {"Range": "bytes=10-"}])
def test_an_error_keeps_the_fields_that_are_not_about_the_page(condition: dict[str, str]) -> None:
    answer = page()
    answer.headers = [*pairs(answer.headers), ("Access-Control-Allow-Origin", "*")]
    assert values(selected(answer, **condition), "Access-Control-Allow-Origin") == ["*"]


def test_the_handlers_fields_are_left_as_they_were() -> None:
    fields = [("ETag", TAG), ("Accept-Ranges", "bytes")]
    answer = Response(b"0123", 200, fields)
    selected(answer, Range="bytes=1-")
    selected(answer, If_None_Match=TAG)
    assert fields == [("ETag", TAG), ("Accept-Ranges", "bytes")]


@pytest.mark.parametrize(
    "env", [{"HTTP_IF_NONE_MATCH": TAG}, {"HTTP_IF_MATCH": OTHER}, {"HTTP_RANGE": "bytes=99-"}]
)
def test_a_body_that_is_not_sent_is_closed(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"0123456789")
    with path.open("rb") as opened:
        answer = Response(opened, 200, page().headers)
        assert select(answer, GET | env).status in (304, 412, 416)
        assert opened.closed


def test_a_generator_that_is_not_wanted_is_closed_and_not_run() -> None:
    closed = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError

        def close(self) -> None:
            closed.append(True)

    assert status(Response(Pieces(), 200, {"ETag": TAG}), If_None_Match=TAG) == 304
    assert closed == [True]


# --- RFC 9110 14: ranges ---

TEN_THOUSAND = bytes(number % 251 for number in range(10_000))


@pytest.mark.parametrize(
    ("field", "first", "last"),
    [
        ("bytes=0-499", 0, 499),
        ("bytes=500-999", 500, 999),
        ("bytes=-500", 9500, 9999),
        ("bytes=9500-", 9500, 9999),
        # The first and the last byte, alone.
        ("bytes=0-0", 0, 0),
        ("bytes=-1", 9999, 9999),
        # All of it, and beyond its end.
        ("bytes=0-", 0, 9999),
        ("bytes=0-9999", 0, 9999),
        ("bytes=0-10000", 0, 9999),
        ("bytes=-10000", 0, 9999),
        ("bytes=-10001", 0, 9999),
        ("bytes=9999-999999999999999999", 9999, 9999),
        # RFC 9110 14.1: range units are case-insensitive.
        ("BYTES=1-2", 1, 2),
        ("bytes=001-002", 1, 2),
    ],
)
def test_a_range_is_sent_alone(field: str, first: int, last: int) -> None:
    answer = selected(page(TEN_THOUSAND), Range=field)
    assert (answer.status, answer.body) == (206, TEN_THOUSAND[first : last + 1])
    assert values(answer, "Content-Range") == [f"bytes {first}-{last}/10000"]
    assert values(answer, "Content-Length") == [str(last + 1 - first)]


# RFC 9110 14.1.2's examples of several, and 14.2: "A server MAY ignore the Range header field".
@pytest.mark.parametrize(
    "field",
    [
        "bytes=0-0,-1",
        "bytes= 0-999, 4500-5499, -1000",
        "bytes=500-600,601-999",
        "bytes=500-700,601-999",
        "bytes=0-0,20000-",
    ],
)
def test_several_ranges_are_answered_with_the_whole(field: str) -> None:
    answer = page(TEN_THOUSAND)
    assert selected(answer, Range=field) is answer


# RFC 9110 14.1.1: an int-range whose last position is below its first is invalid; 14.2: "A server
# MUST ignore" units that it does not understand.
@pytest.mark.parametrize(
    "field",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0", "bytes=1-2-3"),
        *("bytes=+1-2", "bytes=-+1", "bytes=--1", "bytes=0x1-", "bytes=1.5-", "bytes=१-", "0-4"),
        *("lines=0-4", "seconds=0-4", "xbytes=0-4", "bytes:0-4", "bytes 0-4", "bytes=0-4\nx"),
        *("bytes=" + "9" * 100 + "-", "bytes=-" + "9" * 5000, "bytes=0-4;", "none=0-4"),
    ],
)
def test_a_malformed_range_is_ignored(field: str) -> None:
    answer = page()
    assert selected(answer, Range=field) is answer


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=10-10", "bytes=999-1000", "bytes=-0"])
def test_a_range_behind_the_end_is_416(field: str) -> None:
    assert status(page(), Range=field) == 416


@pytest.mark.parametrize(
    ("field", "expected"),
    [("bytes=0-", 416), ("bytes=0-0", 416), ("bytes=-0", 416), ("bytes=-1", 200)],
)
def test_of_an_empty_body_the_end_can_be_had_and_nothing_else(field: str, expected: int) -> None:
    assert status(page(b""), Range=field) == expected


# RFC 9110 14.2: "A server MUST ignore a Range header field received with a request method [...]
# for which range handling is not defined. For this specification, GET is the only method".
@pytest.mark.parametrize("field", ["bytes=0-0", "bytes=99-"])
def test_a_range_of_head_is_ignored(field: str) -> None:
    answer = page()
    assert select(answer, HEAD | {"HTTP_RANGE": field}) is answer


@pytest.mark.parametrize("ranges", ["", "none", "lines"])
def test_there_are_no_ranges_of_what_does_not_offer_any(ranges: str) -> None:
    assert status(page(ranges=ranges), Range="bytes=0-0") == 200


@pytest.mark.parametrize("body", ["0123456789", [b"0123456789"], io.BytesIO(b"0123456789")])
def test_there_are_no_ranges_of_what_has_no_known_length(body: object) -> None:
    answer = Response(body, 200, page().headers)  # type: ignore[arg-type]
    assert selected(answer, Range="bytes=0-0") is answer


def test_a_file_whose_length_the_author_gives_is_sent_as_he_says(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    answer = file(path, headers={"Content-Length": "5"})
    assert selected(answer, Range="bytes=6-7") is answer
    close(answer.body)


# --- RFC 9110 13.1.5: If-Range ---


@pytest.mark.parametrize("validator", [TAG, NOW, f" {TAG} ", "Sun Nov  6 08:49:37 1994", ""])
def test_if_range_that_holds_gives_the_range(validator: str) -> None:
    assert status(page(), Range="bytes=0-0", If_Range=validator) == 206


# A date is compared exactly: neither a later one will do.
@pytest.mark.parametrize(
    "validator", [OTHER, 'W/"v1"', "*", "v1", '"v1', BEFORE, AFTER, "yesterday", f"{TAG}, {OTHER}"]
)
def test_if_range_that_does_not_hold_gives_the_whole(validator: str) -> None:
    assert status(page(), Range="bytes=0-0", If_Range=validator) == 200


def test_if_range_that_does_not_hold_is_no_416() -> None:
    assert status(page(), Range="bytes=99-", If_Range=OTHER) == 200


def test_if_range_needs_a_strong_comparison() -> None:
    assert status(page(etag='W/"v1"'), Range="bytes=0-0", If_Range='W/"v1"') == 200
    assert status(page(etag='W/"v1"'), Range="bytes=0-0", If_Range='"v1"') == 200


@pytest.mark.parametrize("validator", [TAG, NOW])
def test_if_range_does_not_hold_for_what_has_no_validator(validator: str) -> None:
    assert status(page(etag="", modified=""), Range="bytes=0-0", If_Range=validator) == 200


def test_if_range_without_a_range_is_nothing() -> None:
    assert status(page(), If_Range=TAG) == 200


# --- any condition at all ---


def tags() -> st.SearchStrategy[str]:
    tag = st.sampled_from([TAG, OTHER, 'W/"v1"', "*", '"'])
    return st.lists(tag, max_size=3).map(", ".join) | st.text(max_size=5)


def dates() -> st.SearchStrategy[str]:
    return st.sampled_from([BEFORE, NOW, AFTER]) | st.text(max_size=5)


def ranges() -> st.SearchStrategy[str]:
    position = st.integers(0, 25).map(str) | st.just("")
    spec = st.builds("{}-{}".format, position, position)
    several = st.lists(spec, min_size=1, max_size=2).map(",".join)
    return several.map("bytes={}".format) | st.text("bytes=0123456789-, ", max_size=12)


FIELDS = {
    "HTTP_IF_MATCH": tags(),
    "HTTP_IF_NONE_MATCH": tags(),
    "HTTP_IF_MODIFIED_SINCE": dates(),
    "HTTP_IF_UNMODIFIED_SINCE": dates(),
    "HTTP_RANGE": ranges(),
    "HTTP_IF_RANGE": tags() | dates(),
}
REQUESTS = st.fixed_dictionaries(
    {"REQUEST_METHOD": st.sampled_from(["GET", "HEAD"])}, optional=FIELDS
)


@settings(deadline=None)
@given(REQUESTS, st.binary(max_size=20), st.sampled_from(["", TAG, 'W/"v1"']), st.booleans())
def test_any_conditions_give_an_answer_that_fits_them(
    env: dict[str, str], body: bytes, etag: str, is_dated: bool
) -> None:
    answer = select(page(body, etag=etag, modified=NOW if is_dated else ""), env)
    fits = {
        200: answer.body == body,
        206: env["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in env,
        304: "HTTP_IF_NONE_MATCH" in env or (is_dated and "HTTP_IF_MODIFIED_SINCE" in env),
        412: "HTTP_IF_MATCH" in env or (is_dated and "HTTP_IF_UNMODIFIED_SINCE" in env),
        416: env["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in env,
    }
    assert fits[answer.status]
    assert (values(answer, "Content-Range") != []) == (answer.status in (206, 416))


@settings(deadline=None)
@given(field=ranges(), length=st.integers(0, 30))
@example(field="bytes=-0", length=0)
@example(field="bytes=-1", length=0)
def test_any_range_of_any_file_is_200_or_206_or_416(
    field: str, length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytes(range(length))
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(content)
    answer = selected(file(path), Range=field)
    match answer.status:
        case 200:
            assert read(answer) == content
        case 206:
            (described,) = values(answer, "Content-Range")
            match = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", described)
            assert match
            first, last, whole = map(int, match.groups())
            assert 0 <= first <= last < whole == length
            assert read(answer) == content[first : last + 1]
        case 416:
            assert values(answer, "Content-Range") == [f"bytes */{length}"]
        case other:
            raise AssertionError(other)


def read(answer: Response) -> bytes:
    """What is sent of a file."""
    lengths = values(answer, "Content-Length")
    assert isinstance(answer.body, io.BufferedReader)
    with answer.body as body:
        return body.read(int(lengths[0]) if lengths else -1)


def test_a_files_own_validators_hold(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"0123456789")
    os.utime(path, (784111777.5, 784111777.5))
    answer = file(path)
    close(answer.body)
    (etag,) = values(answer, "ETag")
    assert values(answer, "Last-Modified") == [NOW]
    assert status(file(path), If_None_Match=etag) == 304
    assert status(file(path), If_Modified_Since=NOW) == 304
    assert status(file(path), Range="bytes=0-0", If_Range=etag) == 206
    assert status(file(path), Range="bytes=0-0", If_Range=NOW) == 206


@pytest.mark.parametrize(
    "condition",
    [
        {"HTTP_IF_NONE_MATCH": "*"},
        {"HTTP_IF_MATCH": '"a"'},
        {"HTTP_RANGE": "bytes=0-1"},
    ],
)
def test_a_local_redirect_has_no_conditions(condition: dict[str, str]) -> None:
    """They are for what the server finds at that path."""
    response = local_redirect("/there")
    assert select(response, {"REQUEST_METHOD": "GET", **condition}) is response
    assert encode(response) == b"Location: /there\r\n\r\n"
