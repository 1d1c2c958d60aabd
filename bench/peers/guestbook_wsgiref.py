#!/usr/bin/env python3
"""The guestbook as CGI in Python, with the standard library's wsgiref and sqlite3."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from html import escape
from typing import Any
from urllib.parse import parse_qs
from wsgiref.handlers import CGIHandler

HEAD = "@HEAD@"  # the page's, filled in from apps/guestbook.py


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """List the entries or add one (PEP 3333)."""
    path = os.environ["GUESTBOOK_DB"]
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as database:
        post = environ["REQUEST_METHOD"] == "POST"
        status, header, body = add(environ, database) if post else list_entries(database)
    start_response(status, [header, ("Content-Length", str(len(body)))])
    return [body]


def list_entries(database: sqlite3.Connection) -> tuple[str, tuple[str, str], bytes]:
    """The page."""
    rows = database.execute(
        "SELECT name, message, substr(created, 1, 16) FROM entries ORDER BY id DESC LIMIT 100"
    )
    articles = [
        f'<article><h2>{escape(name)}</h2><time datetime="{created}Z">{created} UTC</time>'
        f"<p>{escape(message)}</p></article>\n"
        for name, message, created in rows
    ]
    page = HEAD + "".join(articles)
    return "200 OK", ("Content-Type", "text/html; charset=utf-8"), page.encode()


def add(
    environ: dict[str, Any], database: sqlite3.Connection
) -> tuple[str, tuple[str, str], bytes]:
    """Take an entry, and send the client back to the page."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    fields = parse_qs(body.decode())
    name, message = fields.get("name", [""])[0], fields.get("message", [""])[0]
    for label, text, most in (("name", name, 80), ("message", message, 2000)):
        if not 1 <= len(text) <= most:
            refusal = f"A {label} has 1 to {most} characters.\n"
            content_type = ("Content-Type", "text/plain; charset=utf-8")
            return "400 Bad Request", content_type, refusal.encode()
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("INSERT INTO entries (name, message) VALUES (?, ?)", (name, message))
    return "303 See Other", ("Location", environ["SCRIPT_NAME"]), b""


CGIHandler().run(application)
