"""What real programs trip over: tests/apps/situations.py, in plain Python and as a built program.

docs/situations.md says where each was met.
"""

import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from msgspec import Struct

from servers import apache, lighttpd, nginx
from servers.server import Server
from tests.conftest import ROOT
from tests.gateways.test_cgi import ERROR, SECONDS

SOURCE = ROOT / "tests" / "apps" / "situations.py"
NAMES = re.findall(r"^@situation\ndef (\w+)", SOURCE.read_text(), re.MULTILINE)
SERVING = {"apache": apache.serving, "nginx": nginx.serving, "lighttpd": lighttpd.serving}

# Little more than a server must set (RFC 3875 4.1), and no locale, home or user.
ENVIRONMENT = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "PATH": "/usr/bin:/bin",
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "/cgi-bin/situations",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
}
CRASHES = {
    "abort": signal.SIGABRT,
    "read_null": signal.SIGSEGV,
    "overflow_stack": signal.SIGSEGV,
}


class Outcome(Struct):
    status: int
    output: bytes
    log: bytes


Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def folder(builder: Path) -> Path:
    """A folder with the program."""
    output = ROOT / "build" / "tests" / "situations"
    command = [str(builder), str(ROOT / "build.py"), "-o", str(output), str(SOURCE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return output


@pytest.fixture
def plain(builder: Path, tmp_path: Path) -> Run:
    """Has plain Python answer: `plain("/signatures")`."""
    return lambda path: outcome([builder, SOURCE], path, tmp_path, PYTHONPATH=str(ROOT))


@pytest.fixture
def built(folder: Path, tmp_path: Path) -> Run:
    """Has the built program answer."""
    return lambda path: outcome([folder / "situations"], path, tmp_path)


def outcome(command: list[Path], path: str, cwd: Path, **env: str) -> Outcome:
    done = subprocess.run(
        command,
        env=ENVIRONMENT | {"PATH_INFO": path} | env,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", NAMES)
def test_a_built_program_does_what_plain_python_does(plain: Run, built: Run, name: str) -> None:
    expected = plain(f"/{name}")
    assert expected.status == 0
    assert expected.output.startswith(b"Status: 200 OK\r\n"), expected.log
    assert built(f"/{name}") == expected


def test_the_list_has_each_situation_once_and_no_other() -> None:
    table = (ROOT / "docs" / "situations.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(NAMES)


# --- what differs, as the list says ---


def test_a_function_made_from_a_compiled_ones_code_fails_and_says_so(
    plain: Run, built: Run
) -> None:
    assert plain("/crash/copy_function").output.endswith(b"survived")
    copied = built("/crash/copy_function")
    assert (copied.status, copied.output) == (0, ERROR)
    assert copied.log.startswith(b"nativecgi: GET /cgi-bin/situations/crash/copy_function: Runtime")
    assert b" in copy_function\n" in copied.log


# --- crashes ---


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_is_answered_and_logged(built: Run, name: str) -> None:
    number = CRASHES[name]
    crashed = built(f"/crash/{name}")
    assert (crashed.status, crashed.output) == (-number, ERROR)
    first, *rest = crashed.log.decode().splitlines()
    assert first.startswith(f"nativecgi: GET /cgi-bin/situations/crash/{name}: {number.name} (")
    functions = {line.rpartition(" in ")[2] for line in rest}
    assert {"handle", "respond"} <= functions or "down" in functions


def test_a_crash_is_answered_in_a_program_that_is_not_frozen(
    folder: Path, builder: Path, tmp_path: Path
) -> None:
    command = [
        str(builder),
        str(ROOT / "build.py"),
        "--no-freeze",
        "-o",
        str(tmp_path),
        str(SOURCE),
    ]
    subprocess.run(command, capture_output=True, check=True)
    crashed = outcome([tmp_path / "situations"], "/crash/read_null", tmp_path)
    assert (crashed.status, crashed.output) == (-signal.SIGSEGV, ERROR)


@pytest.fixture(scope="module", params=SERVING)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="situations-") as name:
        cgi_bin = Path(name)
        cgi_bin.chmod(0o755)
        shutil.copy2(folder / "situations", cgi_bin)
        with SERVING[request.param](cgi_bin) as running:
            yield running


@pytest.mark.parametrize("body", [None, b"x" * 300_000], ids=["get", "post"])
def test_a_server_passes_the_answer_to_a_crash_on(server: Server, body: bytes | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as failure:
        urlopen(Request(f"{server.url}/situations/crash/read_null", body), timeout=SECONDS)
    with failure.value as answer:
        assert (answer.code, answer.read()) == (500, b"Internal Server Error\n")
    deadline = time.monotonic() + SECONDS
    while " in handle" not in (log := server.error_log.read_text()):
        assert time.monotonic() < deadline, log
        time.sleep(0.01)
    assert "/situations/crash/read_null: SIGSEGV (" in log
