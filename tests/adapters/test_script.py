"""nativecgi.adapters.script: old CGI scripts as processes, run as a server would run them.

What `run` runs is done twice: by the interpreter, and by a program that is frozen.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.scripts import cgiscript
from tests.asleep import wait_until_asleep
from tests.conftest import ROOT
from tests.gateways.test_cgi import ERROR, GET, SECONDS, closing, read_until, rest, running

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Write = Callable[[str], list[str]]
Command = Callable[[str], tuple[list[str], dict[str, str]]]

HEAD = "import os, sys\n\nprint('Content-Type: text/plain\\n')\n"
HEADER = b"Content-Type: text/plain\n\n"
FAIL = "raise LookupError('<secret>')\n"

# The environment in which a program is frozen.
OPTIONS = ("-e", f"PYTHONPATH={ROOT}", "-e", "PYTHONWARNINGS=ignore")

needs_cgi = pytest.mark.skipif(
    importlib.util.find_spec("cgi") is None, reason="legacy-cgi is not installed"
)


@pytest.fixture
def program(tmp_path: Path) -> Write:
    """Writes a script, and gives the command that runs its copy."""

    def write(source: str) -> list[str]:
        script = tmp_path / "script.cgi"
        script.write_text(source)
        copy = tmp_path / "copy" / "script.cgi"
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(cgiscript.freezable(script).source)
        return [sys.executable, "-Wignore", str(copy)]

    return write


@pytest.fixture(params=["plain", "frozen"])
def command(request: pytest.FixtureRequest, program: Write, programs: Path) -> Command:
    """Gives what runs a script: the command, and what it needs in its environment."""
    if request.param == "plain":
        return lambda source: (program(source), {})
    frozen = request.getfixturevalue("frozen")
    image = frozen(Path(sys.executable), programs / "script.py", options=OPTIONS)
    return lambda source: ([str(image)], {"SCRIPT": source})


@pytest.fixture
def run(command: Command, tmp_path: Path) -> Run:
    """Runs a script in a folder of its own until it ends; `env` comes on top of the request's."""

    def run_(source: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        arguments, own = command(source)
        return subprocess.run(
            arguments,
            input=stdin,
            env=GET | env | own,
            cwd=tmp_path,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    return run_


def post(body: bytes, content_type: str = "application/x-www-form-urlencoded") -> dict[str, str]:
    """What comes on top for a POST."""
    length = str(len(body))
    return {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length, "CONTENT_TYPE": content_type}


# --- output ---


def test_what_a_script_prints_is_the_answer(run: Run) -> None:
    done = run(HEAD + "print('Zoë \\udcff')\n")
    assert (done.returncode, done.stdout) == (0, HEADER + "Zoë ".encode() + b"\xff\n")
    assert done.stderr == b""


def test_text_and_bytes(run: Run) -> None:
    source = "print('text')\nsys.stdout.flush()\nsys.stdout.buffer.write(b'\\0bytes')\n"
    assert run(HEAD + source).stdout == HEADER + b"text\n\0bytes"


def test_a_child_processes_output_is_where_it_was_made(run: Run) -> None:
    source = "sys.stdout.flush()\nos.system('echo child')\nprint('parent')\n"
    assert run(HEAD + source).stdout == HEADER + b"child\nparent\n"


def test_output_is_buffered_as_pythons_is(run: Run) -> None:
    source = "os.write(1, b'early ')\nprint('late')\n"
    assert run("import os\n\nprint('later')\n" + source).stdout == b"early later\nlate\n"


def test_output_is_not_buffered_where_the_first_line_says_so(program: Write) -> None:
    source = "print('first', end=' ')\nos.write(1, b'second ')\nsys.stdout.buffer.write(b'third')\n"
    command = program("#!/usr/bin/python3 -u\nimport os, sys\n\n" + source)
    done = subprocess.run(command, env=GET, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout == b"first second third"


def test_a_stream_that_the_script_puts_in_place_is_written_out(run: Run) -> None:
    source = "import io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'latin-1')\nprint('Zoë')"
    assert run("import sys\n\n" + source).stdout == "Zoë\n".encode("latin-1")


@pytest.mark.parametrize("more", ["", FAIL])
def test_a_stream_may_be_taken_apart(run: Run, more: str) -> None:
    source = "import io\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'latin-1')\n"
    done = run("import sys\n\n" + source + "print('Zoë')\n" + more)
    assert done.stdout == "Zoë\n".encode("latin-1")


@pytest.mark.parametrize("more", ["", FAIL])
def test_a_stream_may_be_closed(run: Run, more: str) -> None:
    assert run(HEAD + "sys.stdout.close()\n" + more).stdout == HEADER


def test_a_stream_that_the_script_keeps_is_written_out(run: Run) -> None:
    source = "import io\nout = io.TextIOWrapper(sys.stdout.buffer, 'latin-1')\nout.write('Zoë')"
    assert run("import sys\n\n" + source).stdout == "Zoë".encode("latin-1")


@pytest.mark.parametrize("flag", ["", " -u"])
def test_a_client_that_has_gone_is_a_line_and_status_1(program: Write, flag: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        program(f"#!/usr/bin/python3{flag}\n{HEAD}"),
        env=GET,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr.count(b"[Errno 32] Broken pipe") >= 1


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-", "</dev/null", ">/dev/null"])
def test_streams_may_be_closed(program: Write, redirection: str) -> None:
    command = program(HEAD)
    done = closing(redirection, [command[0], command[2]])
    assert done.returncode == 0


def test_a_terminal_sees_each_line(program: Write) -> None:
    terminal, end = os.openpty()
    source = "print('one')\nsys.stdin.readline()\n"
    with subprocess.Popen(
        program("import sys\n\n" + source), env=GET, stdin=subprocess.PIPE, stdout=end
    ) as process:
        assert os.read(terminal, 100) == b"one\r\n"
        assert process.stdin
        process.stdin.close()
    os.close(terminal)
    os.close(end)


# --- the request ---

ECHO = HEAD + "print(repr(sys.stdin.read()))\n"


def test_the_body_is_standard_input(run: Run) -> None:
    body = "Zoë".encode()
    assert run(ECHO, body, **post(body)).stdout == HEADER + "'Zoë'\n".encode()


def test_a_body_without_a_length_is_standard_input(run: Run) -> None:
    assert run(ECHO, b"body").stdout == HEADER + b"'body'\n"


def test_a_body_ends_at_its_length(program: Write) -> None:
    with running(program(ECHO), **post(b"12345")) as process:
        assert process.stdin
        process.stdin.write(b"12345, and the input stays open")
        assert read_until(process.stdout, b"'12345'\n")


def test_a_file_as_standard_input_is_named_and_read_as_in_python(
    command: Command, tmp_path: Path
) -> None:
    arguments, own = command(HEAD + "print(sys.stdin.name, sys.stdin.mode, [*sys.stdin])\n")
    (tmp_path / "body").write_bytes(b"a\r\nb\rc")
    with (tmp_path / "body").open("rb") as body:
        done = subprocess.run(arguments, stdin=body, env=GET | own, capture_output=True, check=True)
    assert done.stdout == HEADER + b"<stdin> r ['a\\r\\n', 'b\\rc']\n"


def test_a_file_as_standard_output_is_named_as_in_python(command: Command, tmp_path: Path) -> None:
    arguments, own = command(HEAD + "print(sys.stdout.name, sys.stdout.mode, sys.stdout.encoding)")
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(arguments, stdout=out, env=GET | own, check=True)
    assert (tmp_path / "out").read_bytes() == HEADER + b"<stdout> w utf-8\n"


SETTINGS = """import os, sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "lib"))
os.environ.setdefault("FIRST", "default")
os.environ["SECOND"] = here

print("Content-Type: text/plain\\n")
print(sys.path[:2] == [here + "/lib", here], os.environ["FIRST"], os.environ["SECOND"] == here)
"""


@pytest.mark.parametrize(("env", "first"), [({}, b"default"), ({"FIRST": "server"}, b"server")])
def test_settings_hold_in_each_process(program: Write, env: dict[str, str], first: bytes) -> None:
    done = subprocess.run(program(SETTINGS), env=GET | env, capture_output=True, check=True)
    assert done.stdout == HEADER + b"True " + first + b" True\n"


def test_a_wsgi_application_sees_what_the_script_sets(program: Write) -> None:
    source = """import os
from wsgiref.handlers import CGIHandler
os.environ["SCRIPT_NAME"] = "/shop"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode()]
CGIHandler().run(app)
"""
    env = GET | {"PATH_INFO": "/a"}
    done = subprocess.run(program(source), env=env, capture_output=True, check=True)
    assert done.stdout.endswith(b"\r\n\r\n/shop/a")


def test_a_trial_runs_nothing_of_a_wsgi_application(program: Write) -> None:
    source = "from wsgiref.handlers import CGIHandler\nCGIHandler().run(lambda *_: 1 / 0)\n"
    env = GET | {"NATIVECGI_TRIAL": "1"}
    done = subprocess.run(program(source), env=env, capture_output=True, check=True)
    assert done.stdout.startswith(b"Status: 200 OK\r\n")


@pytest.mark.parametrize("length", ["100", "x", "-1"])
def test_a_body_of_another_length_is_what_there_is(run: Run, length: str) -> None:
    done = run(ECHO, b"body", **post(b"") | {"CONTENT_LENGTH": length})
    assert (done.returncode, done.stdout) == (0, HEADER + b"'body'\n")


def test_standard_input_has_a_descriptor(run: Run) -> None:
    source = "import subprocess\nsys.stdout.flush()\nsubprocess.run(['cat'], stdin=sys.stdin)\n"
    done = run(HEAD + source, b"body", **post(b"body"))
    assert done.stdout == HEADER + b"body"


@pytest.mark.parametrize("source", [HEAD, HEAD + "sys.stdin.read(10)\n", "import os\n\n1 / 0\n"])
def test_an_unread_body_is_drained(command: Command, source: str) -> None:
    body = b"x" * 1_000_000
    arguments, own = command(source)
    with running(arguments, **post(body), **own) as process:
        assert process.stdin
        process.stdin.write(body)  # more than a pipe holds
        assert rest(process.stdout)


@pytest.mark.parametrize(
    "source",
    [
        "print(os.read(0, 5))\n",
        "print(os.fdopen(0, 'rb').read(5))\n",
        "sys.stdout.flush()\nos.system('head -c 5')\n",
        "print(sys.stdin.read())\n",
    ],
)
def test_a_server_may_keep_the_input_open_whoever_reads_it(command: Command, source: str) -> None:
    arguments, own = command(HEAD + source)
    with running(arguments, **post(b"12345"), **own) as process:
        assert process.stdin
        process.stdin.write(b"12345")
        process.stdin.flush()
        assert b"12345" in rest(process.stdout)
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("source", [HEAD, HEAD + "sys.stdin.read(10)\n", "import os\n\n1 / 0\n"])
def test_an_unread_body_in_chunks_is_drained(command: Command, source: str) -> None:
    """Apache gives no length, and ends the input with the body."""
    arguments, own = command(source)
    env = {"REQUEST_METHOD": "POST", "HTTP_TRANSFER_ENCODING": "chunked", **own}
    with running(arguments, **env) as it:
        assert it.stdin
        it.stdin.write(b"x" * 1_000_000)
        it.stdin.close()
        assert rest(it.stdout)


@pytest.mark.parametrize("size", [1, 300_000])  # the latter is more than a pipe holds
def test_a_slow_body_that_nobody_reads_is_waited_for(command: Command, size: int) -> None:
    arguments, own = command(HEAD + "sys.stdout.flush()\n")
    with running(arguments, **post(b"x" * size), **own) as process:
        assert process.stdin
        assert read_until(process.stdout, HEADER)
        wait_until_asleep(process.pid)
        process.stdin.write(b"x" * size)
        process.stdin.flush()
        assert process.wait(SECONDS) == 0


def test_a_body_in_chunks_is_standard_input(run: Run) -> None:
    env = {"REQUEST_METHOD": "POST", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert run(ECHO, b"body", **env).stdout == HEADER + b"'body'\n"


def test_text_keeps_its_ends_of_lines(run: Run) -> None:
    body = b"a\r\nb\rc\n"
    for env in (post(body), {}):
        assert run(ECHO, body, **env).stdout == HEADER + b"'a\\r\\nb\\rc\\n'\n"


def test_the_environment_is_the_requests(run: Run) -> None:
    done = run(HEAD + "print(os.environ['QUERY_STRING'])\n", QUERY_STRING="a=1")
    assert done.stdout == HEADER + b"a=1\n"


def test_a_clients_proxy_is_not_the_scripts(run: Run) -> None:
    source = "print(os.environ.get('HTTP_PROXY'), os.getenv('HTTP_PROXY'))\n"
    done = run(HEAD + source, HTTP_PROXY="http://evil.example")
    assert done.stdout == HEADER + b"None None\n"


def test_a_script_knows_its_file_and_is_the_main_program(program: Write) -> None:
    source = "class A: pass\nprint(__file__ == os.path.abspath(sys.argv[0]), A.__module__)\n"
    command = [*program(HEAD + source), "argument"]
    done = subprocess.run(command, env=GET, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout == HEADER + b"True __main__\n"


@needs_cgi
@pytest.mark.parametrize(
    ("env", "body"),
    [
        ({"QUERY_STRING": "name=Ann"}, b""),
        ({"QUERY_STRING": "name=Ann&other=Zoë"}, b""),
        ({"QUERY_STRING": "name=Ann&other=\udcff"}, b""),
        (post(b"name=Ann"), b"name=Ann"),
        (
            post(
                b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nAnn\r\n--x--\r\n',
                "multipart/form-data; boundary=x",
            ),
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nAnn\r\n--x--\r\n',
        ),
    ],
)
def test_a_form(run: Run, env: dict[str, str], body: bytes) -> None:
    source = "import cgi\nform = cgi.FieldStorage()\nprint(form.getvalue('name'))\n"
    assert run(HEAD + source, body, **env).stdout == HEADER + b"Ann\n"


def test_text_is_in_utf_8_whatever_the_locale(run: Run) -> None:
    source = (
        "import locale\nprint(locale.getpreferredencoding().lower(), open('x', 'w').encoding)\n"
    )
    done = run(HEAD + source, PYTHONUTF8="1", LANG="C")
    assert done.stdout.lower() == HEADER.lower() + b"utf-8 utf-8\n"


# --- the end ---


@pytest.mark.parametrize(
    ("code", "status"),
    [("", 0), ("0", 0), ("3", 3), ("None", 0), ("True", 1), ("-1", 255), ("256", 0)],
)
def test_the_exit_status_is_the_scripts(run: Run, code: str, status: int) -> None:
    done = run(f"{HEAD}sys.exit({code})\n")
    assert (done.returncode, done.stdout, done.stderr) == (status, HEADER, b"")


def test_a_reason_to_exit_is_in_the_error_log(run: Run) -> None:
    done = run(HEAD + "def f(): raise SystemExit('no such page')\nf()\n")
    assert (done.returncode, done.stdout, done.stderr) == (1, HEADER, b"no such page\n")


def test_the_end_comes_with_all_that_belongs_to_it(run: Run) -> None:
    done = run(
        HEAD
        + """
import atexit, threading, time
atexit.register(print, "atexit")
def work():
    time.sleep(0.05)
    print("thread")
threading.Thread(target=work).start()
class Thing:
    def __del__(self):
        print("finalized")
thing = Thing()
def f():
    other = Thing()
    try:
        1 / 0
    finally:
        sys.exit()
f()
"""
    )
    assert done.stdout == HEADER + b"finalized\nthread\natexit\nfinalized\n"


@pytest.mark.parametrize(
    "source",
    [
        "out = open('file', 'w')\nout.write('text')\n",
        "out = open('file', 'w')\nout.write('text')\nraise LookupError\n",
        "def f():\n    out = open('file', 'w')\n    out.write('text')\n    sys.exit()\nf()\n",
        "out = open('file', 'wb')\nout.write(b'text')\nos.kept = out\n",
        "class A: pass\na = A()\na.a = a\na.out = open('file', 'w')\na.out.write('text')\n",
    ],
)
def test_a_file_that_is_left_open_is_written(run: Run, tmp_path: Path, source: str) -> None:
    run(HEAD + source)
    assert (tmp_path / "file").read_text() == "text"


def test_a_shelf_that_is_left_open_is_written(run: Run, tmp_path: Path) -> None:
    source = "import shelve\nshelf = shelve.open('shelf', writeback=True)\n"
    run(HEAD + source + "shelf.setdefault('a', []).append(1)\n")
    assert run(HEAD + source + "print(shelf['a'])\n").stdout == HEADER + b"[1]\n"


def test_what_a_shelf_imports_has_been_imported(
    frozen: Callable[..., Path], programs: Path
) -> None:
    source = HEAD + "print('dbm.dumb' in sys.modules)\n"
    done = subprocess.run(
        [frozen(Path(sys.executable), programs / "script.py", options=OPTIONS)],
        env=GET | {"SCRIPT": source},
        capture_output=True,
        check=False,
    )
    assert done.stdout == HEADER + b"True\n"


# --- failures ---


def test_a_failure_before_any_output_is_500(run: Run) -> None:
    done = run("import os\n\n" + FAIL, PATH_INFO="/a")
    assert (done.returncode, done.stdout) == (1, ERROR)
    first, second, *_lines, last = done.stderr.decode().splitlines()
    assert first == "nativecgi: GET /cgi-bin/program/a: LookupError: <secret>"
    assert second == "  Traceback (most recent call last):"
    assert re.search(r'    File ".*script.cgi", line 3, in <module>\n', done.stderr.decode())
    assert last == "  LookupError: <secret>"


def test_a_failure_is_shown_escaped_when_debugging(run: Run) -> None:
    done = run("import os\n\n" + FAIL, NATIVECGI_DEBUG="1")
    assert done.stdout.startswith(b"Status: 500 ")
    assert b"LookupError: &lt;secret&gt;" in done.stdout


def test_a_failure_of_head_has_no_body(run: Run) -> None:
    done = run("import os\n\n" + FAIL, REQUEST_METHOD="HEAD")
    assert done.stdout == ERROR.removesuffix(b"Internal Server Error\n")


@pytest.mark.parametrize("more", ["", "sys.stdout.flush()\n", "print('x' * 100_000)\n"])
def test_a_failure_after_output_leaves_it_as_it_is(run: Run, more: str) -> None:
    done = run(HEAD + more + FAIL)
    assert done.returncode == 1
    assert done.stdout.startswith(HEADER)
    assert b"Status" not in done.stdout
    first = done.stderr.partition(b"\n")[0]
    assert first.endswith(b" LookupError: <secret> (the answer is incomplete)")


@needs_cgi
def test_cgitb_shows_a_failure(run: Run) -> None:
    done = run("import cgitb\ncgitb.enable()\n\nprint('Content-Type: text/html\\n')\n" + FAIL)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(b"Content-Type: text/html\n\n")
    assert b"LookupError" in done.stdout


def test_a_hook_of_the_scripts_that_fails_is_a_failure(run: Run) -> None:
    done = run("import sys\n\ndef hook(*_): 1 / 0\nsys.excepthook = hook\n" + FAIL)
    assert done.stdout == ERROR
    assert b"ZeroDivisionError" in done.stderr
    assert b"LookupError" in done.stderr


def test_a_failure_in_a_child_process_is_its_own(run: Run) -> None:
    source = "sys.stdout.flush()\nif not os.fork(): 1 / 0\nos.wait()\nprint('parent')\n"
    done = run(HEAD + source)
    assert (done.returncode, done.stdout) == (0, HEADER + b"parent\n")


@pytest.fixture
def run_without_file(program: Write) -> Callable[[str], subprocess.CompletedProcess[bytes]]:
    """Runs a script as one of which no file can be found."""
    code = "import sys; exec(compile(open(sys.argv[1]).read(), '/nowhere/script.cgi', 'exec'))"

    def run_(source: str) -> subprocess.CompletedProcess[bytes]:
        *_python, copy = program(source)
        arguments = [sys.executable, "-c", code, copy]
        return subprocess.run(arguments, env=GET, capture_output=True, check=False)

    return run_


def test_a_traceback_shows_the_script_s_lines(
    run_without_file: Callable[[str], subprocess.CompletedProcess[bytes]],
) -> None:
    done = run_without_file("import os\n\n1 / 0  # Zoë\n")
    assert "1 / 0  # Zoë\n" in done.stderr.decode()


def test_a_script_s_source_can_be_had(
    run_without_file: Callable[[str], subprocess.CompletedProcess[bytes]],
) -> None:
    done = run_without_file(
        "import inspect\n\ndef f():\n    return 1\n\nprint(inspect.getsource(f), end='')\n"
    )
    assert done.stdout == b"def f():\n    return 1\n"


# --- trials ---


def test_a_trial_runs_nothing_of_the_script(run: Run, tmp_path: Path) -> None:
    done = run("import os\n\nopen('file', 'w')\n", NATIVECGI_TRIAL="1")
    assert done.stdout.startswith(b"Status: 200 OK\n")
    assert done.returncode == 0
    assert not (tmp_path / "file").exists()


def test_it_ends_quickly_with_a_daemon(run: Run) -> None:
    source = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=1).start()"
    )
    started = time.monotonic()
    assert run(HEAD + source).stdout == HEADER
    assert time.monotonic() - started < 9


# --- programs that start themselves ---

HEAD_IMPORTS = HEAD + "import subprocess\nsys.stdout.flush()\n"


@pytest.fixture
def image(frozen: Callable[..., Path], programs: Path) -> Path:
    return frozen(Path(sys.executable), programs / "script.py", options=OPTIONS)


def start(
    image: Path, source: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [image, *arguments],
        env=GET | {"SCRIPT": source, "PATH": "/usr/bin:/bin"} | env,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run([sys.executable, '-c', 'print(1)'])",
        "subprocess.run([sys.executable, '-m', 'json.tool'])",
        "subprocess.run([sys.executable, '-'])",
        "subprocess.run([sys.executable, '/etc/hostname'])",
        "os.system(sys.executable + ' -c 1; true')",
        "os.spawnl(os.P_WAIT, sys.executable, sys.executable, '-c', '1')",
        "os.fork() or os.execl(sys.executable, sys.executable, '-c', '1')\nos.wait()",
    ],
)
def test_a_program_that_takes_itself_for_python_is_told_so(image: Path, call: str) -> None:
    """Its child would answer the request again, and start another child."""
    done = start(image, HEAD_IMPORTS + call + "\n")
    assert (done.returncode, done.stdout) == (0, HEADER)
    assert done.stderr.count(b"was started by a request of its own") == 1
    assert b"Name an interpreter, such as " in done.stderr


@pytest.mark.parametrize(
    "call", ["run([sys.executable], input=b'print(1)')", "Popen([sys.argv[0]]).wait()"]
)
def test_a_program_does_not_start_itself_just_as_it_was_started(image: Path, call: str) -> None:
    done = start(image, HEAD_IMPORTS + f"subprocess.{call}\n")
    assert (done.returncode, done.stdout) == (1, HEADER)
    assert b"sys.executable is this program, not a Python interpreter" in done.stderr


def test_a_program_may_start_itself_with_another_environment(image: Path) -> None:
    source = """
if "AGAIN" not in os.environ:
    subprocess.run([sys.executable], env={**os.environ, "AGAIN": "1"}, check=True)
"""
    assert start(image, HEAD_IMPORTS + source).stdout == HEADER * 2


def test_a_child_that_takes_the_program_for_python_fails(image: Path) -> None:
    source = "print(subprocess.run([sys.executable, '-c', '1']).returncode)\n"
    assert start(image, HEAD_IMPORTS + source).stdout == HEADER + b"2\n"


def test_a_pool_that_is_spawned_fails_with_a_reason(image: Path) -> None:
    source = """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
    pool.submit(abs, -1).result()
"""
    done = start(image, HEAD_IMPORTS + source)
    assert b"multiprocessing works with its method 'fork'" in done.stderr
    # Which comes first, the pool or its tracker of resources, depends on the Python.
    assert b"BrokenProcessPool" in done.stderr or b"BrokenPipeError" in done.stderr


def test_a_pool_that_is_forked_works(image: Path) -> None:
    source = """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
    print(pool.submit(abs, -1).result())
"""
    assert start(image, HEAD_IMPORTS + source).stdout == HEADER + b"1\n"


@pytest.mark.parametrize("executable", ["sys.executable, __file__", "__file__"])
def test_a_script_may_start_itself_with_arguments(image: Path, executable: str) -> None:
    source = f"""
if len(sys.argv) == 1:
    subprocess.run([{executable}, "--work", "a"])
else:
    print(sys.argv[1:], sys.argv[0] == __file__)
"""
    done = start(image, HEAD_IMPORTS + source)
    assert done.stdout == HEADER * 2 + b"['--work', 'a'] True\n"
    assert done.stderr == b""


@pytest.mark.parametrize("argument", ["-c", "-", "/etc/hostname", "word"])
def test_what_a_server_passes_as_arguments_decides_nothing(image: Path, argument: str) -> None:
    """RFC 3875 4.4: a client's query without a "=" may become arguments."""
    done = start(image, HEAD + "print(sys.argv[1:])\n", argument)
    assert done.stdout == HEADER + f"[{argument!r}]\n".encode()


def test_a_program_may_start_another(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copy2(image, other)
    source = """
if OTHER := os.environ.pop("OTHER", ""):
    subprocess.run([OTHER, "-c", "1"])
else:
    print(sys.argv[1:])
"""
    done = start(image, HEAD_IMPORTS + source, OTHER=str(other))
    assert done.stdout == HEADER * 2 + b"['-c', '1']\n"
