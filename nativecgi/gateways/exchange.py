"""One request and its answer: meta-variables and a body in, header and body out.

Every gateway comes through here. Nothing that a handler does escapes.
"""

import html
import io
from collections.abc import Mapping
from typing import BinaryIO

from nativecgi.gateways.conditional import is_conditional, select
from nativecgi.gateways.encode import encode
from nativecgi.message.body import close
from nativecgi.message.errors import HTTPError
from nativecgi.message.limits import Limits, in_force
from nativecgi.message.request import Request, content_length
from nativecgi.message.response import Handler, Response, answered, error, refusal
from nativecgi.process import deadline
from nativecgi.process.report import log, report
from nativecgi.transfer.body import BodyReader, Source, drain
from nativecgi.transfer.send import Streamed, close_source


def exchange(
    handler: Handler, env: Mapping[str, str], source: Source, limits: Limits | None = None
) -> bytes | Streamed:
    """Answer the request that `env` and `source` hold.

    Whatever the handler raises becomes an answer of status 500 that tells nothing, and a
    report on sys.stderr that tells all; NATIVECGI_DEBUG=1 in `env` shows it on the page too.
    Raises nothing.
    """
    omit_body, nph = _form(env)
    is_timed = False
    left = 0.0
    output: bytes | Streamed = b""
    try:
        length = content_length(env)
    except HTTPError as failure:
        if not env.get("CONTENT_LENGTH"):  # it is the coding: Apache ends the input with the body
            drain(BodyReader(source, None))
        return encode(refusal(failure), omit_body=omit_body, nph=nph)
    raw = BodyReader(source, length) if length != 0 else None
    body: BinaryIO = io.BufferedReader(raw) if raw else io.BytesIO()
    try:
        if limits is not None or "NATIVECGI_MAX_SECONDS" in env:
            is_timed = _start_deadline(env, limits)
        output = _output(handler, Request(env, body, limits), omit_body, nph)
        if is_timed:
            left = deadline.stop()
    except BaseException as failure:
        if is_timed:
            deadline.stop()
        if isinstance(output, Streamed):  # the time was over just then
            close_source(output)
        output = failed(failure, env)
    if raw:
        drain(raw)
    # Pieces are still to be made; all else is the client's time.
    if left and isinstance(output, Streamed) and output.rest is not None:
        output.seconds = left
    return output


def _output(
    handler: Handler, request: Request, omit_body: bool, nph: str | None
) -> bytes | Streamed:
    response = answered(handler, request)
    try:
        if is_conditional(request.env):
            response = select(response, request.env)
        return encode(response, omit_body=omit_body, nph=nph)
    except BaseException as failure:
        close(response.body)
        if isinstance(failure, HTTPError):  # of the first piece, which is made in there
            return encode(refusal(failure), omit_body=omit_body, nph=nph)
        raise


def failed(failure: BaseException, env: Mapping[str, str]) -> bytes | Streamed:
    """Report a failure on sys.stderr; returns the answer to a request that ended in it."""
    omit_body, nph = _form(env)
    text = report(failure, env)
    log(text)
    return encode(_error_page(failure, text, env), omit_body=omit_body, nph=nph)


def _form(env: Mapping[str, str]) -> tuple[bool, str | None]:
    """Whether an answer has no body to be sent, and the protocol if it is the client's as it is."""
    is_nph = "/nph-" in env.get("SCRIPT_NAME", "")
    return env.get("REQUEST_METHOD") == "HEAD", _nph(env) if is_nph else None


def _nph(env: Mapping[str, str]) -> str | None:
    """The protocol, where the program's name says that its output is the client's (RFC 3875 5)."""
    name = env["SCRIPT_NAME"].rpartition("/")[2]
    return env.get("SERVER_PROTOCOL", "HTTP/1.0") if name.startswith("nph-") else None


def _start_deadline(env: Mapping[str, str], limits: Limits | None) -> bool:
    seconds = in_force(limits, env).max_seconds
    if seconds:
        deadline.start(seconds)
    return bool(seconds)


def _error_page(failure: BaseException, text: str, env: Mapping[str, str]) -> Response:
    status = 504 if deadline.is_due_to_limit(failure) else 500
    if env.get("NATIVECGI_DEBUG") != "1":
        return error(status)
    shown = html.escape(text.encode("utf-8", "backslashreplace").decode())
    page = f"<!DOCTYPE html><title>Error</title><pre>{shown}</pre>\n"
    return Response(page, status, [("Content-Type", "text/html; charset=utf-8")])
