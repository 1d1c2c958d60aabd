"""nativecgi.message.dates: dates as header fields have them (RFC 9110 5.6.7)."""

import time
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.message.dates import format_date, parse_date

FIRST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
LAST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
SECONDS = st.integers(FIRST, LAST)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_forms_of_the_rfc_are_read(text: str) -> None:
    assert parse_date(text) == 784111777


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (784111777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111777.9, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (951782400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (FIRST, "Mon, 01 Jan 0001 00:00:00 GMT"),
        (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_a_time_is_written_in_the_first_form(seconds: float, text: str) -> None:
    assert format_date(seconds) == text


@pytest.mark.parametrize(
    "seconds", [FIRST - 1, LAST + 1, 1e30, -1e30, float("inf"), float("nan"), 10**40]
)
def test_a_time_of_no_year_that_can_be_written_is_refused(seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError, OSError)):
        format_date(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "784111777",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "sun, 06 nov 1994 08:49:37 GMT",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, ०६ Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
    ],
)
def test_text_that_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Sat, 31 Dec 2016 23:59:60 GMT",
        "Saturday, 31-Dec-16 23:59:60 GMT",
        "Sat Dec 31 23:59:60 2016",
    ],
)
def test_a_leap_second_is_the_second_after_it(text: str) -> None:
    assert parse_date(text) == parse_date("Sun, 01 Jan 2017 00:00:00 GMT")


def test_there_is_no_second_61() -> None:
    assert parse_date("Sat, 31 Dec 2016 23:59:61 GMT") is None


def test_the_day_of_the_week_does_not_count() -> None:
    assert parse_date("Mon, 06 Nov 1994 08:49:37 GMT") == 784111777


@pytest.mark.parametrize("digits", range(100))
def test_of_two_digits_a_year_is_at_most_50_ahead(digits: int) -> None:
    this_year = time.gmtime().tm_year
    seconds = parse_date(f"Monday, 02-Jan-{digits:02} 00:00:00 GMT")
    assert seconds is not None
    year = time.gmtime(seconds).tm_year
    assert year % 100 == digits
    assert this_year - 50 < year <= this_year + 50


# --- there and back ---


@given(SECONDS)
def test_what_is_written_is_read_again(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(SECONDS)
def test_a_date_is_written_as_the_standard_library_writes_it(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert format_date(seconds) == format_datetime(moment, usegmt=True)


# The standard library takes years of fewer digits for those of two.
@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)))
def test_dates_are_read_as_the_standard_library_reads_them(moment: datetime) -> None:
    clock = f"{moment:%H:%M:%S}"
    day, month = DAYS[moment.weekday()], f"{moment:%b}"
    forms = [f"{day[:3]}, {moment:%d} {month} {moment.year} {clock} GMT"]
    forms += [f"{day[:3]} {month} {moment.day:2} {clock} {moment.year}"]
    # Which century two digits are of is for each to say: these are of ours for both.
    if 1980 <= moment.year < 2060:
        forms += [f"{day}, {moment:%d}-{month}-{moment:%y} {clock} GMT"]
    for text in forms:
        expected = parsedate_to_datetime(text).replace(tzinfo=UTC)
        assert parse_date(text) == expected.timestamp(), text


SCRAPS = "Sun, |Sunday, |Sun |06|6| 6|Nov|-|1994|94| |08:49:37|:|GMT|UTC|ä|٣|\0".split("|")


@given(st.text(st.characters()) | st.lists(st.sampled_from(SCRAPS)).map("".join))
def test_any_text_at_all_is_a_date_or_none(text: str) -> None:
    assert isinstance(parse_date(text), int | None)
