"""A case of the table: what is asked, and what has to come back."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from nativecgi.message.multidict import MultiDict

PROCESS, BINARY = "process", "binary"
APACHE, NGINX, LIGHTTPD = "apache", "nginx", "lighttpd"
ALONE = (PROCESS, BINARY)
SERVERS = (APACHE, NGINX, LIGHTTPD)
WAYS = (*ALONE, *SERVERS)

Fields = tuple[tuple[str, str], ...]
Pattern = re.Pattern[str]

# The status of an answer that does not come.
NO_ANSWER = 0


class Absent:
    def __repr__(self) -> str:
        return "nothing"


# What is expected of a field that must not be there.
ABSENT: Final = Absent()


class Ask(Struct, frozen=True):
    """A request, as it is on the wire."""

    method: str = "GET"
    path: str = ""  # behind the program's own, percent-encoded
    query: str | None = None
    fields: Fields = ()
    body: bytes = b""
    in_chunks: bool = False
    program: str = "contract"


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    phrase: str
    headers: MultiDict[str]  # by name in lower case
    body: bytes
    log: Callable[[str], bool]  # whether a text is in the error log, or soon will be
    is_complete: bool = True  # whether the client or the exit status shows no failure


class Expected(Struct, frozen=True):
    """What has to come back; what is None is not looked at."""

    status: int = 200
    # By name: the value, a pattern that matches all of it, the values of a repeated field.
    headers: Mapping[str, str | Pattern | Absent | tuple[str | Pattern, ...]] = msgspec.field(
        default_factory=dict
    )
    body: bytes | None = None
    # What the body, as JSON, has to have among other things.
    shows: Any = None
    phrase: str | None = None
    log: str = ""
    is_complete: bool | None = True
    because: str = ""  # why it differs from the other ways
    # What may come back as well, where it is a matter of time.
    or_else: "Expected | None" = None


# By way, what is expected in that one.
Exceptions = Mapping[str, Expected]


class Case(Struct, frozen=True):
    """A request, and its answer in every way that it can be made."""

    name: str
    ask: Ask
    expected: Expected
    # Requests that go first, over the same connection where there is one.
    before: tuple[Ask, ...] = ()
    # The ways in which the answer differs.
    except_on: Exceptions = msgspec.field(default_factory=dict)
    # The ways that there are for such a request, and why there are no others.
    only_on: tuple[str, ...] = WAYS
    because: str = ""

    def on(self, way: str) -> Expected:
        """What is expected in one of the ways."""
        return self.except_on.get(way, self.expected)


def get(path: str, query: str | None = None, *fields: tuple[str, str], method: str = "GET") -> Ask:
    return Ask(method, path, query, fields)


def head(path: str, query: str | None = None, *fields: tuple[str, str]) -> Ask:
    return Ask("HEAD", path, query, fields)


def post(path: str, body: bytes, media_type: str = "text/plain", *, method: str = "POST") -> Ask:
    return Ask(method, path, None, (("Content-Type", media_type),), body)


def differences(answer: Answer, expected: Expected) -> list[str]:
    """What is not as it should be, a sentence for each."""
    if expected.or_else and not differences(answer, expected.or_else):
        return []
    return list(_differences(answer, expected))


def _differences(answer: Answer, expected: Expected) -> Iterator[str]:
    if answer.status != expected.status:
        yield f"the status is {answer.status}, not {expected.status}: {answer.body[:1000]!r}"
    if expected.phrase not in (None, answer.phrase):
        yield f"the phrase is {answer.phrase!r}, not {expected.phrase!r}"
    for name, value in expected.headers.items():
        values = answer.headers.getlist(name.lower())
        if not _has(values, value):
            yield f"the header field {name} is {values}, not {value!r}"
    if expected.body not in (None, answer.body):
        yield f"the body is {_shown(answer.body)}, not {_shown(expected.body)}"
    if expected.shows is not None:
        yield from _missing("the JSON", _decoded(answer.body), expected.shows)
    if expected.log and not answer.log(expected.log):
        yield f"the error log does not have {expected.log!r}"
    if expected.is_complete not in (None, answer.is_complete):
        yield f"the answer is {'' if answer.is_complete else 'not '}complete"


def _has(values: list[str], expected: str | Pattern | Absent | tuple[str | Pattern, ...]) -> bool:
    if isinstance(expected, Absent):
        return values == []
    wanted = expected if isinstance(expected, tuple) else (expected,)
    return len(values) == len(wanted) and all(map(_matches, values, wanted))


def _matches(value: str, expected: str | Pattern) -> bool:
    return (
        bool(expected.fullmatch(value)) if isinstance(expected, re.Pattern) else value == expected
    )


def _missing(place: str, actual: Any, expected: Any) -> Iterator[str]:
    match expected:
        case dict():
            for name, value in expected.items():
                there = actual.get(name, ABSENT) if isinstance(actual, dict) else ABSENT
                yield from _missing(f"{place}'s {name}", there, value)
        case re.Pattern():
            if not (isinstance(actual, str) and expected.fullmatch(actual)):
                yield f"{place} is {actual!r}, which {expected.pattern!r} does not match"
        case _:
            if actual != expected or type(actual) is not type(expected):
                yield f"{place} is {actual!r}, not {expected!r}"


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body


def _shown(body: bytes | None) -> str:
    return repr(body) if body is None or len(body) < 1000 else f"{body[:100]!r}... ({len(body)})"
