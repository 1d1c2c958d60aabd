"""A crash in C is answered: nuitka_plugins/crash.c and what nativecgi does for it.

crash.c is compiled as an extension module here, which plain Python's programs then find.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.scripts import cgiscript
from tests.extensions import build
from tests.gateways.test_cgi import BOTTOM, ERROR, GET, SECONDS, TOP, answer

Run = Callable[..., subprocess.CompletedProcess[bytes]]

HEADER = b"Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
CRASHING = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)

# A handler's last lines.
NULL = """
    import ctypes
    ctypes.string_at(0)
"""
READ_NULL = f"def handle(request):{NULL}"
SCRIPT = "import ctypes, sys\n\nprint('Content-Type: text/plain\\n')\n"


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the module."""
    folder = tmp_path_factory.mktemp("extension")
    build("crash", folder)
    return folder


@pytest.fixture
def environment(extension: Path) -> dict[str, str]:
    return GET | {"PYTHONPATH": f"{GET['PYTHONPATH']}{os.pathsep}{extension}"}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs a program until it ends; `env` comes on top of the request's."""

    def run_(source: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        program = tmp_path / "program.py"
        program.write_text(TOP + source + BOTTOM)
        return subprocess.run(
            [sys.executable, program],
            input=stdin,
            env=environment | env,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    return run_


@pytest.fixture
def run_script(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs an old script likewise."""

    def run_(source: str) -> subprocess.CompletedProcess[bytes]:
        script, copy = tmp_path / "script.cgi", tmp_path / "copy.cgi"
        script.write_text(source)
        copy.write_text(cgiscript.freezable(script).source)
        return subprocess.run(
            [sys.executable, copy],
            env=environment,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    return run_


def first_line(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode().splitlines()[0]


# --- what the client gets ---


@pytest.mark.parametrize("number", CRASHING, ids=lambda number: number.name)
def test_a_crash_is_answered_with_500_and_ends_the_process_by_its_signal(
    run: Run, number: signal.Signals
) -> None:
    done = run(f"import signal\ndef handle(request): signal.raise_signal({number})")
    assert (done.returncode, done.stdout) == (-number, ERROR)


def test_a_crash_in_a_thread_is_answered(run: Run) -> None:
    done = run(
        f"""
import threading
def crash():{NULL}
def handle(request):
    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
"""
    )
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, ERROR)


def test_a_crash_before_the_first_piece_of_a_stream_is_answered(run: Run) -> None:
    pieces = f"def pieces():{NULL}    yield b''\n"
    done = run(f"{pieces}def handle(request): return stream(pieces())")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, ERROR)


def test_a_crash_in_a_hook_is_answered(run: Run) -> None:
    done = run(f"@after_thaw\ndef crash():{NULL}def handle(request): pass")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, ERROR)


def test_the_answer_to_head_has_no_body(run: Run) -> None:
    head, separator, _body = ERROR.partition(b"\r\n\r\n")
    assert run(READ_NULL, REQUEST_METHOD="HEAD").stdout == head + separator


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_nph_program_answers_with_a_status_line(run: Run, method: str) -> None:
    done = run(READ_NULL, SCRIPT_NAME="/cgi-bin/nph-program", REQUEST_METHOD=method)
    assert done.stdout.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert done.stdout.endswith(b"\r\n\r\n" + b"Internal Server Error\n" * (method == "GET"))


def test_nothing_is_added_to_an_answer_that_has_begun(run: Run) -> None:
    pieces = f"def pieces():\n    yield b'begun'{NULL}"
    done = run(f"{pieces}def handle(request): return stream(pieces())")
    assert done.returncode == -signal.SIGSEGV
    assert done.stdout.endswith(b"\r\n\r\nbegun")
    assert first_line(done).endswith(", after the answer had begun")


def test_a_crash_after_the_answer_leaves_it_as_it_is(run: Run) -> None:
    done = run(
        """
import atexit, os
def handle(request):
    atexit.register(os.abort)
    return text("done")
"""
    )
    assert (done.returncode, done.stdout) == (-signal.SIGABRT, answer(b"done"))


def test_a_child_process_does_not_answer_for_its_parent(run: Run) -> None:
    done = run(
        """
import os
def handle(request):
    child = os.fork()
    if not child:
        os.abort()
    return text(f"{os.waitpid(child, 0)[1] & 0x7f}")
"""
    )
    assert (done.returncode, done.stdout) == (0, answer(b"6"))
    assert b": SIGABRT" in done.stderr


def test_a_crash_after_a_child_process_is_answered(run: Run) -> None:
    done = run(
        f"""
import multiprocessing, subprocess
def handle(request):
    subprocess.run(["true"])
    process = multiprocessing.get_context("fork").Process(target=print)
    process.start()
    process.join(){NULL}
"""
    )
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, ERROR)


def test_a_pool_that_loses_a_process_is_an_exception_and_answered_once(run: Run) -> None:
    done = run(
        """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
def handle(request):
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(os.abort).result()
"""
    )
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert b"BrokenProcessPool" in done.stderr


def test_a_body_that_is_left_unread_is_read(environment: dict[str, str], tmp_path: Path) -> None:
    """Apache's mod_cgid and fcgiwrap lose the answer otherwise."""
    body = b"x" * 500_000  # much more than a pipe holds
    program = tmp_path / "program.py"
    program.write_text(TOP + READ_NULL + BOTTOM)
    process = subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))},
    )
    with process:
        assert process.stdin is not None
        process.stdin.write(body)  # raises BrokenPipeError if nobody reads it
        process.stdin.close()
        assert process.stdout is not None
        assert process.stdout.read() == ERROR


def test_a_server_that_has_the_answer_does_not_cut_off_the_log(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """lighttpd sends SIGTERM then."""
    program = tmp_path / "program.py"
    program.write_text(TOP + READ_NULL + BOTTOM)
    process = subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "1"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(len(ERROR)) == ERROR
        process.send_signal(signal.SIGTERM)  # it waits for the body
        assert process.stdin is not None
        process.stdin.close()
        assert process.stderr is not None
        assert b" in handle\n" in process.stderr.read()
    assert process.returncode == -signal.SIGSEGV


# --- what the log gets ---


def test_the_log_has_a_line_and_the_functions_under_way(run: Run) -> None:
    done = run(READ_NULL, PATH_INFO="/a")
    assert re.match(r"nativecgi: GET /cgi-bin/program/a: SIGSEGV \(.*\)$", first_line(done))
    assert re.search(rb'^  File ".*program.py", line 4 in handle$', done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/a\nnativecgi: all is well", r"/a\x0anativecgi: all is well:"), ("/é", r"/\xc3\xa9:")],
)
def test_a_client_cannot_write_lines_of_its_own(run: Run, path: str, shown: str) -> None:
    assert first_line(run(READ_NULL, PATH_INFO=path)).startswith(
        f"nativecgi: GET /cgi-bin/program{shown}"
    )


def test_a_long_path_is_cut_off(run: Run) -> None:
    line = first_line(run(READ_NULL, PATH_INFO="/" + "\x01" * 100_000))
    assert len(line) < 2048
    assert "SIGSEGV" in line


def test_the_log_has_where_the_programs_own_faulthandler_writes(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "faults.log"
    done = run(f"import faulthandler\nfaulthandler.enable(open({str(log)!r}, 'w'))\n{READ_NULL}")
    assert done.stdout == ERROR
    assert len(done.stderr.splitlines()) == 1
    assert "in handle" in log.read_text()


def test_an_illegal_instruction_names_the_cpu_unless_it_is_illegal_on_all(run: Run) -> None:
    execute = """
import ctypes, mmap
def handle(request):
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex({code!r}))
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""
    ud2, not_in_64_bit_mode = "0f0b", "06"
    assert "this CPU lacks" not in first_line(run(execute.format(code=ud2)))
    assert "this CPU lacks" in first_line(run(execute.format(code=not_in_64_bit_mode)))


def test_a_program_without_the_module_crashes_as_python_does(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TOP + READ_NULL + BOTTOM)
    done = subprocess.run([sys.executable, program], env=GET, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGSEGV, b"", b"")


# --- scripts ---


def test_a_scripts_crash_is_answered_while_its_output_is_in_memory(run_script: Run) -> None:
    done = run_script(f"{SCRIPT}ctypes.string_at(0)\n")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, ERROR)


def test_a_scripts_output_breaks_off_where_it_has_been_flushed(run_script: Run) -> None:
    done = run_script(f"{SCRIPT}sys.stdout.flush()\nctypes.string_at(0)\n")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, b"Content-Type: text/plain\n\n")
    assert "after the answer had begun" in first_line(done)
