"""A Python program behind its freeze point is as if it had just been started, in any Python."""

import json
import os
import signal
import socket
import subprocess
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import pythons
from tests.asleep import wait_until_asleep

SECONDS = 20


pytest_generate_tests = pythons.in_each


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report"


@pytest.fixture
def environment(report: Path) -> Callable[..., dict[str, str]]:
    """The environment that makes the program do its probe `name`."""

    def variables(name: str, others: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"PROBE": name, "REPORT": str(report), "PATH": os.defpath, **(others or {})}

    return variables


@pytest.fixture
def probe(
    frozen_python: Path, environment: Callable[..., dict[str, str]], report: Path
) -> Callable[..., Any]:
    """Runs the frozen program, or a command that does, and returns what its probe found."""

    def run(
        name: str, *command: "str | Path", env: Mapping[str, str] | None = None, **settings: Any
    ) -> Any:
        subprocess.run(
            command or [frozen_python],
            env=environment(name, env),
            timeout=SECONDS,
            check=True,
            **settings,
        )
        return json.loads(report.read_text())

    return run


@pytest.fixture(scope="module")
def plain(programs: Path, python: Path) -> list[str]:
    """The same program without a freeze, in plain Python."""
    variables = [f"PYTHONPATH={programs.parent.parent}", "LANG=C.UTF-8"]
    return ["env", *variables, str(python), str(programs / "probe.py")]


def test_it_is_in_the_python_that_it_was_frozen_in(probe: Callable[..., Any], python: Path) -> None:
    shown = subprocess.check_output([python, "-c", "import sys; print(sys.version)"], text=True)
    assert probe("version") == shown.removesuffix("\n")


# Environment, arguments, place.


def test_os_environ_is_the_new_environment_alone(
    probe: Callable[..., Any], environment: Callable[..., dict[str, str]]
) -> None:
    others = {"GREETING": "grüße", "EMPTY": "", "NOT_UTF_8": "\udcff"}
    found = probe("environment", env=others)
    assert found["environ"] == environment("environment", others)
    assert found["getenv"] == "grüße"


def test_a_child_inherits_the_new_environment_and_what_is_added(
    probe: Callable[..., Any], environment: Callable[..., dict[str, str]]
) -> None:
    expected = environment("child", {"GREETING": "hello", "ADDED": "after"})
    assert probe("child", env={"GREETING": "hello"}) == expected


def test_an_environment_larger_than_the_letterbox_is_read_elsewhere(
    probe: Callable[..., Any],
) -> None:
    found = probe("environment", env={"LONG": "x" * 100_000, "GREETING": "hello"})
    assert len(found["environ"]["LONG"]) == 100_000
    assert found["getenv"] == "hello"


def test_sys_argv_is_the_new_command_line(probe: Callable[..., Any], frozen_python: Path) -> None:
    command = [str(frozen_python), "two words", "", "ä", "\udcff"]
    assert probe("arguments", *command) == command


def test_process_and_folder_are_the_new_ones(
    frozen_python: Path, environment: Callable[..., dict[str, str]], report: Path, tmp_path: Path
) -> None:
    with subprocess.Popen([frozen_python], env=environment("place"), cwd=tmp_path) as process:
        assert process.wait(SECONDS) == 0
    assert json.loads(report.read_text()) == [process.pid, str(tmp_path)]


def test_hooks_before_the_freeze_have_run_once(probe: Callable[..., Any]) -> None:
    one, other = probe("hooks"), probe("hooks")
    assert len(one) == 1
    assert one == other, "in the process that was frozen"


# The standard streams.


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[dict[str, int]]:
    """Descriptors of a kind for the three streams."""
    ends: tuple[int, ...]
    with ExitStack() as stack:
        match kind:
            case "pipes":
                reader, writer = ends = os.pipe()
            case "sockets":
                ends = tuple(end.detach() for end in socket.socketpair())
                reader = writer = ends[0]
            case "a terminal":
                ends = os.openpty()
                reader = writer = ends[1]
            case "devices":
                ends = (os.open(os.devnull, os.O_RDWR),)
                reader = writer = ends[0]
            case _:
                ends = (os.open(folder / "file", os.O_RDWR | os.O_CREAT),)
                reader = writer = ends[0]
        for end in ends:
            stack.callback(os.close, end)
        yield {"stdin": reader, "stdout": writer, "stderr": writer}


@pytest.mark.parametrize("kind", ["pipes", "sockets", "files", "devices", "a terminal"])
def test_the_streams_are_what_plain_python_makes_of(
    probe: Callable[..., Any], plain: list[str], tmp_path: Path, kind: str
) -> None:
    with opened(kind, tmp_path) as streams:
        assert probe("streams", **streams) == probe("streams", *plain, **streams)


def test_streams_on_closed_descriptors_are_none(
    probe: Callable[..., Any], frozen_python: Path
) -> None:
    shell = ["/bin/sh", "-c", 'exec "$0" <&- >&- 2>&-', frozen_python]
    assert probe("streams", *shell) == [None, None, None]


def test_a_single_stream_may_be_closed(probe: Callable[..., Any], frozen_python: Path) -> None:
    shell = ["/bin/sh", "-c", 'exec "$0" <&-', frozen_python]
    stdin, stdout, stderr = probe("streams", *shell, stdout=subprocess.PIPE)
    assert stdin is None
    assert (stdout["file"], stderr["file"]) == (1, 2)


def test_text_goes_through_pipes_as_utf_8(
    frozen_python: Path, environment: Callable[..., dict[str, str]]
) -> None:
    result = subprocess.run(
        [frozen_python],
        env=environment("echo"),
        input="grüße\nmore\n".encode(),
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert result.stdout == "out: grüße\n".encode()
    assert result.stderr == "err: grüße\n".encode()


def test_text_goes_through_files_as_utf_8(
    frozen_python: Path, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes("grüße\nmore\n".encode())
    with (
        (tmp_path / "in").open() as stdin,
        (tmp_path / "out").open("w") as stdout,
        (tmp_path / "err").open("w") as stderr,
    ):
        subprocess.run(
            [frozen_python],
            env=environment("echo"),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            timeout=SECONDS,
            check=True,
        )
    assert (tmp_path / "out").read_bytes() == "out: grüße\n".encode()
    assert (tmp_path / "err").read_bytes() == "err: grüße\n".encode()


@pytest.fixture
def on_a_terminal(
    frozen_python: Path, environment: Callable[..., dict[str, str]]
) -> Callable[..., bytes]:
    """Runs the program on a terminal where `typed` is typed; returns what is shown."""

    def run(name: str, typed: bytes = b"") -> bytes:
        keyboard, terminal = os.openpty()
        try:
            tty.setraw(terminal)  # no echo, no carriage returns
            os.write(keyboard, typed)
            subprocess.run(
                [frozen_python],
                env=environment(name),
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                timeout=SECONDS,
                check=True,
            )
            return os.read(keyboard, 1000)
        finally:
            os.close(keyboard)
            os.close(terminal)

    return run


def test_text_goes_through_a_terminal_as_utf_8(on_a_terminal: Callable[..., bytes]) -> None:
    shown = on_a_terminal("echo", "grüße\n".encode())
    assert sorted(shown.decode().splitlines()) == ["err: grüße", "out: grüße"]


def test_lines_appear_on_a_terminal_when_they_end(on_a_terminal: Callable[..., bytes]) -> None:
    assert on_a_terminal("half_a_line") == b"line\nbetween half"


def test_lines_wait_for_the_end_on_a_pipe(
    frozen_python: Path, environment: Callable[..., dict[str, str]]
) -> None:
    result = subprocess.run(
        [frozen_python],
        env=environment("half_a_line"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=True,
    )
    assert result.stdout == b"between line\nhalf"


def test_a_traceback_goes_to_standard_error(
    frozen_python: Path, environment: Callable[..., dict[str, str]]
) -> None:
    result = subprocess.run(
        [frozen_python],
        env=environment("failure"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith("LookupError: on purpose\n")


# Chance and time.


def test_random_and_uuid4_differ_between_processes(probe: Callable[..., Any]) -> None:
    (number, name), (other_number, other_name) = probe("chance"), probe("chance")
    assert number != other_number
    assert name != other_name


def test_the_time_is_now(probe: Callable[..., Any]) -> None:
    before = time.time()
    assert before <= probe("clock") <= time.time()


# Signals.


def test_sigpipe_is_ignored(probe: Callable[..., Any]) -> None:
    assert probe("broken_pipe") == "ignored"


def test_sigint_raises_keyboard_interrupt(
    frozen_python: Path, environment: Callable[..., dict[str, str]], report: Path
) -> None:
    with subprocess.Popen(
        [frozen_python],
        env=environment("interrupt", {"SLEEP": str(SECONDS)}),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        wait_until_asleep(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert json.loads(report.read_text()) == "KeyboardInterrupt"


def test_a_sigint_that_is_ignored_at_the_start_stays_ignored(
    frozen_python: Path, environment: Callable[..., dict[str, str]], report: Path
) -> None:
    with subprocess.Popen(
        [frozen_python],
        env=environment("interrupt", {"SLEEP": "0.2"}),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        wait_until_asleep(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert json.loads(report.read_text()) == "slept"


# What else a handler uses.


def test_threads_start_and_end(probe: Callable[..., Any]) -> None:
    assert probe("threads") == "ended"


def test_endless_recursion_is_an_exception(probe: Callable[..., Any]) -> None:
    """Python 3.14 measures the stack when it starts; the others count calls."""
    assert probe("recursion") == ["RecursionError"] * 3


def test_sqlite_works(probe: Callable[..., Any]) -> None:
    assert probe("database") == sum(range(100))


def test_a_module_is_imported_from_disk(probe: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "imported_late.py").write_text("def handle():\n    return 'from disk'\n")
    assert probe("late_import", env={"LATE": str(tmp_path)}) == "from disk"
