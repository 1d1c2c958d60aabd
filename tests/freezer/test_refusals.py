"""What cannot be frozen is refused, and the message names the culprit."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.freezer import WouldBeLost

Completed = subprocess.CompletedProcess
Freeze = Callable[..., "Completed[str]"]


@pytest.fixture
def refusal(freeze: Freeze, tmp_path: Path) -> Callable[..., str]:
    """Freezes what cannot be, and returns the message."""

    def freeze_in_vain(*command: "str | Path", options: tuple[str, ...] = ()) -> str:
        (tmp_path / "out").mkdir(exist_ok=True)
        result = freeze(*command, output=tmp_path / "out" / "image", options=options)
        is_lost = "the program cannot be frozen as it is:" in result.stderr
        assert result.returncode == (WouldBeLost.status if is_lost else 1)
        assert result.stderr.startswith("freezer: ")
        assert not list((tmp_path / "out").iterdir())
        return result.stderr

    return freeze_in_vain


@pytest.fixture
def refused(compiled: Callable[..., Path], refusal: Callable[..., str]) -> Callable[..., str]:
    """As `refusal`, for the program that makes one mistake after another: name it."""
    program = compiled("refused.c")
    return lambda way, *arguments, **options: refusal(program, way, *arguments, **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some file"
    path.write_bytes(bytes(4096))
    return path


# What a program holds at its freeze point.


def test_a_second_thread_is_named(refused: Callable[..., str]) -> None:
    assert "(watch (dog)) is running" in refused("thread")


def test_a_second_thread_that_stops_the_program_is_named(refused: Callable[..., str]) -> None:
    assert "(stopper) is running" in refused("stopping_thread")


def test_an_open_descriptor_is_named_with_its_target(
    refused: Callable[..., str], file: Path
) -> None:
    assert f"descriptor 3 is open on {file}" in refused("descriptor", file)


@pytest.mark.parametrize(
    "kind", ["an epoll", "an inotify", "a signalfd", "a timerfd", "an eventfd"]
)
def test_a_descriptor_of_the_kernels_own_kinds_is_named(
    refused: Callable[..., str], kind: str
) -> None:
    assert f" ({kind}" in refused("special_descriptors")


def test_a_socket_is_named_with_its_address(refused: Callable[..., str]) -> None:
    message = refused("internet_socket")
    assert "descriptor 3 is open on a TCP socket from 127.0.0.1:" in message
    assert " to 0.0.0.0:0: close it" in message


def test_a_unix_socket_is_named_with_its_path(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a socket"
    assert f"descriptor 3 is open on a unix socket {path}: " in refused("unix_socket", path)


def test_a_lock_is_named_with_its_file(refused: Callable[..., str], file: Path) -> None:
    assert f"descriptor 3 has a lock on {file}: release it" in refused("locked_file", file)


def test_a_temporary_file_made_before_is_named(refused: Callable[..., str]) -> None:
    message = refused("temporary_file")
    (made,) = re.findall(r"- (/tmp/refused-\w{6}) was made on the way to the freeze point", message)
    Path(made).unlink()


def test_another_programs_temporary_file_is_no_matter(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> None:
    folder = tempfile.gettempdir()
    script = f'touch {folder}/of-another-$PPID; "$@"; status=$?; rm {folder}/of-another-$PPID; '
    prefix = ("sh", "-c", f"{script} exit $status", "sh")
    result = freeze(compiled("hello.c"), output=tmp_path / "image", prefix=prefix)
    assert (result.returncode, result.stderr) == (0, "almost ready\n")


def test_data_that_is_mapped_is_named(refused: Callable[..., str], file: Path) -> None:
    assert f"{file} is mapped at 0x" in refused("mapped_data", file)


def test_a_pythons_thread_is_shown_with_its_name_and_what_it_does(
    refusal: Callable[..., str], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import threading\n"
        "from nativecgi import run, text\n"
        "def watch():\n"
        "    threading.Event().wait()\n"
        "threading.Thread(target=watch, name='watch dog', daemon=True).start()\n"
        "run(lambda request: text('hello'))\n"
    )
    root = Path(__file__).parents[2]
    message = refusal(sys.executable, program, options=("-e", f"PYTHONPATH={root}"))
    (thread,) = re.findall(r"- thread (\d+) \(", message)
    assert f"thread {thread} is 'watch dog', here:\n" in message
    assert f'File "{program}", line 4, in watch\n' in message


def test_a_file_mapped_shared_and_writable_is_named(
    refused: Callable[..., str], file: Path
) -> None:
    assert f"{file} is mapped shared and writable" in refused("shared_file", file)


def test_shared_memory_is_named(refused: Callable[..., str]) -> None:
    assert "/dev/zero (deleted) is mapped shared and writable" in refused("shared_memory")


def test_memory_that_is_writable_and_executable_is_named(refused: Callable[..., str]) -> None:
    assert "anonymous memory is writable and executable at 0x" in refused("generated_code")


def test_a_running_child_is_named(refused: Callable[..., str]) -> None:
    assert "(assistant) is running" in refused("child")


def test_a_daemon_is_named(refused: Callable[..., str]) -> None:
    """Which the program has started, though it is its child no more."""
    assert "(assistant) was started on the way to the freeze point" in refused("background")


def test_a_zombie_is_named(refused: Callable[..., str]) -> None:
    assert "(refused) has ended unawaited" in refused("zombie")


def test_an_alarm_is_named(refused: Callable[..., str]) -> None:
    assert "timer ITIMER_REAL is set" in refused("alarm_clock")


def test_an_interval_timer_is_named(refused: Callable[..., str]) -> None:
    assert "timer ITIMER_PROF is set" in refused("profiling_timer")


def test_posix_timers_are_counted(refused: Callable[..., str]) -> None:
    if not Path("/proc/self/timers").exists():
        pytest.skip("this kernel does not list timers (CONFIG_CHECKPOINT_RESTORE)")
    assert "1 timer(s) of timer_create(2) exist" in refused("posix_timer")


def test_a_blocked_signal_is_named(refused: Callable[..., str]) -> None:
    assert "SIGUSR1 is blocked" in refused("blocked_signal")


def test_a_blocked_realtime_signal_is_named(refused: Callable[..., str]) -> None:
    message = refused("blocked_realtime_signal")
    assert "35" in message or "SIGRTMIN+1" in message
    assert "is blocked" in message


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("file_mask", "the umask is 0111, and was "),
        ("folder", "the working folder is /, and was "),
        ("limit", "the limit 'Max open files' (setrlimit(2)) is 77 99 files, and was "),
        ("niceness", "the nice value is "),
        ("policy", "the scheduling policy is 3, and was 0"),
        ("io_priority", "the I/O priority is 24576, and was "),
        ("no_new_privileges", "no_new_privs (PR_SET_NO_NEW_PRIVS) is 1, and was 0"),
        ("filter", "the mode of seccomp(2) is 2, and was 0"),
        ("other_personality", "the personality(2) is 00200000, and was "),
        ("other_name", "the name (PR_SET_NAME) is somebody else, and was refused"),
        ("out_of_memory_score", "oom_score_adj is 777, and was "),
        ("redirected", "descriptor 2 is /dev/null, and was pipe:["),
        ("closed", "descriptor 0 is closed, and was pipe:["),
        ("parents_death", "the signal for the parent's death (PR_SET_PDEATHSIG) is 10, and was 0"),
        ("subreaper", "child_subreaper (PR_SET_CHILD_SUBREAPER) is 1, and was 0"),
    ],
)
def test_what_a_process_would_lose_is_named(
    refused: Callable[..., str], way: str, what: str
) -> None:
    """What it has set that is not in its memory: a thaw does not set it."""
    message = refused(way)
    assert f"- {what}" in message
    assert "set it after the freeze point" in message


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("undumpable", "dumpable (PR_SET_DUMPABLE) is 0, and was 1"),
        ("capability", "the bounding set of capabilities is "),
        ("securebits", "the securebits (PR_SET_SECUREBITS) is 1, and was 0"),
        ("namespace", "the namespace uts (namespaces(7)) is uts:["),
        ("groups", "the list of groups is 4711, and was "),
    ],
)
def test_what_only_root_may_set_is_named(refused: Callable[..., str], way: str, what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may set it, or freeze a program that has")
    assert f"- {what}" in refused(way)


def test_a_program_that_cannot_be_read_is_told_why(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> None:
    """By a user who may not read every program."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root may give up its right, with setpriv(1)")
    prefix = ("setpriv", "--bounding-set", "-sys_ptrace")
    command = (compiled("refused.c"), "undumpable")
    result = freeze(*command, output=tmp_path / "image", prefix=prefix)
    assert result.returncode == 1
    assert "does not let its memory be read (PR_SET_DUMPABLE, prctl(2))" in result.stderr


def test_processors_that_a_program_has_chosen_are_named(refused: Callable[..., str]) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor to choose from")
    assert "- the set of processors (sched_setaffinity(2)) is " in refused("processors")


def test_all_problems_are_listed_at_once(refused: Callable[..., str], file: Path) -> None:
    _head, *problems = refused("several", file).splitlines()
    assert len(problems) == 3
    for problem, culprit in zip(problems, (str(file), "ITIMER_REAL", "SIGUSR1"), strict=True):
        assert problem.startswith("  - ")
        assert culprit in problem


def test_the_gs_register_is_named(refused: Callable[..., str]) -> None:
    assert "GS register" in refused("gs_register")


def test_another_stack_is_refused(refused: Callable[..., str]) -> None:
    assert "has left the stack it was given" in refused("other_stack")


# How a program fails to get to its freeze point.


def test_an_exit_is_told_with_status_and_output(refused: Callable[..., str]) -> None:
    message = refused("leave")
    assert "exited with status 7 before its freeze point" in message
    assert "there is no configuration" in message


def test_a_crash_is_told_with_the_signal(refused: Callable[..., str]) -> None:
    assert "was killed by SIGABRT before its freeze point" in refused("crash")


def test_death_by_a_realtime_signal_is_told(refused: Callable[..., str]) -> None:
    message = refused("end_by_realtime_signal")
    assert "35" in message or "SIGRTMIN+1" in message
    assert "before its freeze point" in message


def test_a_hang_is_told_with_the_time_and_output(refused: Callable[..., str]) -> None:
    message = refused("hang", options=("--timeout", "0.5"))
    assert "did not reach its freeze point within 0.5 seconds" in message
    assert "still waiting" in message


def test_another_program_in_its_place_is_named(refused: Callable[..., str]) -> None:
    program = Path("/bin/sh").resolve()
    assert f"started another program in its place: freeze {program} itself" in refused(
        "other_program"
    )


def test_a_python_traceback_is_shown(refusal: Callable[..., str]) -> None:
    message = refusal(sys.executable, "-c", "import no_such_module")
    assert "exited with status 1" in message
    assert "No module named 'no_such_module'" in message


# What is no program that can be frozen.


def test_a_program_that_does_not_exist_is_named(refusal: Callable[..., str]) -> None:
    assert "there is no program './no-such-program'" in refusal("./no-such-program")


def test_a_file_that_is_not_executable_is_named(refusal: Callable[..., str], file: Path) -> None:
    assert f"there is no program {str(file)!r} that can be executed" in refusal(file)


def test_an_executable_file_that_is_no_program_is_named(
    refusal: Callable[..., str], file: Path
) -> None:
    file.chmod(0o755)
    assert f"cannot execute {file}: Exec format error" in refusal(file)


def test_a_program_of_32_bits_is_named(
    compiled: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    program = compiled("foreign.c", "-m32", "-nostdlib", "-static", "-fno-stack-protector")
    try:
        subprocess.run([program], check=True)
    except OSError:
        pytest.skip("this kernel runs no programs of 32 bits")
    assert f"{program} is not a 64-bit program" in refusal(program)


@pytest.mark.parametrize("linking", ["-static", "-rdynamic"])
def test_musl_is_told_from_glibc(
    compiled: Callable[..., Path], refusal: Callable[..., str], linking: str
) -> None:
    program = compiled("hello.c", linking, compiler="musl-gcc", optional=True)
    message = refusal(program)
    assert f"{program} shows no symbols of the GNU C library" in message
    assert "another C library" in message


def test_a_static_program_without_symbols_is_named(
    compiled: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    program = compiled("hello.c", "-static", "-s", optional=True)
    message = refusal(program)
    assert f"{program} shows no symbols of the GNU C library" in message
    assert "statically" in message


# What the machine does not allow.


def test_a_missing_output_folder_is_named(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> None:
    result = freeze(compiled("hello.c"), output=tmp_path / "missing" / "image")
    assert result.returncode == 1
    assert f"there is no folder {tmp_path / 'missing'}" in result.stderr


def test_an_output_that_is_a_folder_is_named(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> None:
    (tmp_path / "image").mkdir()
    result = freeze(compiled("hello.c"), output=tmp_path / "image")
    assert result.returncode == 1
    assert str(tmp_path / "image") in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_where_ptrace_is_not_permitted_the_remedy_is_named(
    compiled: Callable[..., Path], freeze: Freeze, programs: Path, tmp_path: Path
) -> None:
    prefix = [sys.executable, programs / "without_call.py", "ptrace"]
    result = freeze(compiled("hello.c"), output=tmp_path / "image", prefix=prefix)
    if result.returncode == 77:
        pytest.skip("no seccomp filter can be set here")
    assert result.returncode == 1
    assert "ptrace(2) is not permitted here" in result.stderr
    assert "--cap-add=SYS_PTRACE" in result.stderr
    assert not list(tmp_path.iterdir())


def test_where_randomization_may_not_be_switched_off_nothing_is_reproducible(
    compiled: Callable[..., Path], freeze: Freeze, programs: Path, tmp_path: Path
) -> None:
    prefix = [sys.executable, programs / "without_call.py", "personality"]
    settings = {"output": tmp_path / "image", "prefix": prefix}
    result = freeze(compiled("hello.c"), **settings, options=["--reproducible", "seed"])
    if result.returncode == 77:
        pytest.skip("no seccomp filter can be set here")
    assert result.returncode == 1
    assert "personality(2) may not switch address space randomization off" in result.stderr
    assert "--security-opt seccomp=" in result.stderr
    assert not list(tmp_path.iterdir())
    assert freeze(compiled("hello.c"), **settings).returncode == 0, "others need no such right"


def test_a_hard_limit_on_the_stack_is_named(
    compiled: Callable[..., Path], freeze: Freeze, programs: Path, tmp_path: Path
) -> None:
    prefix = [sys.executable, programs / "with_hard_stack_limit.py"]
    result = freeze(compiled("hello.c"), output=tmp_path / "image", prefix=prefix)
    if result.returncode == 77:
        pytest.skip("root's right to lift limits cannot be given up here")
    assert result.returncode == 1
    assert f"hard limit of {8 << 20} bytes" in result.stderr
    assert not list(tmp_path.iterdir())
