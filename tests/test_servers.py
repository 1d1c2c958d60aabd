"""The servers of tests and benchmarks: how they start and stop, and what they are set up for."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Protocol

import pytest

import servers.server
from servers import apache, lighttpd, nginx
from servers.server import Server, ServerError

ODD = """ 'one' "two" $three ${PATH} \\ \\\\ \\" %h {x} #é; = \\"""

# In sh, each of them; a line that begins the answer is added to all.
PROGRAMS = {
    "odd": 'printf %s "$ODD"',
    "path": 'printf %s "$PATH_INFO"',
    "authorization": 'printf %s "$HTTP_AUTHORIZATION"',
    "count": "wc -c",
    "warn": "printf '\\nline %s\\n' one two three >&2",
    "slow": "echo one; sleep 600",
}


class Serving(Protocol):
    """A server's module."""

    PROGRAM: str
    PACKAGE: str
    _FRAME: str

    def serving(
        self, cgi_bin: Path, *, environment: Mapping[str, str] = {}
    ) -> AbstractContextManager[Server]: ...


@pytest.fixture(scope="module", params=[apache, nginx, lighttpd], ids=lambda it: it.PROGRAM)
def module(request: pytest.FixtureRequest) -> Serving:
    it: Serving = request.param
    return it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cgi-bin")
    for name, commands in PROGRAMS.items():
        write(path / name, f"printf 'Content-Type: text/plain\\n\\n'\n{commands}\n")
    head = "Content-Type: text/plain\\nContent-Length: 300000\\n\\n"
    write(path / "short", f"printf '{head}'; head -c 200000 /dev/zero\n")
    cookies = [f"Set-Cookie: {number}={'x' * 2000}" for number in range(12)]
    write(path / "cookies", "cat <<'.'\n" + "\n".join((*cookies, "", ".", "")))
    write(path / "local", f"printf 'Location: {servers.server.PREFIX}/path/there\\n\\n'\n")
    return path


def write(path: Path, commands: str) -> None:
    path.write_text(f"#!/bin/sh\n{commands}")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def server(module: Serving, folder: Path) -> Iterator[Server]:
    with module.serving(folder, environment={"ODD": ODD}) as running:
        yield running


def fetch(url: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> bytes:
    """The body of an answer of status 200; an iterator's is sent in chunks."""
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        content: bytes = response.read()
        return content


# --- starting and stopping ---


def test_nothing_is_left_behind(module: Serving, folder: Path) -> None:
    with ExitStack() as client, module.serving(folder) as server:
        answer = client.enter_context(urllib.request.urlopen(f"{server.url}/slow", timeout=10))
        assert answer.readline() == b"one\n"
        assert "slow" in descendants(server.pid).values()
        processes = descendants(os.getpid())
        home = server.error_log.parent
    assert server.pid in processes
    assert not home.exists()
    assert not processes.keys() & descendants(1).keys()


def descendants(pid: int) -> dict[int, str]:
    """A process's children and theirs, by process id; not those that only wait to be reaped."""
    children: dict[int, dict[int, str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            start, _, rest = stat.read_text().rpartition(")")
            state, parent = rest.split()[:2]
            if state != "Z":
                name = start.partition("(")[2]
                children.setdefault(int(parent), {})[int(stat.parent.name)] = name
    found: dict[int, str] = {}
    parents = [pid]
    for it in parents:  # it grows on the way
        found |= children.get(it, {})
        parents += children.get(it, {})
    return found


def test_an_error_in_the_configuration(
    module: Serving, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FRAME", f"{module._FRAME}\nNonsense\n")
    complaint = rf"{module.PROGRAM} does not start:\n.* line:? \d+|{module.PROGRAM}\.conf:\d+"
    with pytest.raises(ServerError, match=complaint), module.serving(folder):
        pass


def test_a_missing_server_is_called_by_its_package(
    module: Serving, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers.server, "executable", lambda _name: None)
    with (
        pytest.raises(ServerError, match=f"apt-get install {module.PACKAGE}"),
        module.serving(folder),
    ):
        pass


# --- what they are set up for ---


def test_it_has_a_name(module: Serving, server: Server) -> None:
    assert server.name in module.PROGRAM


@pytest.mark.parametrize("path", ["none", "none/x", "", "path%00"])
def test_a_program_that_does_not_exist(server: Server, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{server.url}/{path}")
    caught.value.close()
    assert caught.value.code in ((400, 403, 404) if path in ("", "path%00") else (404,))


def test_the_environment(server: Server) -> None:
    assert fetch(f"{server.url}/odd").decode() == ODD


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/", "/"),
        ("/a%20b/c+d/", "/a b/c+d/"),
        ("/Zo%C3%AB/%25", "/Zoë/%"),
        ("/a%2Fb", "/a/b"),
    ],
)
def test_the_path_behind_the_program(server: Server, path: str, expected: str) -> None:
    assert fetch(f"{server.url}/path{path}").decode() == expected


def test_the_authorization_is_the_programs_to_judge(server: Server) -> None:
    assert fetch(f"{server.url}/authorization", Authorization="Bearer x") == b"Bearer x"


def test_a_large_body(server: Server) -> None:
    assert int(fetch(f"{server.url}/count", b"x" * 5_000_000)) == 5_000_000


def test_a_body_in_chunks(server: Server) -> None:
    assert int(fetch(f"{server.url}/count", iter([b"x" * 50_000] * 3))) == 150_000


def test_a_redirect_within_the_server(server: Server) -> None:
    assert fetch(f"{server.url}/local") == b"/there"


def test_the_length_that_a_program_announces(server: Server) -> None:
    with (
        pytest.raises(
            http.client.IncompleteRead, match=r"\(200000 bytes read, 100000 more expected"
        ),
        urllib.request.urlopen(f"{server.url}/short", timeout=30) as response,
    ):
        response.read()


def test_a_long_header(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/cookies", timeout=30) as response:
        assert sum(map(len, response.headers.get_all("Set-Cookie"))) > 20_000


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
def test_an_answer_arrives_as_it_is_written(server: Server, accepted: str) -> None:
    request = urllib.request.Request(f"{server.url}/slow", headers={"Accept-Encoding": accepted})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.readline() == b"one\n"


def test_standard_error_is_in_the_error_log(server: Server) -> None:
    assert fetch(f"{server.url}/warn") == b""
    deadline = time.monotonic() + 10  # it may be written after the answer
    while (log := server.error_log.read_text()).count("line") < 3:
        assert time.monotonic() < deadline, log
        time.sleep(0.05)
    assert "\nline one\n\nline two\n\nline three\n" in log
