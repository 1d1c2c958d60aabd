"""A FastAPI application with models, threads, templates and a database, as one file."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nativecgi.testing import Client

NAME = "books"
SOURCE = Path(__file__).parents[2] / "examples" / NAME
BOOK = {"title": "Größen & <Maße>", "author": "Ann Author", "year": 1997}
SECONDS = 20


@pytest.fixture
def shelf(visit: Callable[..., Client], served: Path) -> Client:
    journal = served / "journal"
    journal.touch()
    journal.chmod(0o666)
    return visit(NAME, BOOKS_DB=str(served / "db"), BOOKS_JOURNAL=str(journal))


@pytest.fixture
def program(shelf: Client) -> str:
    """What the addresses of the program begin with: both ways to run it, told by the server."""
    location = shelf.post("/books", json=BOOK).headers["location"]
    return location.removesuffix("/books/1")


def json(client: Client, url: str, status: int = 200) -> Any:
    answer = client.get(url)
    assert (answer.status, answer.log) == (status, "")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_a_book_is_added_and_found(shelf: Client) -> None:
    added = shelf.post("/books", json=BOOK)
    assert (added.status, added.log) == (201, "")
    assert added.json() == {"id": 1, **BOOK}
    assert json(shelf, "/books/1") == {"id": 1, **BOOK}


def test_addresses_begin_with_the_programs_own(program: str) -> None:
    assert program.startswith("http://")
    assert program.endswith(("testserver/cgi-bin/program", f"/cgi-bin/{NAME}"))


def test_books_are_looked_for(shelf: Client) -> None:
    for author in ("Ann", "Bob", "Annie"):
        shelf.post("/books", json=BOOK | {"author": author})
    assert [book["author"] for book in json(shelf, "/books?author=Ann")] == ["Ann", "Annie"]
    assert len(json(shelf, "/books?limit=2")) == 2


@pytest.mark.parametrize(
    ("url", "place", "kind"),
    [("/books?limit=0", ["query", "limit"], "greater_than_equal"),
     ("/books/x", ["path", "number"], "int_parsing")],
)  # fmt: skip
def test_a_parameter_that_is_wrong_is_named(
    shelf: Client, url: str, place: list[str], kind: str
) -> None:
    (detail,) = json(shelf, url, 422)["detail"]
    assert (detail["loc"], detail["type"]) == (place, kind)


def test_all_that_is_wrong_with_a_book_is_told(shelf: Client) -> None:
    answer = shelf.post("/books", json={"title": "", "year": "soon"})
    assert answer.status == 422
    details = {detail["loc"][1]: detail["type"] for detail in answer.json()["detail"]}
    expected = {"title": "string_too_short", "author": "missing", "year": "int_parsing"}
    assert details == expected


def test_a_body_that_is_no_json_is_told_of(shelf: Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = shelf.post("/books", body=b'{"title":', headers=headers)
    assert answer.status == 422
    assert answer.json()["detail"][0]["type"] == "json_invalid"


def test_what_is_not_there_is_404(shelf: Client) -> None:
    assert json(shelf, "/books/7", 404) == {"detail": "there is no book 7"}
    assert json(shelf, "/nonesuch", 404) == {"detail": "Not Found"}
    assert shelf.delete("/books").status == 405


def test_a_cover_is_uploaded(shelf: Client) -> None:
    shelf.post("/books", json=BOOK)
    content = b"\x89PNG\0\xff" * 50_000
    upload = {"file": ("a.png", content, "image/png")}
    assert shelf.get("/books/1/cover").status == 404
    assert shelf.put("/books/1/cover", files=upload).status == 204
    cover = shelf.get("/books/1/cover")
    assert (cover.body, cover.headers["content-type"]) == (content, "image/png")


def test_a_cover_that_is_a_page_is_refused(shelf: Client) -> None:
    shelf.post("/books", json=BOOK)
    page = {"file": ("cover.html", b"<script>", "text/html")}
    assert shelf.put("/books/1/cover", files=page).status == 415
    assert shelf.get("/books/1/cover").status == 404


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_a_number_that_no_book_has_is_told(shelf: Client, number: int) -> None:
    assert shelf.get(f"/books/{number}").status == 422


def test_a_cover_that_is_too_large_is_refused(shelf: Client) -> None:
    shelf.post("/books", json=BOOK)
    # More than starlette keeps in memory: it goes through a temporary file.
    upload = {"file": ("a.png", b"x" * 2_000_000, "image/png")}
    assert shelf.put("/books/1/cover", files=upload).status == 413


def test_titles_are_streamed(shelf: Client, served: Path) -> None:
    titles = [f"title {number}" for number in range(50)]
    shelf.get("/books")
    with closing(sqlite3.connect(served / "db")) as connection, connection:
        rows = [(title,) for title in titles]
        connection.executemany("insert into book (title) values (?)", rows)
    answer = shelf.get("/export")
    assert (answer.status, answer.log) == (200, "")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.splitlines() == titles


def test_a_background_task_is_done_when_the_program_ends(shelf: Client, served: Path) -> None:
    shelf.post("/books", json=BOOK)
    end = time.monotonic() + SECONDS  # behind a server the answer is there before
    while not (line := (served / "journal").read_text()) and time.monotonic() < end:
        time.sleep(0.01)
    assert line == f"1 {BOOK['title']}\n"


def test_a_page_is_made_of_a_template(shelf: Client, program: str) -> None:
    page = shelf.get("/")
    assert (page.status, page.log) == (200, "")
    assert f'<a href="{program}/books/1">Größen &amp; &lt;Maße&gt;</a>, Ann Author' in page.text
    assert f'<link rel="stylesheet" href="{program}/static/books.css">' in page.text


def test_static_files_are_in_the_file(shelf: Client) -> None:
    found = shelf.get("/static/books.css")
    assert (found.status, found.body) == (200, (SOURCE / "static/books.css").read_bytes())
    assert found.headers["content-type"] == "text/css; charset=utf-8"
    tag = found.headers["etag"]
    again = shelf.get("/static/books.css", headers={"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    part = shelf.get("/static/books.css", headers={"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, b"body")
    assert shelf.get("/static/nonesuch.css").status == 404
    assert shelf.get("/static/../schema.sql").status == 404


def test_the_schema_is_of_this_program_alone(shelf: Client, program: str) -> None:
    schema = json(shelf, "/openapi.json")
    path = "/" + program.split("/", 3)[3]
    assert schema["servers"] == [{"url": path}], "and not that of a warm-up"
    assert list(schema["paths"]) == [
        "/books", "/books/{number}", "/books/{number}/cover", "/export"
    ]  # fmt: skip
    assert schema["components"]["schemas"]["Book"]["required"] == ["title", "author", "year"]


def test_the_page_of_the_schema_asks_for_it_at_its_address(shelf: Client, program: str) -> None:
    page = shelf.get("/docs")
    assert (page.status, page.log) == (200, "")
    path = "/" + program.split("/", 3)[3]
    assert f"url: '{path}/openapi.json'" in page.text.replace('"', "'")


def test_the_warm_up_has_left_no_book(shelf: Client) -> None:
    assert json(shelf, "/books") == []


def test_a_server_without_a_database_is_an_error(visit: Callable[..., Client]) -> None:
    assert visit(NAME).get("/books").status == 500
