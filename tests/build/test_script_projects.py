"""Scripts with a project around them, by Python beside all of it, and as programs that lie alone.

tests/scripts/pages is Flask's: modules, templates and static files beside the script.
tests/scripts/shelf is Django's, in a folder that the script adds to sys.path.
"""

import json
import shutil
import sqlite3
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from nativecgi.testing import _multipart
from nativecgi_build.build.finding import find_apps
from nativecgi_build.build.records import Compiled, read_record
from servers import apache
from tests.checkout import SETTINGS, WORK
from tests.conftest import ROOT
from tests.gateways.test_cgi import SECONDS

PROJECTS = ROOT / "tests" / "scripts"
NAMES = ("pages", "shelf")
GET = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REQUEST_METHOD": "GET",
    "HTTP_HOST": "a.example",
    "SERVER_NAME": "a.example",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "QUERY_STRING": "",
}


class Answer(Struct):
    """What a process has answered."""

    status: str
    headers: dict[str, str]
    body: str
    log: str


Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def projects(builder: Path) -> Path:
    """A folder with the programs of both."""
    folder = ROOT / "build" / "tests" / "projects"
    scripts = [str(PROJECTS / name / f"{name}.cgi") for name in NAMES]
    command = [str(builder), str(ROOT / "build.py"), "-o", str(folder), "--script", *scripts]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (folder / "told").write_text(result.stdout)
    return folder


@pytest.fixture(params=["plain", "frozen"])
def ask(request: pytest.FixtureRequest, projects: Path, tmp_path: Path) -> Ask:
    """Asks a script or its program for a page, in the folder it is in, as a server does."""
    is_frozen = request.param == "frozen"

    def run(name: str, path: str, body: bytes = b"", **env: str) -> Answer:
        if is_frozen:
            shutil.copy2(projects / name, tmp_path)
            command = [str(tmp_path / name)]
        else:
            shutil.copytree(PROJECTS / name, tmp_path, dirs_exist_ok=True)
            python = WORK / name / "venv" / "bin" / "python"
            command = [str(python), "-Wignore", str(tmp_path / f"{name}.cgi")]
        if body:
            env |= {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}
        done = subprocess.run(
            command,
            input=body,
            env=GET | {"SCRIPT_NAME": f"/cgi-bin/{name}", "PATH_INFO": path} | env,
            cwd=tmp_path,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        head, _empty, text = done.stdout.replace(b"\r\n", b"\n").partition(b"\n\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return Answer(headers.pop("Status")[:3], headers, text.decode(), done.stderr.decode())

    return run


# --- pages: Flask ---


def test_a_template_beside_the_script_is_rendered(ask: Ask) -> None:
    answer = ask("pages", "/a-page")
    assert (answer.status, answer.log) == ("200", "")
    assert answer.body == (
        '<h1>A Page</h1><a href="/cgi-bin/pages/two-%C3%A4">two</a>\n'
        '<link rel="stylesheet" href="/cgi-bin/pages/static/style.css">'
    )


def test_a_static_file_is_served(ask: Ask) -> None:
    answer = ask("pages", "/static/style.css")
    assert (answer.status, answer.body) == ("200", "h1 { color: red }\n")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"


def test_a_redirect_names_the_script(ask: Ask) -> None:
    answer = ask("pages", "/")
    assert (answer.status, answer.headers["Location"]) == ("302", "/cgi-bin/pages/start")


def test_a_form_with_a_file_is_taken(ask: Ask) -> None:
    media_type, body = _multipart([("name", "Zoë")], {"file": ("ä.txt", b"x" * 200_000, "a/b")})
    assert ask("pages", "/name", body, CONTENT_TYPE=media_type).body == "Zoë ä.txt"


def test_a_page_that_fails_is_500_and_in_the_log(ask: Ask) -> None:
    answer = ask("pages", "/fail")
    assert answer.status == "500"
    assert "RuntimeError: a page fails" in answer.log
    assert 'raise RuntimeError("a page fails")' not in answer.body


def test_what_is_hidden_or_not_of_the_project_is_not_in_the_program(projects: Path) -> None:
    content = (projects / "pages").read_bytes()
    assert b"h1 { color: red }" in content
    assert b"never-in-a-program" not in content
    assert b"not for a program" not in content


def test_the_build_tells_what_is_in_the_programs(projects: Path) -> None:
    for app in find_apps([], SETTINGS, [str(PROJECTS / name / f"{name}.cgi") for name in NAMES]):
        compiled = read_record(WORK / app.name / "compiled.json", Compiled)
        assert compiled is not None
        for note in compiled.notes:
            assert f"{app.name}: {note}" in (projects / "told").read_text()
    assert (
        "pages: from its folder the program has extension.py, site_of_pages.py, "
        "static/ (1 file), templates/ (1 file)\n"
        "pages: not in the program, though beside its modules: notes.txt\n"
    ) in (projects / "told").read_text()


# --- shelf: Django ---


def test_settings_that_name_modules_by_strings_are_found(ask: Ask) -> None:
    answer = ask("shelf", "/", QUERY_STRING="name=Zo%C3%AB")
    assert (answer.status, answer.body, answer.log) == ("200", "<h1>Books of Zoë</h1>\n", "")


def test_a_database_beside_the_program_is_read(ask: Ask, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shelf.db") as database:
        database.execute("create table books_book (id integer primary key, title text)")
        database.execute("insert into books_book (title) values ('Zoë'), ('Ada')")
    database.close()
    assert json.loads(ask("shelf", "/books/").body) == {"books": ["Ada", "Zoë"]}


def test_settings_of_the_process_are_as_the_script_sets_them(ask: Ask) -> None:
    where = {"settings": "shelf.settings", "beside": True, "path": True}
    assert json.loads(ask("shelf", "/where/").body) == where


def test_what_the_server_sets_comes_before_a_default(projects: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [shutil.copy2(projects / "shelf", tmp_path)],
        env=GET | {"PATH_INFO": "/where/", "DJANGO_SETTINGS_MODULE": "the.server's"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert b'"settings": "the.server\'s"' in done.stdout


# --- behind a server ---


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pages/a-b", "<h1>A B</h1>"),
        ("pages/static/style.css", "color: red"),
        ("shelf?name=Ann", "<h1>Books of Ann</h1>"),
    ],
)
def test_behind_apache(projects: Path, served: Path, path: str, text: str) -> None:
    for name in NAMES:
        shutil.copy2(projects / name, served)
    with (
        apache.serving(served) as server,
        urllib.request.urlopen(f"{server.url}/{path}", timeout=SECONDS) as answer,
    ):
        assert text in answer.read().decode()
