"""What programs are told by `nativecgi serve`, and what becomes of their answers (RFC 3875)."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nativecgi_build.devserver.cgi import BadAnswer, Head, parse_head
from nativecgi_build.devserver.http import is_local
from tests.checkout import ROOT
from tests.devserver.running import PATIENCE, Server, eventually, is_running, started

# Programs in Python: each a file in the folder that is served.
PROGRAMS = {
    "show": """
        import json
        body = sys.stdin.buffer.read()
        shown = {"env": dict(os.environ), "size": len(body), "body": body[:20].decode("latin-1"),
                 "cwd": os.getcwd(), "argv": sys.argv[1:]}
        print("Content-Type: application/json\\n")
        print(json.dumps(shown))
        """,
    "status": """
        print("Status: 418 I'm a teapot\\nContent-Type: text/plain\\nX-A: 1\\nX-A: 2\\n\\nshort")
        """,
    "local": r"""
        print("Location: /cgi-bin/show/to/it?x=1\n")
        """,
    "circle": r"""
        print("Location: /cgi-bin/circle\n")
        """,
    "away": r"""
        print("Location: https://example.org/\n")
        """,
    "silent": "",
    "nonsense": r"""
        print("Traceback (most recent call last)\n\nHello")
        """,
    "lying": r"""
        print("Content-Type: text/plain\nContent-Length: many\n\nHello")
        """,
    "connection": r"""
        print("Content-Type: text/plain\nTransfer-Encoding: chunked\nConnection: upgrade\n\nHello")
        """,
    "complains": r"""
        print("Content-Type: text/plain\n\nHello")
        print("something is odd", file=sys.stderr)
        """,
    "nph-raw": r"""
        print("HTTP/1.1 200 OK\r\n\r\nHello", end="")
        """,
    "large": r"""
        print("Content-Type: application/octet-stream\n", flush=True)
        for number in range(64):
            sys.stdout.buffer.write(bytes([number]) * 1024 * 1024)
        """,
    # It writes its pid, and goes on for as long as nobody ends it.
    "stream": r"""
        import time
        print("Content-Type: text/event-stream\n", flush=True)
        time.sleep(float(os.environ["QUERY_STRING"] or 0))
        print(f"data: {os.getpid()}\n", flush=True)
        time.sleep(1000)
        """,
    # It has more to do when its answer is there.
    "after": r"""
        import time
        print("Content-Type: text/plain\nContent-Length: 5\n\nHello", end="", flush=True)
        time.sleep(1)
        print("done", os.environ["QUERY_STRING"], file=sys.stderr, flush=True)
        """,
    "stubborn": r"""
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(f"Content-Type: text/event-stream\n\ndata: {os.getpid()}\n", flush=True)
        time.sleep(1000)
        """,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("programs")
    for name, source in PROGRAMS.items():
        lines = [f"#!{sys.executable}", "import os, sys", *source.strip("\n ").split("\n        ")]
        (made / name).write_text("\n".join(lines))
        (made / name).chmod(0o755)
    (made / "notes.txt").write_text("no program")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    env = {"SHELF": "of the shell", "HTTP_X_OLD": "of the shell", "CONTENT_LENGTH": "7"}
    with started("serve", str(folder), cwd=folder, env=env) as running:
        yield running


def shown(server: Server, path: str = "/cgi-bin/show", **options: object) -> dict[str, str]:
    """The variables that a process has for a request."""
    env: dict[str, str] = json.loads(server.text(path, **options))["env"]
    return env


# --- the request ---


def test_a_process_is_told_what_the_request_is(server: Server, folder: Path) -> None:
    env = shown(server, "/cgi-bin/show/a%20b?x=%20&y")
    expected = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "x=%20&y",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/cgi-bin/show/a%20b?x=%20&y",
        "SCRIPT_FILENAME": str(folder / "show"),
        "SCRIPT_NAME": "/cgi-bin/show",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "nativecgi",
    }
    assert expected.items() <= env.items()


@pytest.mark.parametrize(
    ("sent", "path_info"),
    [
        ("", ""),
        ("/", "/"),
        ("/a%2Fb", "/a/b"),
        ("//a", "//a"),
        ("/Zo%C3%AB", "/Zo\u00eb"),
        ("/%FF", "/\udcff"),
    ],
)
def test_the_path_is_decoded_once(server: Server, sent: str, path_info: str) -> None:
    assert shown(server, f"/cgi-bin/show{sent}")["PATH_INFO"] == path_info


def test_a_query_is_passed_as_it_is_and_never_as_arguments(server: Server) -> None:
    answer = json.loads(server.text("/cgi-bin/show?-c+print"))
    assert answer["env"]["QUERY_STRING"] == "-c+print"
    assert answer["argv"] == []


def test_header_fields_are_variables(server: Server) -> None:
    env = shown(server, headers={"X-Shelf": "a", "Cookie": "b=c", "Authorization": "Basic eA=="})
    assert env["HTTP_X_SHELF"] == "a"
    assert env["HTTP_COOKIE"] == "b=c"
    assert env["HTTP_AUTHORIZATION"] == "Basic eA=="


def test_a_field_that_names_a_proxy_is_left_out(server: Server) -> None:
    assert "HTTP_PROXY" not in shown(server, headers={"Proxy": "http://evil.example"})


def test_fields_with_underscores_cannot_pass_for_others(server: Server) -> None:
    assert "HTTP_X_USER" not in shown(server, headers={"X_User": "admin"})


def test_the_environment_of_the_shell_is_passed_on(server: Server) -> None:
    assert shown(server)["SHELF"] == "of the shell"


def test_what_the_shell_has_like_a_request_is_not_passed_on(server: Server) -> None:
    env = shown(server)
    assert "HTTP_X_OLD" not in env
    assert env.get("CONTENT_LENGTH", "") in ("", "0")


def test_a_process_runs_in_the_folder_of_its_program(server: Server, folder: Path) -> None:
    assert json.loads(server.text("/cgi-bin/show"))["cwd"] == str(folder)


def test_a_body_comes_with_its_length_and_type(server: Server) -> None:
    headers = {"Content-Type": "text/x-shelf"}
    answer = json.loads(server.text("/cgi-bin/show", method="POST", body=b"abc", headers=headers))
    assert (answer["size"], answer["body"]) == (3, "abc")
    assert answer["env"]["CONTENT_LENGTH"] == "3"
    assert answer["env"]["CONTENT_TYPE"] == "text/x-shelf"


def test_a_body_in_chunks_has_a_length_as_well(server: Server) -> None:
    chunks = iter([b"abc", b"defg"])
    answer = json.loads(server.text("/cgi-bin/show", method="PUT", body=chunks))
    assert (answer["size"], answer["body"]) == (7, "abcdefg")
    assert answer["env"]["CONTENT_LENGTH"] == "7"
    assert "HTTP_TRANSFER_ENCODING" not in answer["env"]


def test_a_large_upload_arrives_whole(server: Server) -> None:
    size = 40 * 1024 * 1024
    answer = json.loads(server.text("/cgi-bin/show", method="POST", body=bytes(size)))
    assert answer["size"] == size


def test_a_nul_in_the_path_is_refused(server: Server) -> None:
    assert server.ask("/cgi-bin/show/%00")[0].status == 400


@pytest.mark.parametrize("path", ["/cgi-bin/notes.txt", "/cgi-bin/../show", "/show", "/cgi-bin"])
def test_what_is_no_program_is_not_found(server: Server, path: str) -> None:
    assert server.ask(path)[0].status == 404


# --- the answer ---


def test_status_and_fields_are_the_programs(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/status")
    assert (answer.status, answer.reason) == (418, "I'm a teapot")
    assert answer.headers.get_all("X-A") == ["1", "2"]
    assert body == b"short\n"


def test_a_redirect_elsewhere_is_the_clients(server: Server) -> None:
    answer, _body = server.ask("/cgi-bin/away")
    assert (answer.status, answer.getheader("Location")) == (302, "https://example.org/")


def test_a_local_redirect_is_answered_by_what_it_names(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/local", method="POST", body=b"abc")
    env = json.loads(body)["env"]
    assert answer.status == 200
    assert (env["REQUEST_METHOD"], env["PATH_INFO"], env["QUERY_STRING"]) == (
        "GET",
        "/to/it",
        "x=1",
    )
    assert json.loads(body)["size"] == 0


def test_a_circle_of_local_redirects_has_an_end(server: Server) -> None:
    assert server.ask("/cgi-bin/circle")[0].status == 500


@pytest.mark.parametrize("name", ["silent", "nonsense", "lying"])
def test_what_is_no_answer_is_a_server_error_that_the_terminal_names(
    server: Server, name: str
) -> None:
    answer, body = server.ask(f"/cgi-bin/{name}")
    assert answer.status == 500
    assert b"The program has" in body
    server.wait_for(f"nativecgi: /cgi-bin/{name} has")


def test_fields_of_the_connection_are_the_servers(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/connection")
    assert (answer.status, body) == (200, b"Hello\n")
    assert answer.getheader("Connection") != "upgrade"


def test_a_program_that_would_write_to_the_client_itself_is_refused(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/nph-raw")
    assert answer.status == 501
    assert b"nph-" in body


def test_head_has_the_header_and_no_body(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/status", method="HEAD")
    assert (answer.status, body) == (418, b"")


def test_a_large_answer_is_sent_while_it_is_made(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(b"GET /cgi-bin/large HTTP/1.0\r\n\r\n")
        size = 0
        while piece := client.recv(1 << 20):
            size += len(piece)
    assert size > 64 * 1024 * 1024


def open_stream(server: Server, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    client.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    return client


def read_until(client: socket.socket, end: bytes) -> bytes:
    read = b""
    while end not in read:
        piece = client.recv(4096)
        assert piece, read
        read += piece
    return read


def pid_of(client: socket.socket) -> int:
    """The process that a stream comes from, which it names in its first event."""
    event = read_until(client, b"\n\n").partition(b"data: ")[2] or read_until(client, b"\n\n")
    return int(event.removeprefix(b"data: ").split()[0])


def test_an_event_arrives_while_the_program_goes_on(server: Server) -> None:
    with open_stream(server, "/cgi-bin/stream") as client:
        assert is_running(pid_of(client))


def test_the_header_of_a_stream_arrives_before_its_first_event(server: Server) -> None:
    with open_stream(server, "/cgi-bin/stream?1000") as client:
        assert b"text/event-stream" in read_until(client, b"\r\n\r\n")


@pytest.mark.parametrize("name", ["stream", "stubborn"])
def test_a_process_ends_when_its_client_has_gone(server: Server, name: str) -> None:
    with open_stream(server, f"/cgi-bin/{name}") as client:
        pid = pid_of(client)
    eventually(lambda: not is_running(pid))


def test_a_process_that_has_answered_may_do_more(server: Server) -> None:
    assert server.text("/cgi-bin/after?more") == "Hello"
    server.wait_for("done more")


# --- the terminal ---


def test_each_request_has_a_line_with_its_status_size_and_time(server: Server) -> None:
    server.ask("/cgi-bin/status?logged")
    server.wait_for("GET /cgi-bin/status?logged 418 6 B ")
    (line,) = [it for it in server.log().splitlines() if "?logged" in it]
    assert line.endswith(" ms")


def test_nothing_a_client_sends_can_steer_the_terminal(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(b"GET /cgi-bin/status?\x1b[2J\xff HTTP/1.0\r\n\r\n")
        while client.recv(4096):
            pass
    server.ask("/cgi-bin/status?after")
    server.wait_for("?after")
    assert "\x1b" not in server.log()


def test_what_programs_complain_of_is_in_the_terminal(server: Server) -> None:
    server.ask("/cgi-bin/complains")
    server.wait_for("something is odd")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_server(folder: Path, number: int) -> None:
    with started("serve", str(folder), cwd=folder) as server:
        with open_stream(server, "/cgi-bin/stream") as client:
            pid = pid_of(client)
            assert server.stop(number) == 0
        assert not is_running(pid)


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    with socket.socket(socket.AF_INET) as other:
        # Another address of the loopback network would do if it listened on all.
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


def test_a_port_that_is_taken_is_told_in_two_lines(server: Server, folder: Path) -> None:
    command = [sys.executable, "-m", "nativecgi_build", "serve", ".", "--port", str(server.port)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"nativecgi: port {server.port} of 127.0.0.1: Address already in use",
        "Take another: --port 8001",
    ]


# --- the parts ---


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (b"Content-Type: text/plain", Head("200 OK", [("Content-Type", "text/plain")])),
        (b"status:204 None\r\nX-A:\tb ", Head("204 None", [("X-A", "b")])),
        (b"Location: /a?b", Head("", [("Location", "/a?b")], local_redirect="/a?b")),
        (b"Location: /a\nX-B: c", Head("302 Found", [("Location", "/a"), ("X-B", "c")])),
        (b"Location: /a\nStatus: 303", Head("303", [("Location", "/a")])),
    ],
)
def test_a_head_is_read_whatever_its_newlines_are(text: bytes, head: Head) -> None:
    assert parse_head(text) == head


@pytest.mark.parametrize("text", [b"Hello", b"A B: c", b": x", b"Status: ok", b"Status: 2000"])
def test_what_is_no_head_is_refused(text: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_head(text)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"HTTP_HOST": "localhost:8000"}, True),
        ({"HTTP_HOST": "[::1]:8000", "REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "192.0.2.1"}, False),
        ({"HTTP_HOST": "evil.example"}, False),
        ({"HTTP_HOST": "[::1"}, False),
        ({"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, False),
        ({"HTTP_FORWARDED": "for=192.0.2.1"}, False),
    ],
)
def test_only_a_browser_on_this_machine_is_local(changed: dict[str, str], expected: bool) -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8000", **changed}
    assert is_local(environ) is expected
