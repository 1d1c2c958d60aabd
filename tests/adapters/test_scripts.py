"""tests/scripts: old CGI scripts as they stand, by the interpreter, frozen, and behind servers."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from nativecgi.testing import _multipart
from servers import apache, lighttpd, nginx
from servers.server import Server
from tests.conftest import ROOT
from tests.gateways.test_cgi import GET, SECONDS
from tests.test_servers import fetch

SCRIPTS = sorted((ROOT / "tests" / "scripts").glob("*.cgi"))
SERVING = {"apache": apache.serving, "nginx": nginx.serving, "lighttpd": lighttpd.serving}
FLAGS = {"upload": ["-u"]}
MAIL = {"name": "Zoë", "email": "zoe@example.com", "text": "Guten Tag!\nZoë"}

# Header, body and what is in the error log.
Ask = Callable[..., tuple[str, bytes, str]]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cgi") is None, reason="legacy-cgi is not installed"
)


@pytest.fixture(scope="session")
def built(builder: Path) -> Path:
    """A folder with the scripts, built."""
    folder = ROOT / "build" / "tests" / "scripts"
    paths = [ROOT / "build.py", "-o", folder, "--script", *SCRIPTS]
    command = [str(builder), *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(params=["plain", "frozen"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Ask:
    """Runs a script or its program, in the folder it is in, as a server does."""
    is_frozen = request.param == "frozen"
    built = request.getfixturevalue("built") if is_frozen else None

    def run(name: str, body: bytes = b"", **env: str) -> tuple[str, bytes, str]:
        if built:
            shutil.copy2(built / name, tmp_path)
            command = [str(tmp_path / name)]
        else:
            shutil.copy2(ROOT / "tests" / "scripts" / f"{name}.cgi", tmp_path)
            flags = ["-Wignore", *FLAGS.get(name, [])]
            command = [sys.executable, *flags, str(tmp_path / f"{name}.cgi")]
        env = GET | {"SCRIPT_NAME": f"/cgi-bin/{name}", "HTTP_HOST": "a.example"} | env
        if body:
            env |= {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}
        done = subprocess.run(
            command,
            input=body,
            env=env,
            cwd=tmp_path,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        head, _empty, rest = done.stdout.partition(b"\n\n")
        return head.decode(), rest, done.stderr.decode()

    return run


def form(fields: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return urlencode(fields).encode(), {"CONTENT_TYPE": "application/x-www-form-urlencoded"}


def upload(name: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    media_type, body = _multipart([], {"file": (name, content, "application/octet-stream")})
    return body, {"CONTENT_TYPE": media_type}


# --- a mail from a form ---


def test_a_form_is_sent_to_a_command(ask: Ask, tmp_path: Path) -> None:
    body, env = form(MAIL)
    sent = tmp_path / "mail"
    head, page, log = ask("formmail", body, FORMMAIL_SENDMAIL=f"cat > {sent}", **env)
    assert (head, log) == ("Content-Type: text/html; charset=utf-8", "")
    assert "<h1>Danke, Zoë!</h1>" in page.decode()
    date = time.strftime("%d.%m.%Y")
    assert sent.read_text() == (
        "To: webmaster\nFrom: Zoë <zoe@example.com>\nSubject: Anfrage\n\n"
        f"Guten Tag!\nZoë\n-- \n192.0.2.1 am {date}\n"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "", "email": "a@b.c", "text": "x"}, "Das Feld name fehlt."),
        ({"name": "x", "email": "<a>", "text": "x"}, "Keine Adresse: &lt;a&gt;"),
    ],
)
def test_a_form_that_is_not_right(
    ask: Ask, tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    body, env = form(fields)
    _head, page, log = ask("formmail", body, FORMMAIL_SENDMAIL=f"cat > {tmp_path}/mail", **env)
    assert f"<h1>Bitte prüfen</h1>\n<p>{message}</p>" in page.decode()
    assert log == ""
    assert not (tmp_path / "mail").exists()


def test_a_form_that_was_not_sent(ask: Ask) -> None:
    _head, page, log = ask("formmail")
    assert "Bitte füllen Sie das Formular aus." in page.decode()
    assert log == ""


def test_a_failure_is_shown_as_cgitb_is_told_to(ask: Ask) -> None:
    body, env = form(MAIL)
    _head, page, log = ask("formmail", body, FORMMAIL_SENDMAIL="false", **env)
    assert b"problem occurred in a Python script" in page
    assert (b"sendmail failed" in page, log) == (False, "")  # display=0


# --- files ---


@pytest.mark.parametrize("size", [0, 100, 3_000_000])
def test_a_file_is_taken_and_given_back(ask: Ask, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    body, env = upload("C:\\Zoë's\\photo 1.gif", content)
    head, rest, log = ask("upload", body, **env)
    assert (head, rest, log) == (
        "Status: 303 See Other\nLocation: http://a.example/cgi-bin/upload", b"", ""
    )  # fmt: skip
    assert (tmp_path / "files" / "photo 1.gif").read_bytes() == content
    _head, page, log = ask("upload")
    assert f'<a href="?get=photo%201.gif">photo 1.gif</a> ({size} bytes)' in page.decode()
    head, rest, log = ask("upload", QUERY_STRING="get=photo+1.gif")
    assert head == f"Content-Type: application/octet-stream\nContent-Length: {size}"
    assert (rest, log) == (content, "")


def test_a_folder_may_be_named(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    body, env = upload("a", b"x")
    ask("upload", body, UPLOAD_FOLDER=str(folder), **env)
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_a_file_that_is_not_there(ask: Ask) -> None:
    _head, _rest, log = ask("upload", QUERY_STRING="get=none")
    assert "FileNotFoundError: [Errno 2] No such file or directory:" in log
    assert 'upload.cgi", line 53, in <module>' in log


# --- a counter ---


def test_it_counts(ask: Ask, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        head, page, log = ask("counter")
        assert (head, log) == ("Content-type: text/html", "")
        assert page.decode() == (
            f"<b>{number:06}</b>\nseen: {number}\n<!-- from the shell -->\n<!-- bye -->\n"
        )
    assert (tmp_path / "counter.txt").read_text() == "3"


def test_it_fails_behind_its_page(ask: Ask) -> None:
    _head, page, log = ask("counter", QUERY_STRING="fail")
    assert page.endswith(b"<!-- from the shell -->\n<!-- bye -->\n")
    assert re.search(r'counter\.cgi", line 35, in <module>\n[^$]*KeyError: .no such page', log)


# --- what a script finds ---

# What is not as in Python, and why.
DIFFERENT = {
    **dict.fromkeys(
        ["sys/executable", "sys/_base_executable"], "it is the program; there is no interpreter"
    ),
    **dict.fromkeys(
        ["sys/_stdlib_dir", "sys/base_exec_prefix", "sys/base_prefix", "sys/exec_prefix",
         "sys/platlibdir", "sys/prefix", "names/sys/_home"],
        "there is no installation of Python",
    ),
    **dict.fromkeys(
        ["sys/flags", "names/sys/__interactivehook__", "names/builtins/copyright",
         "names/builtins/credits", "names/builtins/help", "names/builtins/license"],
        "the module site is left out, and what it defines for people at a terminal",
    ),
    **dict.fromkeys(
        ["names/main/__compiled__", "names/builtins/__nuitka_binary_dir",
         "names/builtins/__nuitka_binary_exe"],
        "Nuitka's",
    ),
}  # fmt: skip

BODY = b"a\r\nb\rc\n"
MODES = (
    "input lines osread osread_part fdopen open0 readn bufread bufall bufline rawread json select "
    "fileinput detach reconf newline close child half none"
).split()

Both = tuple[subprocess.CompletedProcess[bytes], subprocess.CompletedProcess[bytes]]


@pytest.fixture
def find(built: Path, tmp_path: Path) -> Callable[..., Both]:
    """Runs finds.cgi by Python and as a program, each in a folder of its own."""
    plain, program = tmp_path / "plain" / "finds.cgi", tmp_path / "built" / "finds.cgi"
    sources = {plain: ROOT / "tests" / "scripts" / "finds.cgi", program: built / "finds"}
    for file, source in sources.items():
        file.parent.mkdir()
        shutil.copy2(source, file)
    # An environment's Python would be another installation.
    python = Path(sys.executable).resolve()

    def run(mode: str, body: bytes = b"") -> Both:
        env = {"QUERY_STRING": mode, "REQUEST_METHOD": "GET", "LANG": "C.UTF-8"}
        if body:
            env |= {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}

        def run_one(file: Path, *command: Path) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [*command, file],
                input=body,
                env=env,
                cwd=file.parent,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )

        return run_one(plain, python), run_one(program)

    return run


def flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """What a script has found, by the path to it; what it has listed names for, name by name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    elif name.startswith("names/"):
        yield from ((f"{name}/{inner}", "") for inner in value)
    else:
        yield name, json.dumps(value)


@pytest.mark.parametrize("mode", ["streams", "sys", "names", "main", "source"])
@pytest.mark.parametrize("body", [b"", BODY], ids=["GET", "POST"])
def test_a_script_finds_what_it_finds_in_python(
    find: Callable[..., Both], mode: str, body: bytes
) -> None:
    plain, program = find(mode, body)
    assert (plain.stderr, program.stderr) == (b"", b"")
    alike = program.stdout.replace(b"/built/", b"/plain/").replace(b'/built"', b'/plain"')
    ours, pythons = (
        set(flat(json.loads(output.partition(b"\n\n")[2]), mode))
        for output in (alike.replace(b"/built'", b"/plain'"), plain.stdout)
    )
    assert {name for name, _value in ours ^ pythons} <= DIFFERENT.keys()


@pytest.mark.parametrize("mode", MODES)
def test_standard_input_is_read_as_in_python(find: Callable[..., Both], mode: str) -> None:
    plain, program = find(mode, b"[1,\r\n2]" if mode == "json" else BODY)
    assert (plain.returncode, program.returncode) == (0, 0)
    assert program.stdout == plain.stdout


@pytest.mark.parametrize(("mode", "status"), [("exit", 3), ("quit", 0)])
def test_exit_and_quit_end_a_script(find: Callable[..., Both], mode: str, status: int) -> None:
    for done in find(mode):
        assert (done.returncode, done.stderr) == (status, b"")


def test_a_program_that_takes_itself_for_python_is_told_so(built: Path, tmp_path: Path) -> None:
    """Here by a child of a process of its name."""
    parent = tmp_path / "finds"
    parent.write_text(f"#!/bin/sh\n{built}/finds -c 'print(1)'\nexit $?\n")
    parent.chmod(0o755)
    done = subprocess.run([parent], env=GET, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"was started by a request of its own" in done.stderr


# --- behind a server ---


@pytest.fixture(scope="module", params=SERVING)
def serving(request: pytest.FixtureRequest) -> Any:
    return SERVING[request.param]


@pytest.fixture(scope="module")
def folder(built: Path, serving: Any) -> Iterator[Path]:
    """With the programs, and nothing of another server's."""
    with tempfile.TemporaryDirectory(prefix="scripts-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # its user is another
        for script in SCRIPTS:
            shutil.copy2(built / script.stem, folder)
        yield folder


@pytest.fixture(scope="module")
def server(folder: Path, serving: Any) -> Iterator[Server]:
    environment = {"FORMMAIL_SENDMAIL": f"cat > {folder}/mail"}
    with serving(folder, environment=environment) as running:
        yield running


def test_a_form_through_a_server(server: Server, folder: Path) -> None:
    body, _env = form(MAIL)
    page = fetch(f"{server.url}/formmail", body)
    assert "<h1>Danke, Zoë!</h1>" in page.decode()
    assert "Guten Tag!\nZoë\n" in (folder / "mail").read_text()


def test_a_file_through_a_server(server: Server) -> None:
    content = os.urandom(2_000_000)
    body, env = upload("ä", content)
    page = fetch(f"{server.url}/upload", body, **{"Content-Type": env["CONTENT_TYPE"]})
    assert "(2000000 bytes)" in page.decode()  # it has redirected there
    assert fetch(f"{server.url}/upload?get={quote('ä')}") == content


def test_a_counter_through_a_server(server: Server) -> None:
    with ThreadPoolExecutor(8) as clients:
        pages = list(clients.map(lambda _n: fetch(f"{server.url}/counter"), range(40)))
    numbers = [int(page[3:9]) for page in pages]
    assert sorted(numbers) == list(range(1, 41))


def test_an_unread_body_through_a_server(server: Server) -> None:
    assert b"<!-- bye -->" in fetch(f"{server.url}/counter", b"x" * 1_000_000)


def test_a_failure_through_a_server(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{server.url}/upload?get=none")
    caught.value.close()
    assert caught.value.code == 500
    assert "FileNotFoundError" in server.error_log.read_text()
