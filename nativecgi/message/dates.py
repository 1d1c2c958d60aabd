"""Dates as header fields have them (RFC 9110 5.6.7): whole seconds since 1970, and text."""

import re
import time
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH = r"(?P<month>[A-Z][a-z]{2})"
_FORMATS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        # IMF-fixdate, and the two obsolete forms that a recipient has to accept all the same:
        # RFC 850's, and that of C's asctime().
        rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} GMT",
        rf"[A-Z][a-z]+, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_CLOCK} GMT",
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
)


def format_date(seconds: float) -> str:
    """A time since 1970 as Sun, 06 Nov 1994 08:49:37 GMT.

    Raises OverflowError, OSError or ValueError where it is not of the years 1 to 9999.
    """
    year, month, day, hour, minute, second, weekday, *_rest = time.gmtime(seconds)
    if not 1 <= year <= 9999:
        raise ValueError(f"the year {year} cannot be written in a header field")
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {clock} GMT"


def parse_date(text: str) -> int | None:
    """The seconds since 1970 of a date in any of HTTP's three forms; None where it is in none."""
    for pattern in _FORMATS:
        if (match := pattern.fullmatch(text)) and match["month"] in _MONTHS:
            month = _MONTHS.index(match["month"]) + 1
            day, hour, minute, second = (
                int(match[name]) for name in ("day", "hour", "minute", "second")
            )
            # A leap second (RFC 9110 5.6.7) has no number: it is that of the second after it.
            is_leap = second == 60
            try:
                year = _year(match["year"])
                date = datetime(year, month, day, hour, minute, second - is_leap, tzinfo=UTC)
            except ValueError:  # there is no such day or no such time on it
                return None
            return int(date.timestamp()) + is_leap
    return None


def _year(text: str) -> int:
    """Of two digits, the one that is not more than 50 years ahead."""
    year = int(text)
    if len(text) == 4:
        return year
    latest = time.gmtime().tm_year + 50
    return latest - (latest - year) % 100
