"""Conditional and range requests (RFC 9110 13 and 14): which part of an answer they get."""

import os
import re
from collections.abc import Mapping
from typing import BinaryIO, cast

from nativecgi.message.body import close
from nativecgi.message.dates import parse_date
from nativecgi.message.headers import lower_name, pairs
from nativecgi.message.response import Body, Response, error
from nativecgi.transfer.send import file_length

# RFC 9110 14.1.2; of several ranges none is served.
_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
# What an answer without the body does not say; a 304 has to say the rest again (RFC 9110 15.4.5).
_OF_THE_BODY = frozenset(
    "content-disposition content-encoding content-language content-length content-type".split()
)
# And what an error does not: they are about what was not sent.
_OF_THE_PAGE = _OF_THE_BODY | {"accept-ranges", "cache-control", "etag", "expires", "last-modified"}


def is_conditional(env: Mapping[str, str]) -> bool:
    """Whether it is the environment of one of these requests; most are none."""
    return (
        "HTTP_IF_NONE_MATCH" in env
        or "HTTP_IF_MODIFIED_SINCE" in env
        or "HTTP_RANGE" in env
        or "HTTP_IF_MATCH" in env
        or "HTTP_IF_UNMODIFIED_SINCE" in env
    )


def select(response: Response, env: Mapping[str, str]) -> Response:
    """The answer to a conditional GET or HEAD: the same, 304, 412, 206 or 416.

    It depends on the fields ETag and Last-Modified of the response, and for a range on
    Accept-Ranges, which `file` sets.
    """
    if env.get("REQUEST_METHOD") not in ("GET", "HEAD") or response.status != 200:
        return response
    response.headers = pairs(response.headers)  # they may be an iterator
    fields = {lower_name(name): value for name, value in response.headers}
    if "location" in fields:  # a local redirect: conditions are for what the server has there
        return response
    status = _evaluated(env, fields.get("etag", ""), parse_date(fields.get("last-modified", "")))
    if status == 412:
        close(response.body)
        return error(412, headers=_without(_OF_THE_PAGE, response))
    if status == 304:
        close(response.body)
        return Response(b"", 304, _without(_OF_THE_BODY, response))
    # Of other methods, HEAD too, a range is nothing (RFC 9110 14.2). A length of the author's own
    # may not be the body's.
    is_ranged = "HTTP_RANGE" in env and env["REQUEST_METHOD"] == "GET"
    is_rangeable = fields.get("accept-ranges") == "bytes" and "content-length" not in fields
    if is_ranged and is_rangeable and _is_current(env, fields):
        return _ranged(response, env["HTTP_RANGE"])
    return response


def _evaluated(env: Mapping[str, str], etag: str, modified: int | None) -> int:
    """RFC 9110 13.2.2: 200 to go on, or what the conditions come to."""
    if (field := env.get("HTTP_IF_MATCH")) is not None:
        if not _matches(field, etag, weak=False):
            return 412
    elif modified is not None:
        since = parse_date(env.get("HTTP_IF_UNMODIFIED_SINCE", ""))
        if since is not None and modified > since:
            return 412
    if (field := env.get("HTTP_IF_NONE_MATCH")) is not None:
        return 304 if _matches(field, etag, weak=True) else 200
    if modified is not None:
        since = parse_date(env.get("HTTP_IF_MODIFIED_SINCE", ""))
        if since is not None and modified <= since:
            return 304
    return 200


def _without(names: frozenset[str], response: Response) -> list[tuple[str, str]]:
    return [pair for pair in pairs(response.headers) if pair[0].lower() not in names]


def _matches(field: str, etag: str, *, weak: bool) -> bool:
    """Whether one of a list of entity tags is this one (RFC 9110 8.8.3.2)."""
    if field.strip() == "*":
        return True
    if not etag or (not weak and etag.startswith("W/")):
        return False
    tags = re.findall(r'(?:W/)?"[^"]*"', field)
    if weak:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    return etag in tags


def _is_current(env: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    """RFC 9110 13.1.5: whether a range is wanted of what we have now, and not of what was."""
    validator = env.get("HTTP_IF_RANGE", "").strip()
    if not validator:
        return True
    if validator.endswith('"'):
        return not validator.startswith("W/") and validator == fields.get("etag")
    date = parse_date(validator)
    return date is not None and date == parse_date(fields.get("last-modified", ""))


def _ranged(response: Response, field: str) -> Response:
    match = _RANGE.fullmatch(field.strip())
    length = _length(response.body)
    if match is None or length is None or match[1] == match[2] == "":
        return response
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, length) if match[2] else length
        if match[2] and int(match[2]) < start:
            return response  # malformed, so there is none
    else:
        start, end = max(length - int(match[2]), 0), length
        if length == 0 and int(match[2]) > 0:
            return response  # it is the end of nothing, and there is no Content-Range to say so
    if start >= end:
        close(response.body)
        fields = _without(_OF_THE_PAGE, response)
        return error(416, headers=[*fields, ("Content-Range", f"bytes */{length}")])
    fields = pairs(response.headers)
    fields += [("Content-Range", f"bytes {start}-{end - 1}/{length}")]
    fields += [("Content-Length", str(end - start))]
    return Response(_part(response.body, start, end), 206, fields)


def _length(body: Body) -> int | None:
    """In bytes; None where it is not known before it is sent."""
    if isinstance(body, bytes):
        return len(body)
    return file_length(body)


def _part(body: Body, start: int, end: int) -> Body:
    if isinstance(body, bytes):
        return body[start:end]
    cast(BinaryIO, body).seek(start, os.SEEK_CUR)
    return body
