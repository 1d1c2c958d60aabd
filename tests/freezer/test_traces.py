"""Freezing leaves nothing behind but the image, and nothing of the builder in that."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.freezer import procfs

Freeze = Callable[..., "subprocess.CompletedProcess[str]"]
SECONDS = 10


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def is_alive(pid: int) -> bool:
    try:
        stat = procfs.parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.state not in "ZX"  # a zombie is its new parent's to bury


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def has_report(report: Path) -> bool:
    return report.exists() and report.read_text().endswith("\n")


def all_have_ended(report: Path) -> bool:
    """The processes whose ids a program has written down are no more."""
    pids = [int(pid) for pid in report.read_text().split()]
    assert len(pids) == 2
    return soon(lambda: not any(map(is_alive, pids)))


# Processes.


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("report_assistant", "cannot be frozen as it is"),
        ("report_background", "cannot be frozen as it is"),
        ("leave_background", "exited with status 1"),
        ("hang_with_assistant", "did not reach its freeze point"),
        ("leave_assistant", "exited with status 1"),
    ],
)
def test_a_refused_program_ends_with_all_it_has_started(
    compiled: Callable[..., Path],
    freeze: Freeze,
    out: Path,
    tmp_path: Path,
    way: str,
    reason: str,
) -> None:
    report = tmp_path / "report"
    result = freeze(
        *(compiled("refused.c"), way, report), output=out / "image", options=["--timeout", "0.5"]
    )
    assert reason in result.stderr
    assert all_have_ended(report)
    assert not list(out.iterdir())


def test_a_frozen_program_s_first_process_has_ended(
    freeze: Freeze, out: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    command = ("/bin/sh", "-c", 'echo $$ >"$0"; kill -STOP $$', report)
    assert freeze(*command, output=out / "image").returncode == 0
    assert not is_alive(int(report.read_text()))


@pytest.fixture
def hanging(
    compiled: Callable[..., Path],
    freezer_command: Callable[..., list[str]],
    freezer_environment: dict[str, str],
    out: Path,
    tmp_path: Path,
) -> "tuple[subprocess.Popen[str], Path]":
    """A freezer whose program hangs, and where that has written its processes' ids."""
    report = tmp_path / "report"
    command = freezer_command(
        *(compiled("refused.c"), "hang_with_assistant", report), output=out / "image"
    )
    process = subprocess.Popen(
        command,
        env=freezer_environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert soon(lambda: has_report(report))
    return process, report


def test_an_interrupted_freezer_ends_all(
    hanging: "tuple[subprocess.Popen[str], Path]", out: Path
) -> None:
    process, report = hanging
    with process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode
    assert all_have_ended(report)
    assert not list(out.iterdir())


def test_a_killed_freezer_takes_the_program_along(
    hanging: "tuple[subprocess.Popen[str], Path]", out: Path
) -> None:
    process, report = hanging
    program, assistant = map(int, report.read_text().split())
    with process:
        process.kill()
        process.communicate(timeout=SECONDS)
    assert soon(lambda: not is_alive(program))
    assert not list(out.iterdir())
    os.kill(assistant, signal.SIGKILL)  # nobody is left who could


# Files.


def test_the_image_is_all_that_is_written(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    assert freeze(compiled("hello.c"), output=out / "image").returncode == 0
    assert [path.name for path in out.iterdir()] == ["image"]


def test_an_image_is_replaced_at_once(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    image = out / "image"
    image.write_bytes(b"an older image")
    with image.open("rb") as older:
        assert freeze(compiled("hello.c"), output=image).returncode == 0
        assert older.read() == b"an older image", "who has it open keeps it whole"
    assert image.read_bytes().startswith(b"\x7fELF")


def test_an_image_may_go_to_another_file_system(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip(f"{other} is not another file system")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        image = Path(folder, "image")
        assert freeze(compiled("hello.c"), output=image).returncode == 0
        assert [path.name for path in image.parent.iterdir()] == ["image"]


def test_an_image_is_kept_where_freezing_fails(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    image = out / "image"
    image.write_bytes(b"an older image")
    assert freeze(compiled("refused.c"), "leave", output=image).returncode == 1
    assert image.read_bytes() == b"an older image"
    assert [path.name for path in out.iterdir()] == ["image"]


# Traces of the builder in the image.


def test_a_string_of_the_program_s_is_in_the_image(frozen_hello: Path) -> None:
    """So that the tests below would find what they look for."""
    assert b"hello from before" in frozen_hello.read_bytes()


def test_the_freezer_s_environment_is_not_in_the_image(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    env = {"SECRET": "the-freezer-s-secret"}
    assert freeze(compiled("hello.c"), output=out / "image", env=env).returncode == 0
    assert b"the-freezer-s-secret" not in (out / "image").read_bytes()


def test_the_freezer_s_input_is_not_in_the_image(freeze: Freeze, out: Path) -> None:
    result = freeze(
        *("/bin/sh", "-c", 'read line; echo "read: $line."; kill -STOP $$'),
        output=out / "image",
        stdin="the-freezer-s-input\n",
    )
    assert (result.returncode, result.stderr) == (0, "read: .\n")
    assert b"the-freezer-s-input" not in (out / "image").read_bytes()


def test_the_command_line_is_not_in_the_image(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    result = freeze(compiled("hello.c"), "the-argument", output=out / "image")
    assert result.returncode == 0
    assert b"the-argument" not in (out / "image").read_bytes()


def test_the_command_line_is_not_in_the_image_of_a_program_with_a_guard_page(
    compiled: Callable[..., Path], freeze: Freeze, out: Path
) -> None:
    result = freeze(compiled("guarded.c"), "the-argument", output=out / "image")
    assert result.returncode == 0
    assert b"the-argument" not in (out / "image").read_bytes()


def test_the_program_s_folder_is_not_in_the_image(
    compiled: Callable[..., Path], freeze: Freeze, out: Path, tmp_path: Path
) -> None:
    program = tmp_path / "the-builder-s-folder" / "program"
    program.parent.mkdir()
    program.write_bytes(compiled("hello.c").read_bytes())
    program.chmod(0o755)
    assert freeze(program, output=out / "image").returncode == 0
    assert b"the-builder-s-folder" not in (out / "image").read_bytes()


def test_what_finished_calls_left_on_the_stack_is_not_in_the_image(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    image = frozen(compiled("leftovers.c"))
    assert b"leftover-secret" not in image.read_bytes()


# As CPython keeps them: in one byte a character, in two, in four; and one that is not UTF-8.
FOLDERS = (
    "forgotten",
    "vergess\xf6n",
    "\u0437\u0430\u0431\u044b\u0442",
    "snake-\U0001f40d",
    "not-\udcff",
)


@pytest.mark.parametrize("name", FOLDERS, ids=ascii)
def test_a_forgotten_folder_stands_nowhere_in_the_image(
    freeze: Freeze, out: Path, tmp_path: Path, name: str
) -> None:
    folder, other = tmp_path / name, tmp_path / "another"
    folder.mkdir()
    (folder / "program.py").write_text(
        "import os, signal, sys\n"
        "paths = [sys.path[0], __file__, str([sys.path[0]]), os.fsencode(__file__)]\n"
        "paths += [__file__ + wide for wide in ('\xff', '\uffff', '\U0001f40d')]\n"
        f"paths.append('{other}')\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
        "os.write(1, ascii(paths).encode())\n"
        "assert all(path == path[:0].join([path]) == path[:7] + path[7:] for path in paths)\n",
    )
    image = out / "image"
    options = ["--forget", str(folder), "--forget", str(other)]
    result = freeze(sys.executable, folder / "program.py", output=image, options=options)
    assert result.returncode == 0, result.stderr
    content = image.read_bytes()
    for path in (str(folder), str(other)):
        assert os.fsencode(path) not in content
        for encoding in ("utf-16-le", "utf-32-le"):
            assert path.encode(encoding, "surrogatepass") not in content
        assert path.encode("latin-1", "replace") not in content
    answer = subprocess.run([image], capture_output=True, text=True, check=True).stdout
    assert answer.count("/proc/frozen-") >= 7


@pytest.mark.parametrize(("name", "in_its_place"), [("/marker7", b"/proc/fr"), ("/m", None)])
def test_a_short_path_is_forgotten_or_refused(
    freeze: Freeze, out: Path, name: str, in_its_place: bytes | None
) -> None:
    source = f"import os, signal; kept = '<{name}>'; os.kill(os.getpid(), signal.SIGSTOP)"
    image = out / "image"
    result = freeze(sys.executable, "-c", source, output=image, options=["--forget", name])
    if in_its_place is None:
        assert "/m is too short to be replaced" in result.stderr
    else:
        assert b"<" + in_its_place + b">" in image.read_bytes()
        assert name.encode() not in image.read_bytes()


def test_nothing_of_who_builds_it_is_in_a_python_programs_image(
    freeze: Freeze, programs: Path, out: Path, tmp_path: Path
) -> None:
    """Of a program that has asked for its home, and whose user has a name of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may have another user database")
    users = tmp_path / "passwd"
    users.write_text("marker-of-user:x:0:0:marker-of-name:/home/marker-of-users-home:/bin/sh\n")
    script = f'mount --bind {users} /etc/passwd && exec "$@"'
    result = freeze(
        *(sys.executable, programs / "fresh.py"),
        output=out / "image",
        options=["-e", f"PYTHONPATH={programs.parent.parent}"],
        prefix=("unshare", "--mount", "sh", "-c", script, "sh"),
        env={name: f"/marker-of-{name}" for name in ("HOME", "USER", "LOGNAME", "SECRET")},
        stdin="marker-of-input\n",
    )
    assert result.returncode == 0, result.stderr
    image = (out / "image").read_bytes()
    for encoding in ("utf-8", "utf-32-le"):
        assert "marker-of-".encode(encoding) not in image


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_freezer_that_is_told_to_end_leaves_nothing_behind(
    freezer_command: Callable[..., list[str]],
    freezer_environment: dict[str, str],
    compiled: Callable[..., Path],
    out: Path,
    number: signal.Signals,
) -> None:
    """In the middle of a trial there is a draft, and a process that runs it."""
    options = ["--trial", "PROBE=hang"]
    command = freezer_command(compiled("probe.c"), output=out / "image", options=options)
    freezer = subprocess.Popen(command, env=freezer_environment, stderr=subprocess.PIPE, text=True)
    assert soon(lambda: any(draft_is_run(child.pid, out) for child in procfs.children(freezer.pid)))
    freezer.send_signal(number)
    _output, message = freezer.communicate(timeout=SECONDS)
    assert freezer.returncode == 128 + number
    assert "Traceback" not in message
    assert not list(out.iterdir())


def draft_is_run(pid: int, folder: Path) -> bool:
    try:
        return procfs.executable(pid).is_relative_to(folder)
    except (FileNotFoundError, ProcessLookupError):
        return False
