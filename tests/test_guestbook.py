"""The guestbook, in process, as a built program and behind servers."""

import http.client
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from apps import guestbook
from nativecgi.testing import Answer, Client, parse_answer
from servers import apache, lighttpd, nginx
from servers.server import Server

ENTRIES, CLIENTS, READERS = 2000, 32, 4
NOBODY = 65534
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "guestbook.db"


@pytest.fixture
def client(database: Path) -> Client:
    return client_of(guestbook.handle, database)


def client_of(app: object, database: Path) -> Client:
    env = {"GUESTBOOK_DB": str(database), "SCRIPT_NAME": "/cgi-bin/guestbook"}
    return Client(app, env=env)  # type: ignore[arg-type]


def sign(client: Client, name: str = "Ann", message: str = "Hello") -> Answer:
    return client.post(form={"name": name, "message": message})


def rows(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT name, message FROM entries ORDER BY id").fetchall()


# --- reading ---


def test_a_guestbook_without_a_database_has_no_entries(client: Client, database: Path) -> None:
    answer = client.get()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Nobody has signed yet" in answer.text
    assert "<article>" not in answer.text


def test_reading_makes_no_database(client: Client, database: Path) -> None:
    client.get()
    assert not database.exists()


def test_an_empty_file_is_a_guestbook_without_entries(client: Client, database: Path) -> None:
    database.touch()
    assert "Nobody has signed yet" in client.get().text
    assert sign(client).status == 303
    assert rows(database) == [("Ann", "Hello")]


def test_an_entry_is_shown_with_the_time_in_utc(client: Client, database: Path) -> None:
    sign(client)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE entries SET created = '2026-11-23 18:05:59'")
    assert (
        "<article><h2>Ann</h2>"
        '<time datetime="2026-11-23 18:05Z">2026-11-23 18:05 UTC</time>'
        "<p>Hello</p></article>\n"
    ) in client.get().text


def test_entries_are_dated_by_the_clock(client: Client) -> None:
    sign(client)
    with closing(sqlite3.connect(":memory:")) as connection:
        now = connection.execute("SELECT unixepoch()").fetchone()[0]
        [date] = [line for line in client.get().text.split('"') if line.endswith("Z")]
        then = connection.execute("SELECT unixepoch(?)", (date,)).fetchone()[0]
    assert -1 <= now - then <= 120


def test_the_newest_entry_is_the_first(client: Client) -> None:
    sign(client, "Ann")
    sign(client, "Bob")
    text = client.get().text
    assert text.index("<h2>Bob</h2>") < text.index("<h2>Ann</h2>")


def test_the_last_hundred_entries_are_shown(client: Client, database: Path) -> None:
    sign(client, "the first")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(guestbook.ADD, [(f"{number}.", "x") for number in range(100)])
    text = client.get().text
    assert text.count("<article>") == 100
    assert "<h2>0.</h2>" in text
    assert "the first" not in text


def test_a_read_leaves_the_database_as_it_is(client: Client, database: Path) -> None:
    sign(client)
    before = database.read_bytes(), database.stat().st_mtime_ns
    client.get()
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before


def test_nothing_lies_beside_a_database_at_rest(client: Client, database: Path) -> None:
    sign(client)
    client.get()
    assert list(database.parent.iterdir()) == [database]


def test_one_who_reads_does_not_wait_for_one_who_writes(client: Client, database: Path) -> None:
    sign(client)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(guestbook.ADD, ("Bob", "not yet"))
        text = client.get().text
    assert "<h2>Ann</h2>" in text
    assert "Bob" not in text


def test_head_has_the_header_and_no_page(client: Client) -> None:
    answer = client.head()
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(client.get().body))


def test_there_is_nothing_below_the_guestbook(client: Client) -> None:
    assert client.get("/a").status == 404
    assert client.post("/a", form={"name": "Ann", "message": "Hello"}).status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"])
def test_other_methods_are_not_allowed(client: Client, database: Path, method: str) -> None:
    answer = client.request(method, form={"name": "Ann", "message": "Hello"})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, HEAD")
    assert not database.exists()


# --- signing ---


def test_who_has_signed_is_sent_back_to_the_page(client: Client, database: Path) -> None:
    answer = sign(client)
    assert (answer.status, answer.headers["location"]) == (303, "/cgi-bin/guestbook")
    assert rows(database) == [("Ann", "Hello")]


def test_a_guestbook_that_is_the_whole_site_sends_back_to_its_root(database: Path) -> None:
    client = Client(guestbook.handle, env={"GUESTBOOK_DB": str(database), "SCRIPT_NAME": ""})
    assert sign(client).headers["location"] == "/"


def test_the_database_is_in_wal_mode(client: Client, database: Path) -> None:
    sign(client)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_form_in_parts_is_read_too(client: Client, database: Path) -> None:
    upload = {"ignored": ("a.txt", b"x", "text/plain")}
    assert client.post(form={"name": "Ann", "message": "Hello"}, files=upload).status == 303
    assert rows(database) == [("Ann", "Hello")]


def test_a_body_that_is_no_form_is_refused(client: Client) -> None:
    assert client.post(json={"name": "Ann", "message": "Hello"}).status == 415


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({}, "A name has 1 to 80 characters."),
        ({"message": "Hello"}, "A name has 1 to 80 characters."),
        ({"name": "Ann"}, "A message has 1 to 2000 characters."),
        ({"name": " \t\r\n", "message": "Hello"}, "A name has 1 to 80 characters."),
        ({"name": "Ann", "message": " \u2028 "}, "A message has 1 to 2000 characters."),
        ({"name": "x" * 81, "message": "Hello"}, "A name has 1 to 80 characters."),
        ({"name": "Ann", "message": "x" * 2001}, "A message has 1 to 2000 characters."),
        ({"name": "Ann", "message": "x" * 1_000_000}, "A message has 1 to 2000 characters."),
    ],
)
def test_what_is_missing_or_too_long_is_refused(
    client: Client, database: Path, form: dict[str, str], sentence: str
) -> None:
    answer = client.post(form=form)
    assert (answer.status, answer.text) == (400, sentence + "\n")
    assert not database.exists()


def test_characters_are_counted_and_not_bytes(client: Client, database: Path) -> None:
    assert sign(client, "😀" * 80, "漢" * 2000).status == 303
    assert rows(database) == [("😀" * 80, "漢" * 2000)]


def test_a_line_end_counts_as_one_character_as_it_does_in_a_browser(
    client: Client, database: Path
) -> None:
    assert sign(client, message="a\r\n" * 999 + "bc").status == 303
    assert rows(database) == [("Ann", "a\n" * 999 + "bc")]


def test_white_space_around_a_text_is_left_out(client: Client, database: Path) -> None:
    sign(client, "  Ann ", "\r\n one\r\n two \r\n")
    assert rows(database) == [("Ann", "one\n two")]


# --- hostile texts ---


def test_markup_is_shown_as_text(client: Client) -> None:
    sign(client, "<b>&amp;</b>", "<script>alert('\"')</script>")
    text = client.get().text
    assert "<h2>&lt;b&gt;&amp;amp;&lt;/b&gt;</h2>" in text
    assert "<p>&lt;script&gt;alert(&#x27;&quot;&#x27;)&lt;/script&gt;</p>" in text


def test_sql_is_text_too(client: Client, database: Path) -> None:
    sign(client, "Robert'); DROP TABLE entries; --", "? :name $1")
    assert rows(database) == [("Robert'); DROP TABLE entries; --", "? :name $1")]


def test_what_is_no_text_becomes_replacement_characters(client: Client, database: Path) -> None:
    body = b"name=A%00nn%ff&message=\xffHello%ed%a0%80"
    assert client.post(body=body, headers={"Content-Type": FORM}).status == 303
    [(name, message)] = rows(database)
    assert name == "A\ufffdnn\ufffd"
    assert message.strip("\ufffd") == "Hello"
    assert "<h2>A\ufffdnn\ufffd</h2>" in client.get().text


# --- what goes wrong ---


def test_without_a_database_s_path_it_says_so_in_the_log() -> None:
    answer = Client(guestbook.handle).get()
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert answer.log == "guestbook: GUESTBOOK_DB has to be the path of its database\n"


def test_a_file_that_is_no_database_is_an_error(client: Client, database: Path) -> None:
    database.write_text("This is a file of text, and longer than a hundred bytes. " * 20)
    with pytest.raises(sqlite3.DatabaseError, match="file is not a database"):
        client.get()


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    client = client_of(guestbook.handle, tmp_path / "missing" / "guestbook.db")
    assert client.get().status == 200
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        sign(client)


def test_where_others_write_for_too_long_one_is_asked_to_come_back(
    client: Client, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guestbook, "SECONDS", 0)
    sign(client)
    with locked(database):
        answer = sign(client, "Bob")
    assert (answer.status, answer.headers["retry-after"]) == (503, "0")
    assert answer.text == "Many are signing at this moment. Please try again.\n"
    assert sign(client, "Bob").status == 303


def locked(database: Path) -> "closing[sqlite3.Connection]":
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


# --- the built program ---


@pytest.fixture(scope="module")
def program(cgi_bin: Path) -> Path:
    return cgi_bin / "guestbook"


def test_the_program_says_what_it_lacks(program: Path) -> None:
    answer = Client(program).get()
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert answer.log == "guestbook: GUESTBOOK_DB has to be the path of its database\n"


def test_the_program_waits_and_then_gives_up(program: Path, database: Path) -> None:
    client = client_of(program, database)
    sign(client)
    with locked(database):
        answer = sign(client, "Bob")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert (answer.log, rows(database)) == ("", [("Ann", "Hello")])


def test_the_program_waits_until_the_other_has_written(program: Path, database: Path) -> None:
    client = client_of(program, database)
    sign(client)
    with locked(database) as connection, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(sign, client, "Bob")
        threading.Event().wait(0.5)
        assert not answer.done()
        connection.execute("COMMIT")
        assert answer.result().status == 303


@pytest.mark.parametrize("attempt", range(5))
def test_first_entries_at_the_same_time_are_all_kept(
    program: Path, database: Path, attempt: int
) -> None:
    with ThreadPoolExecutor(16) as pool:
        clients = [client_of(program, database) for _number in range(16)]
        answers = list(pool.map(sign, clients, map(str, range(16))))
    assert {answer.status for answer in answers} == {303}, [answer.log for answer in answers]
    assert sorted(int(name) for name, _message in rows(database)) == list(range(16))


# --- other users and folders that are not theirs ---


@pytest.fixture
def shared(program: Path) -> Iterator[Path]:
    """A folder with the program and a database of one entry, which nobody may write to."""
    with tempfile.TemporaryDirectory(prefix="guestbook-") as name:
        folder = Path(name)
        shutil.copy2(program, folder / "guestbook")
        sign(client_of(program, folder / "guestbook.db"))
        folder.chmod(0o555)
        (folder / "guestbook.db").chmod(0o444)
        yield folder
        folder.chmod(0o755)


def as_nobody(folder: Path, body: bytes = b"", database: str = "guestbook.db") -> Answer:
    """What the folder's program answers, run by one who has no more rights than all have."""
    env = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_NAME": "/cgi-bin/guestbook",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(body)),
        "GUESTBOOK_DB": str(folder / database),
    }
    result = subprocess.run(
        [folder / "guestbook"],
        env=env,
        input=body,
        capture_output=True,
        user=None if os.geteuid() else NOBODY,
        timeout=30,
        check=False,
    )
    return parse_answer(result.stdout, result.stderr.decode(), result.returncode)


def test_a_folder_that_one_may_only_read_has_a_guestbook_to_read(shared: Path) -> None:
    answer = as_nobody(shared)
    assert answer.status == 200, answer.log
    assert "<h2>Ann</h2>" in answer.text
    assert sorted(path.name for path in shared.iterdir()) == ["guestbook", "guestbook.db"]


def test_its_name_may_have_any_characters(shared: Path) -> None:
    shared.chmod(0o755)
    (shared / "guestbook.db").rename(shared / "a?b#c%41 d")
    shared.chmod(0o555)
    assert "<h2>Ann</h2>" in as_nobody(shared, database="a?b#c%41 d").text


def test_what_is_still_in_the_log_of_another_s_database_is_read(shared: Path) -> None:
    shared.chmod(0o755)
    (shared / "guestbook.db").chmod(0o644)
    with closing(sqlite3.connect(shared / "guestbook.db", isolation_level=None)) as connection:
        connection.execute(guestbook.ADD, ("Bob", "Hello"))
        shared.chmod(0o555)
        assert "<h2>Bob</h2>" in as_nobody(shared).text
        shared.chmod(0o755)


def test_nobody_signs_what_is_read_only(shared: Path) -> None:
    answer = as_nobody(shared, b"name=Bob&message=Hello")
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert "nativecgi: POST /cgi-bin/guestbook: sqlite3.OperationalError" in answer.log


def test_a_database_that_one_may_not_read_is_an_error(shared: Path) -> None:
    (shared / "guestbook.db").chmod(0)
    answer = as_nobody(shared)
    assert answer.status == 500
    assert "unable to open database file" in answer.log


# --- behind servers ---


@pytest.fixture(scope="module")
def served() -> Iterator[Path]:
    """The path of a database that the server's user may make."""
    with tempfile.TemporaryDirectory(prefix="guestbook-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder, "guestbook.db")


@pytest.fixture(scope="module")
def server(cgi_bin: Path, served: Path) -> Iterator[Server]:
    with apache.serving(cgi_bin, environment={"GUESTBOOK_DB": str(served)}) as running:
        yield running


def exchange(server: Server, form: dict[str, str] | None = None) -> tuple[int, str]:
    """A request, and the status and page of its answer: redirections are not followed."""
    address = urlsplit(f"{server.url}/guestbook")
    method, body = ("GET", None) if form is None else ("POST", urlencode(form))
    with closing(http.client.HTTPConnection(address.netloc, timeout=60)) as connection:
        connection.request(method, address.path, body, {"Content-Type": FORM})
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_no_entry_is_lost_while_many_write_and_read(server: Server, served: Path) -> None:
    names = [f"visitor {number}" for number in range(ENTRIES)]
    is_over = threading.Event()

    def write(name: str) -> int:
        return exchange(server, {"name": name, "message": "Hello <world>"})[0]

    def read() -> set[tuple[int, bool]]:
        seen = set()
        while not is_over.is_set():
            status, page = exchange(server)
            seen.add((status, page.startswith(guestbook.HEAD) and page.endswith("</article>\n")))
        return seen

    assert write("the first") == 303
    with ThreadPoolExecutor(CLIENTS) as writers, ThreadPoolExecutor(READERS) as readers:
        reading = [readers.submit(read) for _number in range(READERS)]
        statuses = set(writers.map(write, names))
        is_over.set()
        seen = set().union(*(reader.result() for reader in reading))
    assert statuses == {303}, server.error_log.read_text()
    assert seen == {(200, True)}, server.error_log.read_text()
    assert sorted(name for name, _message in rows(served)) == sorted(["the first", *names])
    assert server.error_log.read_text().count("guestbook") == 0


@pytest.mark.parametrize("serve", [apache.serving, nginx.serving, lighttpd.serving])
def test_it_is_read_and_signed_behind_each_server(
    cgi_bin: Path, serve: Callable[..., AbstractContextManager[Server]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="guestbook-") as folder:
        Path(folder).chmod(0o777)
        environment = {"GUESTBOOK_DB": f"{folder}/guestbook.db"}
        with serve(cgi_bin, environment=environment) as server:
            assert "Nobody has signed yet" in exchange(server)[1]
            assert exchange(server, {"name": "Zoë", "message": "<b>"})[0] == 303
            status, page = exchange(server)
    assert status == 200
    assert "<h2>Zoë</h2>" in page
    assert "<p>&lt;b&gt;</p>" in page
