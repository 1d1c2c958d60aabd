"""Books with their covers, in FastAPI, with SQLite. It is an application as for any server.

BOOKS_DB is the path of its database, BOOKS_JOURNAL of a file that gets a line for each new
book, where it is set.
"""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import fastapi
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel, Field

FOLDER = Path(__file__).parent
SCHEMA = (FOLDER / "schema.sql").read_text()
LARGEST_COVER = 1_000_000  # bytes
# A client's page, or a picture with a script in it, would be one of this site's.
COVER_TYPES = {"image/gif", "image/jpeg", "image/png", "image/webp"}

app = FastAPI(title="Books", version="1.0")
app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
templates = Jinja2Templates(FOLDER / "templates")


class Book(BaseModel):
    """What a client sends about a book."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    author: Annotated[str, Field(min_length=1, max_length=200)]
    year: Annotated[int, Field(ge=-3000, le=3000)]


class ShelvedBook(Book):
    """A book with its number on the shelf."""

    id: int


def database() -> Iterator[sqlite3.Connection]:
    """The request's connection. FastAPI's threads share it, one after the other."""
    connection = sqlite3.connect(os.environ["BOOKS_DB"], check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute(SCHEMA)
        yield connection
    finally:
        connection.close()


Database = Annotated[sqlite3.Connection, Depends(database)]
Number = Annotated[int, fastapi.Path(ge=1, le=2**63 - 1)]  # as SQLite's


def shelved(number: Number, connection: Database) -> ShelvedBook:
    """The book of a path."""
    query = "select id, title, author, year from book where id = ?"
    row = connection.execute(query, [number]).fetchone()
    if row is None:
        raise HTTPException(404, f"there is no book {number}")
    return ShelvedBook(**row)


Shelved = Annotated[ShelvedBook, Depends(shelved)]


def find(connection: sqlite3.Connection, author: str, limit: int) -> list[ShelvedBook]:
    query = "select id, title, author, year from book where instr(author, ?) order by id limit ?"
    return [ShelvedBook(**row) for row in connection.execute(query, [author, limit])]


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def show(request: Request, connection: Database) -> Response:
    return templates.TemplateResponse(request, "shelf.html", {"books": find(connection, "", 100)})


@app.get("/books")
def list_books(
    connection: Database,
    author: Annotated[str, Query(description="A part of the author's name.")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
) -> list[ShelvedBook]:
    return find(connection, author, limit)


@app.post("/books", status_code=201)
def add_book(
    book: Book, connection: Database, request: Request, response: Response, tasks: BackgroundTasks
) -> ShelvedBook:
    with connection:
        statement = "insert into book (title, author, year) values (:title, :author, :year)"
        number = connection.execute(statement, book.model_dump()).lastrowid
    response.headers["Location"] = str(request.url_for("read_book", number=number))
    tasks.add_task(write_journal, f"{number} {book.title}")  # when the answer is sent
    return ShelvedBook(id=number, **book.model_dump())


@app.get("/books/{number}")
def read_book(book: Shelved) -> ShelvedBook:
    return book


@app.put("/books/{number}/cover", status_code=204)
async def put_cover(book: Shelved, file: UploadFile, connection: Database) -> None:
    content = await file.read(LARGEST_COVER + 1)
    if file.content_type not in COVER_TYPES:
        raise HTTPException(415, "a cover is an image")
    if len(content) > LARGEST_COVER:
        raise HTTPException(413, f"a cover has at most {LARGEST_COVER} bytes")
    with connection:
        statement = "update book set cover = ?, cover_type = ? where id = ?"
        connection.execute(statement, [content, file.content_type, book.id])


@app.get("/books/{number}/cover", response_class=Response)
def read_cover(book: Shelved, connection: Database) -> Response:
    query = "select cover, cover_type from book where id = ? and cover is not null"
    row = connection.execute(query, [book.id]).fetchone()
    if row is None:
        raise HTTPException(404, f"book {book.id} has no cover")
    return Response(row["cover"], media_type=row["cover_type"])


@app.get("/export", response_class=StreamingResponse)
def export(connection: Database) -> StreamingResponse:
    """All titles, a line each, sent as they are read."""
    rows = connection.execute("select title from book order by id")
    return StreamingResponse((f"{title}\n" for (title,) in rows), media_type="text/plain")


def write_journal(line: str) -> None:
    if "BOOKS_JOURNAL" in os.environ:
        with Path(os.environ["BOOKS_JOURNAL"]).open("a") as file:
            file.write(f"{line}\n")
