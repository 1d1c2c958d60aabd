"""Answers as hello does, and imports what larger programs import."""

import asyncio
import datetime
import decimal
import email.message
import email.parser
import hashlib
import html
import http.cookies
import json
import re
import sqlite3
import urllib.parse
import urllib.request

import msgspec

from nativecgi import Request, Response, run, text

# Named, so that nobody takes them out: a request uses none of them.
IMPORTED = (
    *(asyncio, datetime, decimal, email.message, email.parser, hashlib, html, http.cookies, json),
    *(msgspec, re, sqlite3, urllib.parse, urllib.request),
)


def handle(_request: Request) -> Response:
    """Answer whatever is asked."""
    return text("Hello world")


if __name__ == "__main__":
    run(handle, warmup=["/"])
