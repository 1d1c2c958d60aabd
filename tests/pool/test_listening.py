"""nativecgi.pool.listening: sockets that are opened, and those that are taken over."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nativecgi.pool.listening import ListeningError, listen
from tests.checkout import ROOT


def opened(address: str, mode: str = "660", owner: str | None = None) -> "closing[socket.socket]":
    return closing(listen(address, mode, owner, {}))


def refused(address: str | None, mode: str = "660", owner: str | None = None) -> str:
    with pytest.raises(ListeningError) as failure:
        listen(address, mode, owner, {})
    assert "\n" not in str(failure.value)
    return str(failure.value)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


# --- ports ---


def test_a_host_and_a_port_can_be_connected_to() -> None:
    with opened("127.0.0.1:0") as server:
        socket.create_connection(server.getsockname()).close()


def test_a_host_may_be_a_name() -> None:
    with opened("localhost:0") as server:
        assert server.getsockname()[0] in ("127.0.0.1", "::1")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_an_address_of_ipv6_is_in_brackets() -> None:
    with opened("[::1]:0") as server:
        assert server.getsockname()[0] == "::1"


def test_it_does_not_block_and_is_not_inherited() -> None:
    with opened("127.0.0.1:0") as server:
        assert not server.getblocking()
        assert not server.get_inheritable()


def test_a_port_in_use_is_told(listener: socket.socket) -> None:
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert refused(address) == f"cannot listen on '{address}': Address already in use"


def test_an_unknown_host_is_told() -> None:
    assert "cannot listen on 'nowhere.invalid:0'" in refused("nowhere.invalid:0")


@pytest.mark.parametrize(
    "address", ["", "9000", "localhost:", "localhost:http", ":65536", "::1:80", "[::1]", "a:1:2"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    assert "HOST:PORT, :PORT, [IPv6]:PORT or a path" in refused(address)


# --- paths ---


def test_a_path_can_be_connected_to(tmp_path: Path) -> None:
    path = str(tmp_path / "a:1")
    with opened(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_path_may_be_a_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened("app.sock"):
        assert (tmp_path / "app.sock").is_socket()


@pytest.mark.parametrize("mode", ["600", "0666"])
def test_a_path_has_the_mode_whatever_the_umask(tmp_path: Path, mode: str) -> None:
    umask = os.umask(0o27)
    try:
        with opened(str(tmp_path / "s"), mode):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == int(mode, 8)
        assert os.umask(0o27) == 0o27
    finally:
        os.umask(umask)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("owner", ["nobody", "nobody:daemon", "65534:1"])
def test_a_path_has_the_owner(tmp_path: Path, owner: str) -> None:
    with opened(str(tmp_path / "s"), owner=owner):
        assert (tmp_path / "s").owner() == "nobody"
        assert ":" not in owner or (tmp_path / "s").group() == "daemon"


@pytest.mark.parametrize(
    ("owner", "told"), [("nobody:no-such", "no group 'no-such'"), ("no-such", "no user 'no-such'")]
)
def test_an_unknown_owner_is_told_before_anything_is_made(
    tmp_path: Path, owner: str, told: str
) -> None:
    assert told in refused(str(tmp_path / "s"), owner=owner)
    assert not (tmp_path / "s").exists()


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    opened(path).__exit__()
    with opened(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_socket_that_somebody_listens_on_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with opened(path), socket.socket(socket.AF_UNIX) as client:
        assert refused(path) == f"cannot listen on '{path}': Address already in use"
        client.connect(path)


def test_a_socket_whose_backlog_is_full_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen(0)
        client.connect(path)
        assert "Address already in use" in refused(path)


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    assert "no socket" in refused(str(tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "mine"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "No such file or directory" in refused(str(tmp_path / "missing" / "s"))


def test_a_path_that_is_too_long_is_told() -> None:
    assert "too long" in refused("/" + "a" * 200)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused(str(tmp_path / "s"))


# --- sockets that are there already: in processes of their own, whose descriptors they are ---


def taken_over(prelude: str, address: str | None, listener: socket.socket) -> str:
    """What a process says that has `listener` on a descriptor, in which `prelude` is executed."""
    code = f"""
import os
from nativecgi.pool.listening import ListeningError, listen
given = {listener.fileno()}
env = dict(KEPT="1")
{prelude}
try:
    server = listen({address!r}, "660", None, env)
    print(server.getsockname()[1], server.get_inheritable(), server.getblocking(), *env)
    print(os.readlink("/proc/self/fd/0"))
except ListeningError as failure:
    print(failure)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        pass_fds=[listener.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout


def passed_on(count: str, pid: str = "str(os.getpid())") -> str:
    names = 'LISTEN_FDNAMES="http"'
    return f'os.dup2(given, 3); env.update(LISTEN_FDS="{count}", LISTEN_PID={pid}, {names})'


@pytest.mark.parametrize("address", [None, "127.0.0.1:0"])
def test_a_socket_of_systemd_is_taken_and_its_variables_removed(
    listener: socket.socket, address: str | None
) -> None:
    told = taken_over(passed_on("1"), address, listener)
    assert told.startswith(f"{listener.getsockname()[1]} False False KEPT\n")


def test_a_socket_for_another_process_is_not_taken(listener: socket.socket) -> None:
    told = taken_over(passed_on("1", '"1"'), "127.0.0.1:0", listener)
    assert told.partition(" ")[0] != str(listener.getsockname()[1])
    assert " KEPT\n" in told


def test_several_sockets_are_refused(listener: socket.socket) -> None:
    assert "one socket" in taken_over(passed_on("2"), None, listener)


def test_what_is_passed_on_has_to_listen(listener: socket.socket) -> None:
    prelude = passed_on("1").replace("given", "1")
    assert "no listening socket" in taken_over(prelude, None, listener)


def test_standard_input_is_taken_if_it_listens(listener: socket.socket) -> None:
    told = taken_over("os.dup2(given, 0)", None, listener)
    assert told == f"{listener.getsockname()[1]} False False KEPT\n/dev/null\n"


def test_an_address_comes_before_standard_input(listener: socket.socket) -> None:
    told = taken_over("os.dup2(given, 0)", "127.0.0.1:0", listener)
    assert told.partition(" ")[0] != str(listener.getsockname()[1])


@pytest.mark.parametrize("prelude", ["", "os.close(0)"])
def test_nothing_to_listen_on_is_told(listener: socket.socket, prelude: str) -> None:
    told = taken_over(prelude, None, listener)
    assert told == "no address is given, and no listening socket is passed on\n"
