"""A guestbook: the last hundred entries, and a form to add one.

GUESTBOOK_DB is the path of an SQLite database, which the first entry creates. It is in WAL
mode, so that readers do not wait for writers.
"""

import io
import os
import sqlite3
import sys
from contextlib import closing, suppress
from html import escape
from urllib.parse import quote

from nativecgi import (
    HTTPError,
    MultiDict,
    Request,
    Response,
    before_freeze,
    html,
    method_not_allowed,
    not_found,
    redirect,
    run,
)

SECONDS = 5  # that one who writes waits for the others
MOST_CHARACTERS = {"name": 80, "message": 2000}
NOT_TO_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    message TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""
LAST = "SELECT name, message, substr(created, 1, 16) FROM entries ORDER BY id DESC LIMIT 100"
ADD = "INSERT INTO entries (name, message) VALUES (?, ?)"

HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Guestbook</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: auto; padding: 1rem; }
  h1 { font-size: 1.6rem; margin: .5rem 0 1rem; }
  form, label, article { display: grid; gap: .25rem; }
  form { gap: 1rem; margin-bottom: 2rem; }
  input, textarea { font: inherit; padding: .5rem .75rem; border: 1px solid #888; }
  input, textarea, button { border-radius: .5rem; }
  textarea { resize: vertical; }
  button { font: inherit; font-weight: 600; padding: .6rem 1.5rem; justify-self: start;
           border: 0; background: #0a5cad; color: #fff; cursor: pointer; }
  article { grid-template-columns: 1fr auto; align-items: baseline; column-gap: 1rem;
            border-top: 1px solid #8885; padding: 1rem 0; overflow: hidden; }
  h2 { font-size: 1rem; margin: 0; text-align: left; }
  h2, p { overflow-wrap: anywhere; unicode-bidi: plaintext; }
  time { font-size: .8rem; opacity: .75; }
  p { margin: 0; grid-column: 1 / -1; white-space: pre-wrap; }
</style>
<h1>Guestbook</h1>
<form method="post">
  <label>Name <input name="name" required maxlength="80" autocomplete="name"></label>
  <label>Message <textarea name="message" required maxlength="2000" rows="4"></textarea></label>
  <button>Sign</button>
</form>
"""
NONE_YET = "<p>Nobody has signed yet. Be the first!</p>\n"


def handle(request: Request) -> Response:
    try:
        return answer(request, database_path(request))
    except sqlite3.OperationalError as error:
        if kind(error) != sqlite3.SQLITE_BUSY:
            raise
        busy = "Many are signing at this moment. Please try again."
        raise HTTPError(503, busy, {"Retry-After": str(SECONDS)}) from error


def answer(request: Request, path: str) -> Response:
    match request.method, request.parts:
        case "GET", []:
            return html(HEAD + ("".join(last_articles(path)) or NONE_YET))
        case "POST", []:
            texts = request.form().texts
            add_entry(path, field(texts, "name"), field(texts, "message"))
            return redirect(request.script_name or "/", 303)
        case _, []:
            return method_not_allowed("GET", "POST")
        case _:
            return not_found()


def database_path(request: Request) -> str:
    try:
        return request.env["GUESTBOOK_DB"]
    except KeyError:
        sys.stderr.write("guestbook: GUESTBOOK_DB has to be the path of its database\n")
        raise HTTPError(500) from None


def field(texts: MultiDict[str], name: str) -> str:
    """Line ends as browsers count them, and nothing that is no text."""
    text = texts.get(name, "").encode(errors="surrogateescape").decode(errors="replace")
    text = text.replace("\r\n", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    most = MOST_CHARACTERS[name]
    if not 1 <= len(text) <= most:
        raise HTTPError(400, f"A {name} has 1 to {most} characters.")
    return text


def last_articles(path: str) -> list[str]:
    try:
        os.stat(path)
        return articles(connected(path))
    except FileNotFoundError:
        return []
    except sqlite3.OperationalError as error:
        if is_empty(error):
            return []
        file = os.path.realpath(path)
        if kind(error) not in NOT_TO_WRITE or os.path.exists(f"{file}-wal"):
            raise
    # Nobody has it open, and WAL mode needs files beside it, which are not ours to make.
    return articles(connected(f"file:{quote(file)}?immutable=1"))


def articles(connection: sqlite3.Connection) -> list[str]:
    with closing(connection):
        return [article(*row) for row in connection.execute(LAST)]


def article(name: str, message: str, created: str) -> str:
    return (
        f'<article><h2>{escape(name)}</h2><time datetime="{created}Z">{created} UTC</time>'
        f"<p>{escape(message)}</p></article>\n"
    )


def add_entry(path: str, name: str, message: str) -> None:
    with closing(connected(path)) as connection:
        with suppress(sqlite3.OperationalError):  # what is wrong, the insertion meets as well
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            connection.execute(ADD, (name, message))
        except sqlite3.OperationalError as error:
            if not is_empty(error):
                raise
            connection.execute(SCHEMA)
            connection.execute(ADD, (name, message))


def kind(error: sqlite3.OperationalError) -> int:
    """SQLite's primary result code."""
    return error.sqlite_errorcode & 0xFF


def is_empty(error: sqlite3.OperationalError) -> bool:
    """Whether it is that of a database whose first entry is still to come."""
    return str(error) == "no such table: entries"


def connected(path: str) -> sqlite3.Connection:
    """Each statement is a transaction of its own."""
    return sqlite3.connect(path, timeout=SECONDS, isolation_level=None, uri=True)


@before_freeze
def rehearse() -> None:
    """Fill the caches that each process would fill for itself: those of Python and SQLite."""
    body = b"name=Ann&message=Hello%21"
    env = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "GUESTBOOK_DB": ":memory:",
    }
    handle(Request(env, io.BytesIO(body)))
    connection = connected(":memory:")
    connection.execute(SCHEMA)
    connection.execute(ADD, ("Ann", "Hello!"))
    html(HEAD + "".join(articles(connection)))


if __name__ == "__main__":
    run(handle)
