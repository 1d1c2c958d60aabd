"""nativecgi.websocket: built programs under a real websocketd, and alone with pipes for it."""

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect as aconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from nativecgi.testing import Client
from servers import apache, websocketd
from servers.server import Server
from tests.test_servers import descendants

MIB = 1024 * 1024
SECONDS = 30  # after which something hangs
SOON = 5  # seconds, within which no process is left
CLIENTS = 100

# What websocketd sets, and a web server does not.
SESSION = {"GATEWAY_INTERFACE": "websocketd-CGI/0.1", "REQUEST_METHOD": "GET"}


@pytest.fixture(scope="module")
def programs(cgi_bin: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sessions-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for program in ("binary", "sessions", "websocket"):
            shutil.copy2(cgi_bin / program, folder)
        yield folder


@pytest.fixture(scope="module")
def server(programs: Path) -> Iterator[Server]:
    with websocketd.serving(programs, environment={"OWN": "its own"}, cgi_bin=programs) as running:
        yield running


@pytest.fixture(scope="module")
def binary_server(programs: Path) -> Iterator[Server]:
    with websocketd.serving(programs, binary=True) as running:
        yield running


def address(server: Server, path: str) -> str:
    return f"{server.url.replace('http', 'ws', 1)}/{path}"


def session(server: Server, path: str, **headers: str) -> ClientConnection:
    return connect(
        address(server, path),
        additional_headers=headers,
        compression=None,
        proxy=None,
        max_size=None,
        close_timeout=1,
        open_timeout=SECONDS,
    )


def received(websocket: ClientConnection) -> Iterator[str]:
    """The messages, to the last."""
    with suppress(ConnectionClosed):
        while True:
            message = websocket.recv(SECONDS)
            assert isinstance(message, str)
            yield message


def await_that(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_empty(server: Server) -> bool:
    """Whether no session runs."""
    return not descendants(server.pid)


Log = Callable[[], list[str]]


@pytest.fixture
def log(server: Server) -> Log:
    """The lines that programs have written to the log since the test began."""
    before = len(server.error_log.read_bytes())

    def lines() -> list[str]:
        text = server.error_log.read_bytes()[before:].decode()
        return [line.split(" | ")[-1] for line in text.splitlines() if "| stderr " in line]

    return lines


class Alone:
    """A session without websocketd: a process, whose input stays open until it is closed."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    def said(self, line: bytes = b"waiting\n") -> None:
        assert self.stdout.readline() == line

    def ended(self, given: bytes = b"") -> tuple[int, bytes, str]:
        """Exit status, messages and log, when the input has ended with `given`."""
        output, errors = self.process.communicate(given, SECONDS)
        return self.process.returncode, output, errors.decode()

    def left(self) -> tuple[int, str]:
        """Exit status and log of one that ends although its input is still open."""
        status = self.process.wait(SECONDS)
        return status, self.stderr.read().decode()


@contextmanager
def alone(cgi_bin: Path, path: str) -> Iterator[Alone]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [cgi_bin / "sessions"],
        env=SESSION | {"SCRIPT_NAME": "/sessions", "PATH_INFO": f"/{path}"},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    ) as process:
        try:
            yield Alone(process)
        finally:
            process.kill()


# --- messages ---


def test_the_app_sends_each_message_back_reversed(server: Server) -> None:
    with session(server, "websocket") as websocket:
        for message, reversed_ in (("one", "eno"), ("", ""), ("Zoë 😀", "😀 ëoZ")):
            websocket.send(message)
            assert websocket.recv(SECONDS) == reversed_


@pytest.mark.parametrize("message", ["", " ", "a\tb", "\0", "\r", "Zoë ✓ 😀", "\u2028"])
def test_a_message_of_one_line_comes_as_it_is(server: Server, message: str) -> None:
    with session(server, "sessions/echo") as websocket:
        websocket.send(f"{message}.")
        assert websocket.recv(SECONDS) == f"{message}."


def test_a_message_may_have_a_mebibyte(server: Server) -> None:
    message = "".join(chr(ord("a") + number % 26) for number in range(MIB))
    with session(server, "sessions/echo") as websocket:
        websocket.send(message)
        assert websocket.recv(SECONDS) == message


# websocketd drops a carriage return at the end of what a program sends.
LINES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).map(
    lambda text: text.rstrip("\r")
)


@given(st.lists(LINES))
@settings(max_examples=30)
def test_all_messages_come_in_order(server: Server, messages: list[str]) -> None:
    with session(server, "sessions/echo") as websocket:
        for message in messages:
            websocket.send(message)
        assert [websocket.recv(SECONDS) for _message in messages] == messages


def test_a_message_with_line_breaks_is_several_for_the_session(server: Server) -> None:
    with session(server, "sessions/reverse") as websocket:
        websocket.send("one\ntwo\n")
        assert [websocket.recv(SECONDS) for _line in range(3)] == ["eno", "owt", ""]


def test_a_message_with_line_breaks_is_several_for_the_client(server: Server) -> None:
    with session(server, "sessions/query/text?text=one%0Atwo") as websocket:
        assert list(received(websocket)) == ["one", "two"]


def test_a_carriage_return_is_part_of_a_message(server: Server) -> None:
    with session(server, "sessions/reverse") as websocket:
        websocket.send("one\r")
        assert websocket.recv(SECONDS) == "\reno"


def test_bytes_that_are_no_utf8_are_replaced(server: Server) -> None:
    with session(server, "sessions/reverse") as websocket:
        websocket.send(b"a\xffb", text=True)
        assert websocket.recv(SECONDS) == "b\ufffda"


def test_a_message_that_is_too_long_ends_the_session(server: Server, log: Log) -> None:
    with session(server, "sessions/echo") as websocket:
        websocket.send("x" * (MIB + 1))
        assert list(received(websocket)) == []
    await_that(log)
    assert log() == ["nativecgi: /sessions: a message has more than 1048576 bytes"]


@pytest.mark.parametrize("path", ["echo", "echo/in-group"])
def test_the_rest_of_a_message_that_is_too_long_is_none(cgi_bin: Path, path: str) -> None:
    with alone(cgi_bin, path) as program:
        status, output, errors = program.ended(b"a\n" + b"x" * (MIB + 1) + b"\nb\n")
    assert (status, output) == (1, b"a\n")
    assert errors.count("\n") == 1


def test_a_message_that_breaks_off_is_none(cgi_bin: Path) -> None:
    with alone(cgi_bin, "echo") as program:
        assert program.ended(b"whole\npart") == (0, b"whole\n", "")


def test_what_many_tasks_send_arrives_whole(server: Server) -> None:
    with session(server, "sessions/together/300") as websocket:
        messages = list(received(websocket))
    assert {len(message) for message in messages} == {5000}
    assert [int(message.split()[0]) for message in messages] == list(range(300))


def test_what_was_sent_last_arrives_when_the_session_has_ended(server: Server) -> None:
    with session(server, "sessions/burst/1000") as websocket:
        time.sleep(0.5)
        assert len(list(received(websocket))) == 1000


# --- messages of bytes ---


def test_bytes_are_sent_back_as_they_are(binary_server: Server) -> None:
    data = bytes(range(256)) * 1000
    with session(binary_server, "binary") as websocket:
        websocket.send(data)
        assert received_bytes(websocket, len(data)) == data


def test_a_large_message_of_bytes_may_come_in_parts(binary_server: Server) -> None:
    with session(binary_server, "binary/mebibyte") as websocket:
        assert received_bytes(websocket, MIB) == bytes(range(256)) * 4096


def received_bytes(websocket: ClientConnection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = websocket.recv(SECONDS)
        assert isinstance(part, bytes)
        data += part
    return data


# --- the end ---


@pytest.mark.parametrize("path", ["echo", "sleep", "background", "group", "fill"])
def test_a_session_ends_with_its_client(server: Server, log: Log, path: str) -> None:
    with session(server, f"sessions/{path}") as websocket:
        if path in ("sleep", "background"):
            assert websocket.recv(SECONDS) == "waiting"
        await_that(lambda: not is_empty(server))
    await_that(lambda: is_empty(server), SOON)
    assert [line for line in log() if "nativecgi" in line] == []


def test_a_sessions_tasks_end_in_order(cgi_bin: Path) -> None:
    with alone(cgi_bin, "background") as program:
        program.said()
        assert program.ended() == (0, b"", "finally\n" + 2 * "finally in the background\n")


@pytest.mark.parametrize("path", ["echo", "sleep", "fill"])
def test_no_session_outlives_its_client_of_many_that_vanish(server: Server, path: str) -> None:
    async def vanish() -> None:
        url = address(server, f"sessions/{path}")
        opening = [aconnect(url, proxy=None, open_timeout=SECONDS) for _n in range(CLIENTS)]
        for client in await asyncio.gather(*opening):
            client.transport.abort()

    asyncio.run(vanish())
    await_that(lambda: is_empty(server), 3 * SOON)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_session_in_order(cgi_bin: Path, number: int) -> None:
    with alone(cgi_bin, "sleep") as program:
        program.said()
        program.process.send_signal(number)
        assert program.left() == (0, "finally\n")


def test_a_second_signal_does_not_break_off_the_end(cgi_bin: Path) -> None:
    with alone(cgi_bin, "sleep") as program:
        program.said()
        program.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        program.process.send_signal(signal.SIGTERM)
        assert program.left() == (0, "finally\n")


def test_messages_that_were_sent_before_the_client_went_are_still_read(cgi_bin: Path) -> None:
    with alone(cgi_bin, "slow") as program:
        assert program.ended(b"message\n" * 15) == (0, b"", "read 15\n")


def test_a_session_that_never_reads_ends_too(cgi_bin: Path) -> None:
    with alone(cgi_bin, "sleep") as program:
        assert program.ended(b"message\n" * 15) == (0, b"waiting\n", "finally\n")


def test_a_client_that_has_gone_is_no_failure_of_one_who_sends(cgi_bin: Path) -> None:
    with alone(cgi_bin, "group") as program:
        program.said(b"and so on\n")
        program.stdout.close()
        assert program.left() == (0, "")


def test_there_is_no_message_after_the_last_one(cgi_bin: Path) -> None:
    with alone(cgi_bin, "receive") as program:
        assert program.ended(b"message\n") == (0, b"message\n", "closed twice\n")


# --- a client that does not read ---


def test_a_client_that_does_not_read_holds_the_session_up(server: Server, log: Log) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    url = address(server, "sessions/fill")
    raw.connect((urlsplit(url).hostname, urlsplit(url).port))
    with connect(url, sock=raw, compression=None, max_queue=1, close_timeout=0.1) as websocket:
        await_that(lambda: len(log()) > 3)
        before = 0
        while (sent := len(log())) > before:
            before = sent
            time.sleep(0.5)
        assert sent < 200  # of 64 KiB each
        (pid,) = descendants(server.pid)
        assert own_memory(pid) < 16 * MIB
        for _message in range(sent):
            websocket.recv(SECONDS)
        await_that(lambda: len(log()) > sent)


def own_memory(pid: int) -> int:
    """In bytes, less what it shares with the program's file."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


# --- failures ---


def test_what_a_session_raises_is_reported_once(cgi_bin: Path) -> None:
    with alone(cgi_bin, "fail") as program:
        status, errors = program.left()
    assert status == 1
    assert errors.startswith("nativecgi: GET /sessions/fail: LookupError: a session's own\n  Trace")
    assert errors.count("LookupError: a session's own") == 2  # the line, and the traceback's


def test_what_a_sessions_task_raises_is_reported_once(cgi_bin: Path) -> None:
    with alone(cgi_bin, "fail/in-task") as program:
        status, errors = program.left()
    assert status == 1
    assert errors.startswith("nativecgi: GET /sessions/fail/in-task: ExceptionGroup: ")
    assert errors.count("LookupError: a task's own") == 1


def test_a_session_that_leaves_on_its_own_is_reported(cgi_bin: Path) -> None:
    with alone(cgi_bin, "leave") as program:
        status, errors = program.left()
    assert status == 1
    assert errors.startswith("nativecgi: GET /sessions/leave: SystemExit: on its own\n")


def test_a_failure_closes_the_connection_and_is_in_the_log(server: Server, log: Log) -> None:
    with session(server, "sessions/fail") as websocket:
        assert list(received(websocket)) == []
    await_that(log)
    assert log()[0] == "nativecgi: GET /sessions/fail: LookupError: a session's own"


def test_what_is_printed_is_in_the_log_and_no_message(server: Server, log: Log) -> None:
    with session(server, "sessions/print") as websocket:
        assert websocket.recv(SECONDS) == "a message"
        await_that(lambda: len(log()) == 2)
    assert log() == ["to standard output", "of a child"]


# --- the process ---


def test_hooks_run_in_every_session_before_it(server: Server) -> None:
    before = time.time()
    times = []
    for _time in range(2):
        with session(server, "sessions/started") as websocket:
            times.append(float(str(websocket.recv(SECONDS)).strip("[]")))
    assert before < times[0] < times[1] < time.time()


def test_a_variable_of_the_servers_environment(server: Server) -> None:
    with session(server, "sessions/variable/OWN") as websocket:
        assert websocket.recv(SECONDS) == "its own"


def test_a_field_of_the_request(server: Server) -> None:
    with session(server, "sessions/variable/HTTP_X_A", **{"X-A": "b"}) as websocket:
        assert websocket.recv(SECONDS) == "b"


def test_a_clients_field_is_nobodys_proxy(server: Server) -> None:
    with session(server, "sessions/variable/HTTP_PROXY", Proxy="evil.example") as websocket:
        assert websocket.recv(SECONDS) == "none"


# --- plain requests ---


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


REQUIRED = (426, "This is a WebSocket: run the program under websocketd.\n")


def test_websocketd_has_plain_requests_answered_by_the_handler(server: Server) -> None:
    assert fetch(f"{server.url}/sessions") == (200, "a plain answer")


def test_without_a_handler_a_plain_request_is_refused(server: Server) -> None:
    assert fetch(f"{server.url}/websocket") == REQUIRED


def test_the_same_programs_answer_behind_apache(programs: Path) -> None:
    with apache.serving(programs) as server:
        assert fetch(f"{server.url}/websocket") == REQUIRED
        assert fetch(f"{server.url}/sessions") == (200, "a plain answer")
        assert fetch(f"{server.url}/sessions/subprocess") == (200, "FROM A CHILD")
        assert fetch(f"{server.url}/sessions/asyncio") == (200, "OVER A SOCKET\n")


def test_hooks_run_before_a_handler(cgi_bin: Path) -> None:
    before = time.time()
    answer = Client(cgi_bin / "sessions").get("/started")
    assert before < float(answer.text.strip("[]")) < time.time()


# --- the freeze ---


def test_an_event_loop_cannot_be_frozen(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    source = """
import asyncio
from nativecgi.websocket import run_websocket
loop = asyncio.new_event_loop()
run_websocket(lambda request, websocket: None)
"""
    result = freeze(sys.executable, "-c", source, output=tmp_path / "image")
    assert result.returncode != 0
    found = r"descriptor \d+ is open on anon_inode:\[eventpoll\] \(an epoll, .*\): close it before"
    assert re.search(found, result.stderr)
