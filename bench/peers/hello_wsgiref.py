#!/usr/bin/env python3
"""The hello program as CGI in Python, with the standard library's wsgiref."""

from collections.abc import Callable
from wsgiref.handlers import CGIHandler


def application(_environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
    """Greet (PEP 3333)."""
    body = b"Hello world"
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


CGIHandler().run(application)
