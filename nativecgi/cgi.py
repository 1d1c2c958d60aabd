"""The CGI gateway (RFC 3875): meta-variables and body in, header and body out."""

import html
import io
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

from nativecgi.body import BodyReader
from nativecgi.encode import encode
from nativecgi.errors import HTTPError
from nativecgi.request import Request, content_length
from nativecgi.response import Handler, Response, answered, error

# How much of an unread body is read and forgotten, in bytes; a client that sends more may find
# its connection closed.
DRAIN_LIMIT = 16 * 1024 * 1024


def exchange(handler: Handler, env: Mapping[str, str], stdin: int) -> bytes:
    """Answer the request that `env` and the descriptor `stdin` hold.

    Whatever the handler raises becomes an answer of status 500 that tells nothing, and a
    report on sys.stderr that tells all; NATIVECGI_DEBUG=1 in `env` shows it on the page too.
    """
    omit_body = env.get("REQUEST_METHOD") == "HEAD"
    try:
        length = content_length(env)
    except HTTPError as failure:
        return encode(error(failure.status, failure.message), omit_body=omit_body)
    raw = BodyReader(stdin, length) if length else None
    body: BinaryIO = io.BufferedReader(raw) if raw else io.BytesIO()
    try:
        output = encode(answered(handler, Request(env, body)), omit_body=omit_body)
    except BaseException as failure:
        report = _report(failure, env)
        log(report)
        output = encode(_failed(report, env), omit_body=omit_body)
    # Apache's mod_cgid and fcgiwrap lose the answer of a program that leaves input unread.
    if raw:
        with suppress(OSError):
            raw.drain(DRAIN_LIMIT)
    return output


def log(text: str) -> None:
    """Write to the error log, if there is one and it has room."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)


def _report(failure: BaseException, env: Mapping[str, str]) -> str:
    """One line that names the request and the failure, and the traceback after it."""
    path = env.get("SCRIPT_NAME", "") + env.get("PATH_INFO", "")
    request = ascii(f"{env.get('REQUEST_METHOD')} {path}")[1:-1]
    summary = ascii("".join(traceback.format_exception_only(failure)).strip())[1:-1]
    trace = "".join(traceback.format_exception(failure))
    return f"nativecgi: {request}: {summary}\n{trace}"


def _failed(report: str, env: Mapping[str, str]) -> Response:
    if env.get("NATIVECGI_DEBUG") != "1":
        return error(500)
    shown = html.escape(report.encode("utf-8", "backslashreplace").decode())
    page = f"<!DOCTYPE html><title>Error</title><pre>{shown}</pre>\n"
    return Response(page, 500, [("Content-Type", "text/html; charset=utf-8")])
