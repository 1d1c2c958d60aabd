"""A pinboard: notes with files, in Flask, with SQLite. It is an application as for any server.

PINBOARD_DB is the path of its database, PINBOARD_KEY of a file with the key that signs sessions.
"""

import os
import sqlite3
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from flask import Flask, Response, abort, flash, g, redirect, render_template, request, session
from flask import url_for as url
from werkzeug.wrappers import Response as Answer

from nativecgi import after_thaw

# Where the templates and static files are: by default beside the module, in its package.
app = Flask(__name__)
app.jinja_env.globals["version"] = version
app.config["MAX_CONTENT_LENGTH"] = 1_000_000


@after_thaw
def read_key() -> None:
    """Each server has its own key, which is not in the program's file."""
    if "PINBOARD_KEY" in os.environ:
        app.secret_key = Path(os.environ["PINBOARD_KEY"]).read_bytes()


def database() -> sqlite3.Connection:
    """The request's connection."""
    if "database" not in g:
        g.database = sqlite3.connect(os.environ["PINBOARD_DB"])
        g.database.execute(files(__name__).joinpath("schema.sql").read_text())
    return g.database


@app.teardown_appcontext
def disconnect(_error: BaseException | None) -> None:
    if "database" in g:
        g.database.close()


@app.get("/")
def show() -> str:
    notes = database().execute("select id, author, words, file_name from note order by id desc")
    return render_template("board.html", notes=notes, author=session.get("author", ""))


@app.post("/")
def pin() -> Answer:
    author, words = request.form["author"], request.form["words"]
    file = request.files.get("file")
    if not words.strip():
        flash("A note needs words.")
    else:
        name, content = (file.filename, file.read()) if file else (None, None)
        row = (author, words, name, content)
        with database() as connection:
            connection.execute(
                "insert into note (author, words, file_name, content) values (?, ?, ?, ?)", row
            )
        flash(f"Pinned, {author}.")
    session["author"] = author
    return redirect(url("show"), 303)


@app.get(f"/files/<int(max={2**63 - 1}):number>")
def download(number: int) -> Response:
    query = "select content from note where id = ? and content is not null"
    row = database().execute(query, [number]).fetchone()
    return Response(row[0], mimetype="application/octet-stream") if row else abort(404)
