"""A Django project with its admin, its static files and SQLite, as one file in an empty folder."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from nativecgi.testing import Answer, Client

ROOT = Path(__file__).parents[2]
NAME = "bookshelf"
PYTHON = ROOT / "build" / "apps" / NAME / "venv" / "bin" / "python"
PASSWORD = "Aldous-Leonard"
HOSTS = "testserver 127.0.0.1 localhost"


@pytest.fixture(scope="module")
def migrated(example: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as one makes it beside the program, with a superuser named ann."""
    example(NAME)  # makes the environment
    folder = tmp_path_factory.mktemp("database")
    (folder / "key").write_bytes(os.urandom(16).hex().encode())
    variables = {
        "BOOKSHELF_DB": str(folder / "db"),
        "BOOKSHELF_KEY": str(folder / "key"),
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    ann = ("createsuperuser", "--noinput", "--username=ann", "--email=ann@example.com")
    for command in (("migrate", "--verbosity=0"), ann):
        subprocess.run(
            [PYTHON, "-m", "bookshelf.manage", *command],
            cwd=ROOT / "examples",
            env=variables,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return folder / "db"


@pytest.fixture
def environment(served: Path) -> dict[str, str]:
    """What the program reads from it, with a key and without a database."""
    key = served / "key"
    key.write_text(os.urandom(16).hex())
    key.chmod(0o644)
    return {
        "BOOKSHELF_DB": str(served / "db"),
        "BOOKSHELF_KEY": str(key),
        "BOOKSHELF_HOSTS": HOSTS,
    }


@pytest.fixture
def database(migrated: Path, served: Path) -> None:
    shutil.copyfile(migrated, served / "db")
    (served / "db").chmod(0o666)


@pytest.fixture
def shelf(visit: Callable[..., Client], environment: dict[str, str], database: None) -> Client:
    return visit(NAME, **environment)


def submit(client: Client, url: str, **form: str) -> Answer:
    """Fill in the form of a page."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(url).text)
    assert found, "the form has a token"
    return client.post(url, form={"csrfmiddlewaretoken": found[1], **form})


def log_in(client: Client, password: str = PASSWORD) -> Answer:
    return submit(client, "/admin/login/", username="ann", password=password, next="/admin/")


def test_templates_are_in_the_file(shelf: Client) -> None:
    answer = shelf.get("/")
    assert (answer.status, answer.log) == (200, "")
    assert "<h1>Bookshelf</h1>" in answer.text


def test_a_book_is_put_on_the_shelf(shelf: Client) -> None:
    assert submit(shelf, "/", title="Emma & Co", author="Jane", read_on="2026-11-24").status == 302
    page = shelf.get("/").text
    assert '<p class="message">Emma &amp; Co is on the shelf.</p>' in page
    assert '/books/1/">Emma &amp; Co</a>' in page
    assert "<p>Jane, <time>Nov. 24, 2026</time></p>" in shelf.get("/books/1/").text
    assert 'class="message"' not in shelf.get("/").text, "said once"


def test_a_date_is_in_the_visitor_s_language(shelf: Client) -> None:
    submit(shelf, "/", title="Emma", author="Jane", read_on="2026-11-24")
    german = shelf.get("/books/1/", headers={"Accept-Language": "de"})
    assert "<time>24. November 2026</time>" in german.text


def test_a_book_without_a_title_is_refused(shelf: Client) -> None:
    answer = submit(shelf, "/", title="", author="Jane")
    assert answer.status == 200
    assert "This field is required." in unescape(answer.text)
    assert "/books/1/" not in shelf.get("/").text


def test_a_form_without_its_token_is_refused(shelf: Client) -> None:
    form = {"title": "Emma", "author": "Jane"}
    assert shelf.post("/", form=form).status == 403
    shelf.get("/")  # sets the cookie, which is not enough
    assert shelf.post("/", form=form).status == 403
    assert shelf.post("/", form={**form, "csrfmiddlewaretoken": "x" * 64}).status == 403


def test_every_visitor_has_a_token_of_their_own(shelf: Client) -> None:
    """That of the warm-up would be everybody's."""
    tokens = set()
    for _visitor in range(3):
        shelf.cookies.clear()
        shelf.get("/")
        tokens.add(shelf.cookies["csrftoken"])
    assert len(tokens) == 3


def test_a_book_that_is_not_there_has_a_page_that_says_so(shelf: Client) -> None:
    for path in ("/books/7/", "/nonesuch"):
        answer = shelf.get(path)
        assert answer.status == 404
        assert "<h1>Not on the shelf</h1>" in answer.text


@pytest.mark.parametrize("name", ["css/base.css", "js/theme.js", "img/icon-yes.svg"])
def test_static_files_are_those_of_the_package(shelf: Client, name: str) -> None:
    (source,) = PYTHON.parent.parent.glob(
        f"lib/*/site-packages/django/contrib/admin/static/*/{name}"
    )
    answer = shelf.get(f"/static/admin/{name}")
    assert (answer.status, answer.body) == (200, source.read_bytes())
    tag = answer.headers["etag"]
    assert shelf.get(f"/static/admin/{name}", headers={"If-None-Match": tag}).status == 304


def test_a_static_file_that_is_not_there_is_not_found(shelf: Client) -> None:
    for name in ("nonesuch.css", "../settings.py", "../templates/404.html"):
        assert shelf.get(f"/static/{name}").status == 404


def test_links_to_static_files_lead_to_the_program(shelf: Client) -> None:
    page = shelf.get("/admin/login/").text
    links = re.findall(r'<link rel="stylesheet" href="(.*?)/static/admin/(.*?)">', page)
    assert len(links) > 3
    assert {program for program, _name in links} <= {
        "/cgi-bin/program",
        f"/cgi-bin/{NAME}",
        f"/{NAME}",
    }
    for _program, name in links:
        assert shelf.get(f"/static/admin/{name}").status == 200


def test_the_admin_speaks_the_visitor_s_language(shelf: Client) -> None:
    """Whatever the language of the warm-up's last request."""
    for language, word in (("de", "Anmelden"), ("en", "Log in"), ("", "Log in")):
        answer = shelf.get("/admin/login/", headers={"Accept-Language": language})
        assert f"<title>{word} |" in answer.text
        assert answer.headers["content-language"] == (language or "en")


def test_the_admin_is_closed_to_others(shelf: Client) -> None:
    assert shelf.get("/admin/").status == 302
    assert log_in(shelf, "wrong").status == 200
    assert shelf.get("/admin/").status == 302


def test_a_book_is_added_in_the_admin(shelf: Client) -> None:
    assert log_in(shelf).status == 302
    add = "/admin/bookshelf/book/add/"
    assert submit(shelf, add, title="Emma", author="Jane", read_on="").status == 302
    books = shelf.get("/admin/bookshelf/book/").text
    assert "was added successfully." in books
    assert "1 book" in books
    assert '<span class="mini quiet">Book</span>' in shelf.get("/admin/").text, "the log's type"
    assert "/books/1/" in shelf.get("/").text


def test_another_key_ends_a_login(shelf: Client, served: Path) -> None:
    log_in(shelf)
    assert shelf.get("/admin/").status == 200
    (served / "key").write_text(os.urandom(16).hex())
    assert shelf.get("/admin/").status == 302


@pytest.mark.usefixtures("database")
def test_without_a_key_the_answer_is_a_failure(
    visit: Callable[..., Client], environment: dict[str, str]
) -> None:
    del environment["BOOKSHELF_KEY"]
    assert visit(NAME, **environment).get("/").status == 500


def test_the_database_is_the_process_s_and_a_failure_tells_nothing(
    visit: Callable[..., Client], environment: dict[str, str]
) -> None:
    """The tables that the warm-up had are not in the server's database."""
    answer = visit(NAME, **environment).get("/")
    assert answer.status == 500
    assert "Traceback" not in answer.text
    assert "bookshelf" not in answer.text
    assert not answer.log or "no such table: bookshelf_book" in answer.log


@pytest.mark.usefixtures("database")
def test_an_unknown_host_is_refused(
    visit: Callable[..., Client], environment: dict[str, str]
) -> None:
    shelf = visit(NAME, **{**environment, "BOOKSHELF_HOSTS": "books.example"})
    assert shelf.get("/").status == 400


def test_the_keys_of_processes_are_not_in_the_file(
    shelf: Client, example: Callable[[str], Path], migrated: Path, served: Path
) -> None:
    shelf.get("/")
    program = example(NAME).read_bytes()
    for key in (served / "key", migrated.with_name("key")):
        assert key.read_bytes() not in program
