"""A Flask application with files, requirements and a database, as one file in an empty folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi.testing import Client

ROOT = Path(__file__).parents[2]
NAME = "pinboard"


@pytest.fixture
def board(visit: Callable[..., Client], served: Path) -> Client:
    key = served / "key"
    key.write_bytes(os.urandom(16))
    key.chmod(0o644)
    return visit(NAME, PINBOARD_DB=str(served / "db"), PINBOARD_KEY=str(key))


def test_templates_are_in_the_file(board: Client) -> None:
    answer = board.get("/")
    assert (answer.status, answer.log) == (200, "")
    assert "<title>Pinboard</title>" in answer.text
    assert "<h1>Pinboard</h1>" in answer.text


def test_versions_of_packages_are_in_the_file(board: Client) -> None:
    assert "<p>Flask 3.1.3</p>" in board.get("/").text


def test_static_files_are_in_the_file(board: Client) -> None:
    source = ROOT / "examples" / NAME / "static" / "pinboard.css"
    answer = board.get("/static/pinboard.css")
    assert (answer.status, answer.body) == (200, source.read_bytes())
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    tag = answer.headers["etag"]
    assert board.get("/static/pinboard.css", headers={"If-None-Match": tag}).status == 304
    assert board.get("/static/nonesuch.css").status == 404
    assert board.get("/static/../__init__.py").status == 404


def test_a_note_with_a_file_is_pinned(board: Client) -> None:
    form = {"author": "Ann & Bob", "words": "Hello"}
    upload = {"file": ("a.bin", b"\0\xff" * 50_000, "application/octet-stream")}
    assert board.post("/", form=form, files=upload).status == 303
    page = board.get("/").text
    assert '<p class="message">Pinned, Ann &amp; Bob.</p>' in page
    assert 'value="Ann &amp; Bob"' in page, "the session"
    assert '/files/1">a.bin</a>' in page
    assert board.get("/files/1").body == b"\0\xff" * 50_000
    assert "message" not in board.get("/").text.replace(".message", ""), "flashed once"
    assert board.get("/files/2").status == 404
    assert board.get(f"/files/{2**63}").status == 404


def test_a_note_without_words_is_refused(board: Client) -> None:
    board.post("/", form={"author": "Ann", "words": " "})
    assert "A note needs words." in board.get("/").text
    assert "<i>Ann</i>" not in board.get("/").text


def test_another_key_ends_a_session(board: Client, served: Path) -> None:
    board.post("/", form={"author": "Ann", "words": "Hello"})
    (served / "key").write_bytes(os.urandom(16))
    assert 'value=""' in board.get("/").text
