"""A thaw is a safe fork: nothing that should be a process's own is the build's, or another's."""

import json
import os
import shutil
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import pythons

PROGRAMS = Path(__file__).parents[1].joinpath("programs")
ROOT = Path(__file__).parents[2]
SECONDS = 30
THAWS = 300
AT_ONCE = 8
PATH = {"PATH": os.defpath}

pytest_generate_tests = pythons.in_each

Freeze = Callable[..., "subprocess.CompletedProcess[str]"]
Ask = Callable[..., Any]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces")


def answer(
    image: Path,
    probe: str,
    *prefix: "str | Path",
    env: Mapping[str, str] | None = None,
    **settings: Any,
) -> Any:
    """What a thaw shows, run by the command `prefix` if there is one."""
    done = subprocess.run(
        [*prefix, image],
        env={**PATH, "PROBE": probe, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        **settings,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def ask(frozen_fresh: Path) -> Ask:
    return lambda probe, *prefix, **settings: answer(frozen_fresh, probe, *prefix, **settings)


# Chance.

DRAWN = (
    *("random", "random's function", "a generator", "a generator of its own kind"),
    *("a generator put back", "a generator of the module in C"),
    *("the system's generator", "secrets", "urandom", "uuid1", "uuid4", "tempfile", "openssl"),
    *("multiprocessing", "sqlite"),
)


@pytest.fixture(scope="module")
def drawn(frozen_fresh: Path) -> list[dict[str, Any]]:
    """What hundreds of processes have drawn, several of them at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda _thaw: answer(frozen_fresh, "drawn"), range(THAWS)))


@pytest.mark.parametrize("what", DRAWN)
def test_no_two_processes_draw_the_same(drawn: list[dict[str, Any]], what: str) -> None:
    assert len({values[what] for values in drawn}) == THAWS


def test_all_that_is_drawn_is_looked_at(drawn: list[dict[str, Any]]) -> None:
    assert set(drawn[0]) == set(DRAWN)


def test_uuids_by_time_have_a_clock_sequence_of_each_process(drawn: list[dict[str, Any]]) -> None:
    """The time alone does not tell apart what is drawn in the same 100 ns."""
    uuids = [uuid.UUID(values["uuid1"]) for values in drawn]
    assert len({it.clock_seq for it in uuids}) > THAWS * 0.9
    assert {(it.variant, it.version) for it in uuids} == {(uuid.RFC_4122, 1)}


def test_a_generator_with_a_seed_keeps_its_sequence(ask: Ask) -> None:
    import random

    assert ask("constant")["given"] == [random.Random(7).random()] * 2


def test_hash_is_one_builds_and_not_anothers(ask: Ask, freeze: Freeze, tmp_path: Path) -> None:
    other = freeze_fresh(freeze, tmp_path / "other")
    assert ask("constant")["hash"] == ask("constant")["hash"]
    assert ask("constant")["hash"] != answer(other, "constant")["hash"]


def freeze_fresh(freeze: Freeze, image: Path, *prefix: "str | Path") -> Path:
    """Another image of the program."""
    command = (sys.executable, PROGRAMS / "fresh.py")
    options = ["-e", f"PYTHONPATH={ROOT}"]
    done = freeze(*command, output=image, options=options, prefix=prefix)
    assert done.returncode == 0, done.stderr
    return image


@only_root
def test_openssl_draws_anew_where_all_processes_have_the_same_id(
    freeze: Freeze, tmp_path: Path
) -> None:
    """As in containers, whose ids begin at 1. No process keeps the id of the frozen one."""
    # The shell is process 1, the freezer 2, what it freezes 3.
    script = '"$@"; status=$?; exit $status'
    first = ("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh")
    image = freeze_fresh(freeze, tmp_path / "image", *first)
    frozen = answer(image, "constant")["frozen"]
    script = "".join(["true & wait; "] * (frozen - 2)) + '"$@"; status=$?; exit $status'
    alike = (*first[:-2], script, "sh")
    assert answer(image, "process", *alike)["ppid"] == frozen, "it has started another"
    assert len({answer(image, "drawn", *alike)["openssl"] for _thaw in range(5)}) == 5


def test_numpys_generators_are_a_processs_own(frozen: Callable[..., Path]) -> None:
    options = ("-e", f"PYTHONPATH={ROOT}")
    image = frozen(sys.executable, PROGRAMS / "numpy_generators.py", options=options)
    found = [answer(image, "") for _thaw in range(20)]
    for values in zip(*(it["drawn"] for it in found), strict=True):
        assert len(set(values)) == 20
    for values in zip(*(it["given"] for it in found), strict=True):
        assert len(set(values)) == 1, "a seed that was given is kept"


# The process.


def test_ids_are_the_processs(frozen_fresh: Path) -> None:
    with subprocess.Popen(
        [frozen_fresh], env={**PATH, "PROBE": "process"}, stdout=subprocess.PIPE
    ) as process:
        output, _none = process.communicate(timeout=SECONDS)
    found = json.loads(output)
    assert (found["pid"], found["ppid"]) == (process.pid, os.getpid())
    assert found["native id"] == [process.pid, process.pid]
    assert (found["self"], found["name"]) == (process.pid, process.pid)


def test_the_command_line_is_the_processs(ask: Ask, frozen_fresh: Path) -> None:
    found = ask("process")
    assert found["argv"] == found["orig_argv"] == [str(frozen_fresh)]


def test_the_executable_is_the_program(ask: Ask, frozen_fresh: Path) -> None:
    assert ask("process")["executable"] == str(frozen_fresh)


def test_the_executable_is_absolute(frozen_fresh: Path) -> None:
    command = ["sh", "-c", f"exec ./{frozen_fresh.name}"]
    done = subprocess.run(
        command, env={**PATH, "PROBE": "process"}, cwd=frozen_fresh.parent, capture_output=True
    )
    assert json.loads(done.stdout)["executable"] == str(frozen_fresh)


def test_the_executable_is_unknown_where_the_program_was_looked_for(frozen_fresh: Path) -> None:
    env = {"PATH": str(frozen_fresh.parent), "PROBE": "process"}
    done = subprocess.run(["/bin/sh", "-c", frozen_fresh.name], env=env, capture_output=True)
    assert json.loads(done.stdout)["executable"] == ""


def test_folder_and_umask_are_the_processs(ask: Ask, tmp_path: Path) -> None:
    found = ask("process", cwd=tmp_path, umask=0o27)
    assert (found["cwd"], found["umask"]) == (str(tmp_path), 0o27)


@only_root
def test_user_and_groups_are_the_processs(frozen_fresh: Path) -> None:
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65533", "--groups", "7,8")
    assert answer(frozen_fresh, "process", *nobody)["ids"] == [65534, 65534, 65533, 65533, [7, 8]]


def test_limits_and_processors_are_the_processs(ask: Ask) -> None:
    limited = ("sh", "-c", 'ulimit -n 99; exec taskset -c 0 "$0"')
    found = ask("process", *limited)
    assert found["files"] == [99, 99]
    assert found["cpus"] == [os.cpu_count(), 1]


# The place.


@only_root
def test_the_host_is_the_processs(ask: Ask) -> None:
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere.example; exec "$0"')
    if not shutil.which("hostname"):
        pytest.skip("there is no hostname(1)")
    assert ask("place", *elsewhere)["hostname"] == ["elsewhere.example"] * 3


def test_temporary_files_go_where_the_environment_says(ask: Ask, tmp_path: Path) -> None:
    assert ask("place", env={"TMPDIR": str(tmp_path)})["temporary"] == str(tmp_path)
    assert ask("place")["temporary"] == "/tmp"


def test_home_is_the_processs(ask: Ask) -> None:
    assert ask("place", env={"HOME": "/home/somebody"})["home"] == "/home/somebody"


def test_the_locale_is_the_environments(ask: Ask) -> None:
    assert ask("locales", env={"LC_ALL": "C"})["chosen"] == "C"
    assert ask("locales", env={"LC_ALL": "C.UTF-8"})["chosen"] == "C.UTF-8"


# Time.


def test_clocks_go_on(ask: Ask) -> None:
    before = {"time": time.time(), "monotonic": time.monotonic(), "now": time.time()}
    before["perf_counter"] = time.perf_counter()
    found = ask("clocks")
    after = {"time": time.time(), "monotonic": time.monotonic(), "now": time.time()}
    after["perf_counter"] = time.perf_counter()
    for name, earliest in before.items():
        assert earliest <= found[name] <= after[name], name
    assert found["process"] < 1


def test_the_log_starts_with_the_process(ask: Ask) -> None:
    time.sleep(0.5)
    assert 0 <= ask("clocks")["since the start of the log"] < 500


@pytest.mark.parametrize(
    ("zone", "hour", "names"), [("Asia/Tokyo", 9, ["JST", "JST"]), ("XYZ-3", 3, ["XYZ", "XYZ"])]
)
def test_the_zone_is_the_environments(ask: Ask, zone: str, hour: int, names: list[str]) -> None:
    if "/" in zone and not Path("/usr/share/zoneinfo", zone).exists():
        pytest.skip("there is no tzdata")
    found = ask("clocks", env={"TZ": zone})
    assert found["hour"] == [hour, hour]
    assert found["zone"] == [names, -hour * 3600]
    logged = (int(found["logged"]) - hour) % 24
    assert logged in (int(time.time() // 3600) % 24, int(time.time() // 3600 - 1) % 24)


@only_root
def test_the_zone_is_the_machines_unless_told(ask: Ask, tmp_path: Path) -> None:
    """Whose /etc/localtime may be another than the builder's."""
    tokyo = Path("/usr/share/zoneinfo/Asia/Tokyo")
    if not tokyo.exists() or not Path("/etc/localtime").exists():
        pytest.skip("there is no tzdata")
    bound = f'mount --bind {tokyo} /etc/localtime && exec "$0"'
    found = ask("clocks", "unshare", "--mount", "sh", "-c", bound)
    assert found["zone"] == [["JST", "JST"], -9 * 3600]


# What a handler may use.


def test_a_log_goes_to_the_processs_standard_error(frozen_fresh: Path) -> None:
    done = subprocess.run(
        [frozen_fresh], env={**PATH, "PROBE": "log"}, capture_output=True, check=True, text=True
    )
    assert f"{done.stdout} an error of {done.stdout}\n" in done.stderr


def test_signals_are_the_processs(ask: Ask) -> None:
    found = ask("signals")
    assert found["received"] == [10]
    assert found["actions"] == {
        "SIGPIPE": "1",
        "SIGINT": "<built-in function default_int_handler>",
        "SIGTERM": "0",
        "SIGHUP": "0",
        "SIGCHLD": "0",
    }


def test_processes_are_started_and_report(ask: Ask) -> None:
    found = ask("children")
    assert found["squares"] == [0, 1, 4, 9]
    parent, own = found["parent"]
    assert parent == own


def test_a_pool_of_threads_works(ask: Ask) -> None:
    assert ask("threads") == [0, 1, 4, 9]


def test_an_event_loop_works(ask: Ask) -> None:
    assert ask("event_loop") == [9, 3, "slept"]


def test_zones_are_read(ask: Ask) -> None:
    if not Path("/usr/share/zoneinfo/Europe/Berlin").exists():
        pytest.skip("there is no tzdata")
    assert ask("zones") == "2026-07-01T00:00:00+02:00"


def test_functions_for_a_fork_run_in_order_and_one_that_fails_is_reported(
    frozen_fresh: Path,
) -> None:
    """As in the child of a fork (os.register_at_fork)."""
    done = subprocess.run(
        [frozen_fresh], env={**PATH, "PROBE": "hooks"}, capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == ["first", "last"]
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_the_documented_hooks_open_what_a_build_has_closed(freeze: Freeze, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "frozen.md").read_text()
    example = next(it for it in page.split("```python\n")[1:] if "after_thaw" in it)
    (tmp_path / "shop.py").write_text(example.partition("```")[0])
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute("create table article (name, price)")
        within = ("sh", "-c", f'cd {tmp_path} && exec "$@"', "sh")
        options = ["-e", f"PYTHONPATH={ROOT}"]
        command = (sys.executable, tmp_path / "shop.py")
        done = freeze(*command, output=tmp_path / "shop", options=options, prefix=within)
        assert done.returncode == 0, done.stderr
        for count in range(2):
            request = PATH | {"REQUEST_METHOD": "GET"}
            done = subprocess.run(
                [tmp_path / "shop"], env=request, cwd=tmp_path, capture_output=True, text=True
            )
            assert done.stdout.endswith(f"\n[{count}]"), done
            shop.execute("insert into article values ('chair', 7)")
            shop.commit()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_file_never_becomes_a_standard_stream(
    frozen_fresh: Path, tmp_path: Path, closed: str
) -> None:
    """Where one is closed, what is written to it would be written to the file."""
    report = tmp_path / "report"
    subprocess.run(
        ["sh", "-c", f'exec "$0" {closed}', frozen_fresh],
        env={**PATH, "PROBE": "descriptors", "REPORT": str(report)},
        capture_output=True,
        check=True,
    )
    descriptor, written = json.loads(report.read_text())
    assert descriptor > 2
    assert written == ""


# Names and connections.


@contextmanager
def nameserver(host: str, address: str) -> Iterator[None]:
    """A server on port 53 that gives every name this address, of version 4."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, 53))
        server.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    query, client = server.recvfrom(512)
                except TimeoutError:
                    continue
                question = query[12 : query.index(b"\0", 12) + 5]
                count = int(question[-4:] == b"\0\1\0\1")  # an A of IN
                head = struct.pack(">2s5H", query[:2], 0x8180, 1, count, 0, 0)
                data = struct.pack(">3HIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton(address))
                server.sendto(head + question + data * count, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def resolving(folder: Path, server: str, hosts: str = "") -> tuple[str, ...]:
    """Runs a command where this is the nameserver, and these are the known hosts."""
    folder.mkdir()
    (folder / "resolv.conf").write_text(f"nameserver {server}\n")
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}\n")
    (folder / "nsswitch.conf").write_text("hosts: files dns\npasswd: files\ngroup: files\n")
    bound = "".join(f"mount --bind {file} /etc/{file.name}; " for file in folder.iterdir())
    return ("unshare", "--mount", "sh", "-c", f'set -e; {bound} exec "$@"', "sh")


@only_root
def test_names_are_looked_up_as_the_machine_says(freeze: Freeze, tmp_path: Path) -> None:
    """Not as the builder's did, which has looked names up before the freeze."""
    for name in ("resolv.conf", "hosts", "nsswitch.conf"):
        if not Path("/etc", name).exists():
            pytest.skip(f"there is no /etc/{name} to be replaced")
    here = resolving(tmp_path / "here", "127.0.0.151", "192.0.2.1 known.example")
    there = resolving(tmp_path / "there", "127.0.0.152", "192.0.2.2 known.example")
    try:
        with nameserver("127.0.0.151", "192.0.2.11"), nameserver("127.0.0.152", "192.0.2.22"):
            image = freeze_fresh(freeze, tmp_path / "image", *here)
            hosts = {"HOSTS": "known.example asked.example"}
            found = answer(image, "names", *here, env=hosts)
            assert found == {"known.example": ["192.0.2.1"], "asked.example": ["192.0.2.11"]}
            found = answer(image, "names", *there, env=hosts)
            assert found == {"known.example": ["192.0.2.2"], "asked.example": ["192.0.2.22"]}
    except OSError as error:
        pytest.skip(f"no server can be had on port 53: {error}")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that vouches for itself, with its key."""
    file = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    extension = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command, *extension, "-keyout", file, "-out", f"{file}.crt"],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def test_a_tls_client_trusts_whom_it_should(ask: Ask, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)

        def serve() -> None:
            connection, _address = server.accept()
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        port = str(server.getsockname()[1])
        found = ask("tls", env={"CERTIFICATE": f"{certificate}.crt", "PORT": port})
        thread.join()
    assert found == ["TLSv1.3", "hello"]
