"""nativecgi.gateways.cgi: whole programs, run unfrozen as a server would run them."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import nativecgi
from tests.asleep import wait_until_asleep
from tests.strike import STRIKE_AT

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Write = Callable[[str], list[str]]

# Where the programs find the library that is under test.
PATH = {"PYTHONPATH": str(Path(nativecgi.__file__).parent.parent)}
# RFC 3875 4.1: what a server sets for a plain GET.
GET = PATH | {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "QUERY_STRING": "",
    "REMOTE_ADDR": "192.0.2.1",
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "/cgi-bin/program",
    "SERVER_NAME": "a.example",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "test",
}
HEADER = b"Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
ERROR = (
    b"Status: 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 22\r\n\r\nInternal Server Error\n"
)
SECONDS = 30  # after which a program hangs

# Before the handler's lines of a program, and behind them.
TOP = "from nativecgi import *\n"
BOTTOM = """
if __name__ == "__main__":
    run(handle)
"""
HELLO = """
def handle(request):
    return text("hello")
"""


def answer(body: bytes) -> bytes:
    """The answer that `text` makes of a body."""
    return HEADER % len(body) + body


@pytest.fixture
def program(tmp_path: Path) -> Write:
    """Writes a program, and gives the command that runs it."""

    def write(source: str) -> list[str]:
        file = tmp_path / "program.py"
        file.write_text(TOP + source + BOTTOM)
        return [sys.executable, str(file)]

    return write


@pytest.fixture
def run(program: Write) -> Run:
    """Runs a program until it ends; `env` comes on top of the request's."""

    def run_(source: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            program(source),
            input=stdin,
            env=GET | env,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    return run_


# --- a request ---


def test_hello_answers(run: Run) -> None:
    done = run(HELLO)
    assert (done.returncode, done.stdout, done.stderr) == (0, answer(b"hello"), b"")


def test_head_gets_the_same_header_and_no_body(run: Run) -> None:
    done = run(HELLO, REQUEST_METHOD="HEAD")
    assert (done.returncode, done.stdout) == (0, HEADER % 5)


def test_the_body_is_standard_input_up_to_its_length(run: Run) -> None:
    done = run(
        """
def handle(request):
    return text(f"{request.read()}")
""",
        b"hello, and more",
        REQUEST_METHOD="POST",
        CONTENT_LENGTH="5",
    )
    assert done.stdout == answer(b"b'hello'")


def test_bytes_in_the_environment_that_are_no_utf8_come_through(program: Write) -> None:
    echo = program("def handle(request): return text(request.path)")
    env = {name.encode(): value.encode() for name, value in GET.items()}
    done = subprocess.run(
        echo, env=env | {b"PATH_INFO": b"/\xff\xc3\xa4"}, capture_output=True, check=False
    )
    assert done.stdout == answer(b"/\xff\xc3\xa4")


def test_nothing_after_run_is_reached(run: Run) -> None:
    done = run(HELLO + "if __name__ == '__main__':\n    run(handle)\n    raise SystemExit(9)\n")
    assert (done.returncode, done.stdout) == (0, answer(b"hello"))


def test_without_a_request_it_says_how_it_is_used(program: Write) -> None:
    command = program(HELLO)
    done = subprocess.run(command, env=PATH, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"This is a CGI program" in done.stderr
    assert b"REQUEST_METHOD=GET " + command[1].encode() in done.stderr


# RFC 3875 8.2 leaves the client's field `Proxy` as HTTP_PROXY to programs that take it for theirs.
READ_PROXY = """
import os
def handle(request):
    return text(f"{os.environ.get('HTTP_PROXY')} {request.headers.get('Proxy')}")
"""


def test_a_clients_proxy_is_not_the_programs(run: Run) -> None:
    done = run(READ_PROXY, HTTP_PROXY="http://evil.example")
    assert done.stdout == answer(b"None None")


def test_a_clients_proxy_is_not_a_child_processes(run: Run) -> None:
    source = """
import subprocess
def handle(request):
    return text(subprocess.check_output(["/usr/bin/env"]).decode().count("HTTP_PROXY") * "x")
"""
    assert run(source, HTTP_PROXY="http://evil.example").stdout.endswith(b"\r\n\r\n")


def test_a_clients_proxy_is_not_a_hooks(run: Run) -> None:
    source = """
import os
@after_thaw
def connect():
    global proxy
    proxy = os.environ.get("HTTP_PROXY")
def handle(request):
    return text(f"{proxy}")
"""
    assert run(source, HTTP_PROXY="http://evil.example").stdout == answer(b"None")


def test_a_hook_may_have_removed_a_clients_proxy(run: Run) -> None:
    source = """
import os
@after_thaw
def clean():
    os.environ.pop("HTTP_PROXY", None)
"""
    done = run(source + READ_PROXY, HTTP_PROXY="http://evil.example")
    assert done.stdout == answer(b"None None")


# --- failures ---


def test_an_uncaught_exception_is_500_and_tells_nothing(run: Run) -> None:
    done = run("def handle(request): raise LookupError('secret')", PATH_INFO="/a")
    assert (done.returncode, done.stdout) == (0, ERROR)


def test_an_uncaught_exception_is_reported_in_a_line_and_a_traceback(run: Run) -> None:
    done = run("def handle(request): raise LookupError('secret')", PATH_INFO="/a")
    first, second, *_lines, last = done.stderr.decode().splitlines()
    assert first == "nativecgi: GET /cgi-bin/program/a: LookupError: secret"
    assert second == "  Traceback (most recent call last):"
    assert last == "  LookupError: secret"


def test_an_exception_that_cannot_be_shown_is_reported_as_far_as_it_can_be(run: Run) -> None:
    done = run(
        """
class Shy(Exception):
    @property
    def __notes__(self):
        raise LookupError("no")
def handle(request):
    raise Shy("secret")
"""
    )
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert re.match(rb"nativecgi: GET /cgi-bin/program: \S*Shy", done.stderr)
    assert b" in handle\n" in done.stderr


def test_an_uncaught_exception_is_shown_escaped_when_debugging(run: Run) -> None:
    done = run("def handle(request): raise LookupError('<script>')", NATIVECGI_DEBUG="1")
    assert done.stdout.startswith(b"Status: 500 ")
    assert b"LookupError: &lt;script&gt;" in done.stdout
    assert b"<script>" not in done.stdout


def test_sys_exit_in_a_handler_is_a_failure_as_others_are(run: Run) -> None:
    done = run("import sys\ndef handle(request): sys.exit(3)")
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert done.stderr.startswith(b"nativecgi: GET /cgi-bin/program: SystemExit: 3\n")


def test_a_failure_that_is_no_exception_is_500_too(run: Run) -> None:
    done = run("class Cancelled(BaseException): pass\ndef handle(request): raise Cancelled('x')")
    assert done.stdout == ERROR
    assert b"Cancelled: x" in done.stderr


def test_an_interrupt_is_not_silent(program: Write) -> None:
    command = program("import signal\ndef handle(request): signal.raise_signal(signal.SIGINT)")
    done = subprocess.run(command, env=GET, capture_output=True, timeout=SECONDS, check=False)
    assert b"KeyboardInterrupt" in done.stderr


def test_a_failure_before_run_is_an_error_of_the_interpreters(run: Run) -> None:
    done = run("raise LookupError('no such file')" + HELLO)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"LookupError: no such file" in done.stderr


# --- standard output is the answer's alone ---


def test_what_a_handler_prints_goes_to_the_error_log(run: Run) -> None:
    done = run("""
def handle(request):
    print("printed")
    return text("hello")
""")
    assert (done.stdout, done.stderr) == (answer(b"hello"), b"printed\n")


def test_what_a_handler_writes_to_sys_stdout_goes_to_the_error_log(run: Run) -> None:
    done = run("""
import sys
def handle(request):
    sys.stdout.write("written")
    return text("hello")
""")
    assert (done.stdout, done.stderr) == (answer(b"hello"), b"written")


def test_what_a_hook_prints_goes_to_the_error_log(run: Run) -> None:
    hook = "@after_thaw\ndef connect(): print('printed', flush=True)\n"
    done = run(hook + HELLO)
    assert (done.stdout, done.stderr) == (answer(b"hello"), b"printed\n")


def test_what_a_handlers_child_process_prints_is_not_in_the_answer(run: Run) -> None:
    done = run("""
import subprocess
def handle(request):
    subprocess.run(["/bin/echo", "printed"])
    return text("hello")
""")
    assert done.stdout == answer(b"hello")


def test_a_child_process_that_stays_does_not_hold_the_answer_back(program: Write) -> None:
    command = program("""
import subprocess
def handle(request):
    subprocess.Popen(["/bin/sleep", "2"], stderr=subprocess.DEVNULL)
    return text("hello")
""")
    started = time.monotonic()
    done = subprocess.run(command, env=GET, stdout=subprocess.PIPE, timeout=SECONDS, check=False)
    assert done.stdout == answer(b"hello")
    assert time.monotonic() - started < 2


def test_every_byte_reaches_a_slow_reader(program: Write) -> None:
    command = program("def handle(request): return text(8_000_000 * 'x')")
    received = bytearray()
    with subprocess.Popen(command, env=GET, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        while piece := process.stdout.read(300_000):
            received += piece
            time.sleep(0.001)
    assert process.returncode == 0
    assert received == answer(8_000_000 * b"x")


def test_a_client_that_has_gone_is_a_line_and_status_1(program: Write) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        program(HELLO), env=GET, stdout=writer, stderr=subprocess.PIPE, timeout=SECONDS, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (
        1,
        b"nativecgi: the answer could not be written: [Errno 32] Broken pipe\n",
    )


def test_a_client_that_goes_halfway_is_a_line_and_status_1(program: Write) -> None:
    command = program("def handle(request): return text(8_000_000 * 'x')")
    with subprocess.Popen(
        command, env=GET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(100).startswith(b"Status: 200 OK\r\n")
        process.stdout.close()
        report = process.stderr.read()
    assert process.returncode == 1
    assert report == b"nativecgi: the answer could not be written: [Errno 32] Broken pipe\n"


def closing(redirection: str, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command with a standard stream redirected by the shell, such as closed: `>&-`."""
    script = ["/bin/sh", "-c", f'exec "$0" "$1" {redirection}', *command]
    return subprocess.run(script, env=GET, capture_output=True, timeout=SECONDS, check=False)


def test_a_closed_output_is_a_line_and_status_1(program: Write) -> None:
    done = closing(">&-", program(HELLO))
    assert (done.returncode, done.stderr) == (
        1,
        b"nativecgi: the answer could not be written: [Errno 9] Bad file descriptor\n",
    )


def test_a_full_disk_is_a_line_and_status_1(program: Write) -> None:
    done = closing(">/dev/full", program(HELLO))
    assert (done.returncode, done.stderr) == (
        1,
        b"nativecgi: the answer could not be written: [Errno 28] No space left on device\n",
    )


@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "</dev/null"])
def test_other_streams_may_be_closed(program: Write, redirection: str) -> None:
    done = closing(redirection, program("def handle(r):\n  print('x')\n  return text('hello')"))
    assert (done.returncode, done.stdout) == (0, answer(b"hello"))


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_failure_without_an_error_log_is_500(program: Write, redirection: str) -> None:
    done = closing(redirection, program("def handle(request): raise LookupError"))
    assert (done.returncode, done.stdout) == (0, ERROR)


def test_a_client_gone_and_no_error_log_is_status_1(program: Write) -> None:
    assert closing(">/dev/full 2>&-", program(HELLO)).returncode == 1


# --- streams ---

STREAM = b"Status: 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"
# A piece, and one that is made when the test has written a byte to standard input.
TWO = """
import os, time
def pieces():
    try:
        yield b"one "
        os.read(0, 1)
        yield b"two"
    finally:
        print("closed")
def handle(request):
    return stream(pieces())
"""


@contextmanager
def running(command: list[str], **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program with pipes; it is killed where it does not end by itself."""
    with subprocess.Popen(
        command,
        env=GET | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            yield process
            process.wait()
        finally:
            timer.cancel()
            process.kill()


def read_until(stream: IO[bytes] | None, end: bytes) -> bytes:
    """What comes until there is `end`, and not a byte more where the writer waits there."""
    assert stream
    received = b""
    while not received.endswith(end):
        piece = stream.read(65536)
        assert piece, received
        received += piece
    return received


def tell(process: "subprocess.Popen[bytes]") -> None:
    """Have the program go on."""
    assert process.stdin
    process.stdin.write(b"x")


def rest(stream: IO[bytes] | None) -> bytes:
    assert stream
    return stream.read()


def test_a_piece_is_sent_before_the_next_is_made(program: Write) -> None:
    with running(program(TWO)) as process:
        assert read_until(process.stdout, b"one ") == STREAM + b"one "
        tell(process)
        assert rest(process.stdout) == b"two"
        assert rest(process.stderr) == b"closed\n"
    assert process.returncode == 0


def test_pieces_are_text_or_bytes_and_may_be_empty(run: Run) -> None:
    done = run("def handle(request): return stream(['', b'', 'ä', b'x', '', bytearray(b'y')])")
    assert (done.returncode, done.stdout, done.stderr) == (0, STREAM + "äxy".encode(), b"")


@pytest.mark.parametrize("pieces", ["[]", "iter(())", "(x for x in '')", "[b'']"])
def test_a_stream_without_a_piece_is_an_empty_answer(run: Run, pieces: str) -> None:
    done = run(f"def handle(request): return stream({pieces})")
    assert (done.returncode, done.stdout, done.stderr) == (0, STREAM, b"")


def test_what_a_generator_prints_goes_to_the_error_log(run: Run) -> None:
    done = run("""
import os
def pieces():
    print("before", flush=True)
    yield b"one "
    print("between", flush=True)
    os.write(1, b"by descriptor\\n")
    yield b"two"
def handle(request):
    return stream(pieces())
""")
    assert done.stdout == STREAM + b"one two"
    assert done.stderr == b"before\nbetween\nby descriptor\n"


def test_a_generator_is_closed_when_the_reader_has_gone(program: Write) -> None:
    with running(program(TWO)) as process:
        read_until(process.stdout, b"one ")
        assert process.stdout
        process.stdout.close()
        tell(process)
        assert rest(process.stderr) == (
            b"closed\nnativecgi: the answer could not be written: [Errno 32] Broken pipe\n"
        )
    assert process.returncode == 1


SLEEP = """
import time
def pieces():
    yield b"one "
    while True:
        try:
            print("sleeping")
            time.sleep(60)
        except {caught}:
            print("caught")
        finally:
            print("closed")
def handle(request):
    return stream(pieces())
"""


# Apache's mod_cgid ends in this way a program whose client has gone.
@pytest.mark.parametrize("caught", ["ZeroDivisionError", "Exception"])
def test_a_generator_is_closed_when_the_server_terminates_it(program: Write, caught: str) -> None:
    with running(program(SLEEP.format(caught=caught))) as process:
        read_until(process.stderr, b"sleeping\n")
        wait_until_asleep(process.pid)
        process.terminate()
        assert rest(process.stdout) == STREAM + b"one "
        assert rest(process.stderr) == (
            b"closed\nnativecgi: the answer could not be written: terminated by the server\n"
        )
    assert process.returncode == 1


OWN = """
import signal
def own(*_): print("told")
signal.signal(signal.SIGTERM, own)
def handle(request):
    return stream(["one ", "two"])
@__import__("atexit").register
def late():
    signal.raise_signal(signal.SIGTERM)
"""


def test_behind_a_stream_sigterm_is_the_programs_own_again(run: Run) -> None:
    done = run(OWN)
    assert (done.returncode, done.stdout, done.stderr) == (0, STREAM + b"one two", b"told\n")


def test_a_handler_of_sigterm_that_a_stream_sets_stays(run: Run) -> None:
    setting = "signal.signal(signal.SIGTERM, own)\n"
    source = OWN.replace(setting, f"def pieces():\n    yield 'one '\n    {setting}")
    done = run(source.replace('["one ", "two"]', "pieces()"))
    assert (done.returncode, done.stdout, done.stderr) == (0, STREAM + b"one ", b"told\n")


CLOSING = """
import os, signal
class Pieces:
    def __iter__(self):
        yield b"one "
        {last}
    def close(self):
        signal.raise_signal(signal.SIGTERM)
        {fail}
        print("closed")
def handle(request):
    return stream(Pieces())
"""


def test_sigterm_does_not_break_off_the_closing(run: Run) -> None:
    done = run(CLOSING.format(last="yield b'two'", fail=""))
    assert (done.returncode, done.stdout, done.stderr) == (0, STREAM + b"one two", b"closed\n")


def test_a_failure_of_the_closing_is_one_after_the_answer(run: Run) -> None:
    done = run(CLOSING.format(last="yield b'two'", fail="raise LookupError"))
    assert (done.returncode, done.stdout) == (0, STREAM + b"one two")
    first = done.stderr.splitlines()[0]
    assert first == b"nativecgi: GET /cgi-bin/program: LookupError (after the answer)"


def test_the_closing_may_take_longer_than_the_limit_once_all_is_sent(run: Run) -> None:
    source = CLOSING.format(last="", fail="__import__('time').sleep(2.5)")
    done = run(source, NATIVECGI_MAX_SECONDS="1")
    assert (done.returncode, done.stderr) == (0, b"closed\n")


def test_sigterm_is_not_lost_in_a_finalizer(run: Run) -> None:
    """Where Python ignores what its handler raises."""
    done = run("""
import signal
class Object:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
def pieces():
    yield "one "
    Object()
    yield "two "
    print("too late")
def handle(request):
    return stream(pieces())
""")
    assert (done.returncode, done.stdout) == (1, STREAM + b"one ")
    assert done.stderr.endswith(
        b"\nnativecgi: the answer could not be written: terminated by the server\n"
    )
    assert b"too late" not in done.stderr


STRUCK = (
    """
import os, signal, sys
class Pieces:
    def __init__(self): self.is_closed = False
    def __iter__(self): yield from (b"one ", b"two ", b"three")
    def close(self): self.is_closed = True
"""
    + STRIKE_AT
    + """if __name__ == "__main__":
    from nativecgi.gateways.cgi import respond
    left_open, strikes = [], 0
    nowhere = os.open("/dev/null", os.O_RDWR)
    for number in range(1, 1000):
        pieces = Pieces()
        def handle(request): return stream(pieces)
        strike_at(number)
        status = respond(handle, {"REQUEST_METHOD": "GET"}, nowhere, nowhere, None, int)
        if sys.gettrace() is not None:
            break  # there are not so many lines
        strikes += 1
        if not pieces.is_closed:
            left_open.append(number)
    sys.settrace(None)
    os.write(1, f"{strikes > 20} {left_open}".encode())
    os._exit(0)
"""
)


def test_whenever_sigterm_comes_the_pieces_are_closed(run: Run) -> None:
    assert run(STRUCK).stdout == b"True []"


def test_a_failure_before_the_first_piece_is_500(run: Run) -> None:
    done = run("""
def pieces():
    raise LookupError("secret")
    yield b"one "
def handle(request):
    return stream(pieces())
""")
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert done.stderr.startswith(b"nativecgi: GET /cgi-bin/program: LookupError: secret\n")


@pytest.mark.parametrize("failure", ["LookupError('secret')", "SystemExit(3)", "HTTPError(404)"])
def test_a_failure_after_the_first_piece_is_reported_and_what_was_sent_stays(
    run: Run, failure: str
) -> None:
    done = run(f"""
def pieces():
    yield b"one "
    yield b"two "
    raise {failure}
def handle(request):
    return stream(pieces())
""")
    assert (done.returncode, done.stdout) == (1, STREAM + b"one two ")
    first, *others = done.stderr.splitlines()
    assert first.startswith(b"nativecgi: GET /cgi-bin/program: ")
    assert first.endswith(b" (the answer is incomplete)")
    assert others[0] == b"  Traceback (most recent call last):"
    assert all(line.startswith(b"  ") for line in others)


@pytest.mark.parametrize("piece", ["None", "7", "[b'x']"])
def test_a_piece_of_another_type_is_a_failure(run: Run, piece: str) -> None:
    assert run(f"def handle(request): return stream([{piece}])").stdout == ERROR
    done = run(f"def handle(request): return stream([b'one', {piece}])")
    assert (done.returncode, done.stdout) == (1, STREAM + b"one")
    assert b"TypeError: a piece of a body is bytes or str, not " in done.stderr


def with_length(length: int) -> str:
    return f"""
def handle(request):
    return stream([b"one ", b"two"], headers={{"Content-Length": "{length}"}})
"""


def test_a_stream_of_the_announced_length_is_complete(run: Run) -> None:
    done = run(with_length(7))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\r\nContent-Length: 7\r\n" in done.stdout
    assert done.stdout.endswith(b"\r\n\r\none two")


@pytest.mark.parametrize(
    ("length", "sent", "why"),
    [
        (8, b"one two", b"the body is 1 bytes shorter than its Content-Length"),
        (6, b"one ", b"the body is longer than its Content-Length"),
    ],
)
def test_a_stream_of_another_length_is_incomplete(
    run: Run, length: int, sent: bytes, why: bytes
) -> None:
    done = run(with_length(length))
    assert done.returncode == 1
    assert done.stdout.endswith(b"\r\n\r\n" + sent)
    assert done.stderr.splitlines()[0].endswith(why + b" (the answer is incomplete)")


def test_a_first_piece_that_is_too_long_is_500(run: Run) -> None:
    done = run(with_length(3))
    assert (done.returncode, done.stdout) == (0, ERROR)


@pytest.mark.parametrize(
    ("status", "method"), [(200, "HEAD"), (204, "GET"), (205, "GET"), (304, "GET")]
)
def test_an_answer_without_a_body_makes_no_piece(run: Run, status: int, method: str) -> None:
    done = run(
        f"""
class Pieces:
    def __iter__(self):
        print("made")
        return iter([b"one"])
    def close(self):
        print("closed")
def handle(request):
    return stream(Pieces(), status={status})
""",
        REQUEST_METHOD=method,
    )
    assert (done.returncode, done.stderr) == (0, b"closed\n")
    assert done.stdout.endswith(b"\r\n\r\n")


def test_a_body_cannot_be_read_once_the_first_piece_is_sent(run: Run) -> None:
    done = run(
        """
def handle(request):
    def pieces():
        yield b"one "
        yield request.read()
    return stream(pieces())
""",
        b"hello",
        REQUEST_METHOD="POST",
        CONTENT_LENGTH="5",
    )
    assert (done.returncode, done.stdout) == (1, STREAM + b"one ")
    assert b"ValueError: the body is gone: read it before the answer is returned" in done.stderr


def test_an_upload_that_was_read_can_be_streamed_back(run: Run) -> None:
    done = run(
        """
def handle(request):
    upload = request.form().files["file"]
    return stream(iter(lambda: upload.file.read(1000), b""))
""",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + bytes(100_000)
        + b"\r\n--x--\r\n",
        REQUEST_METHOD="POST",
        CONTENT_LENGTH="100075",
        CONTENT_TYPE="multipart/form-data; boundary=x",
    )
    assert (done.returncode, done.stdout) == (0, STREAM + bytes(100_000))


def test_an_nph_programs_stream_that_fails_has_no_last_chunk(run: Run) -> None:
    done = run(
        "def handle(request): return stream([b'one', None])", SCRIPT_NAME="/cgi-bin/nph-program"
    )
    assert done.returncode == 1
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert done.stdout.endswith(b"\r\n\r\n3\r\none\r\n")


# --- files ---


def test_a_file_is_the_answer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 10_000)
    done = run(f"def handle(request): return file('a.bin', root={str(tmp_path)!r})")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\r\nContent-Length: 2560000\r\n" in done.stdout
    assert done.stdout.endswith(b"\r\n\r\n" + bytes(range(256)) * 10_000)


def test_a_range_of_a_file_is_the_answer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("line\n" * 100)
    done = run(
        f"def handle(request): return file('a.txt', root={str(tmp_path)!r})",
        HTTP_RANGE="bytes=3-11",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Status: 206 Partial Content\r\n")
    assert done.stdout.endswith(b"\r\n\r\ne\nline\nli")


# --- the time limit ---

LATE = b"nativecgi.process.deadline.TimeLimitError: the handler has run for longer than it may"
TIMEOUT = (
    b"Status: 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 16\r\n\r\nGateway Timeout\n"
)
LIMITED = "if __name__ == '__main__': run(handle, limits=Limits(max_seconds=1))\n"
TIME_LEFT = """
import signal
def handle(request):
    return text(f"{signal.getitimer(signal.ITIMER_REAL)[0]:.0f}")
"""


@pytest.mark.parametrize(
    "work",
    [
        "time.sleep(20)",
        "exec('while True:\\n try: time.sleep(20)\\n except Exception: pass')",
    ],
)
def test_a_handler_that_takes_too_long_is_504(run: Run, work: str) -> None:
    source = f"import time\ndef handle(request): {work}\n"
    done = run(source, NATIVECGI_MAX_SECONDS="1")
    assert (done.returncode, done.stdout) == (0, TIMEOUT)
    first, *others = done.stderr.splitlines()
    assert first == b"nativecgi: GET /cgi-bin/program: " + LATE
    assert all(line.startswith(b"  ") for line in others)


def test_a_handler_that_cannot_be_stopped_is_ended(run: Run) -> None:
    done = run(
        """
import collections, itertools
def handle(request):
    collections.deque(itertools.count(), maxlen=0)
"""
        + LIMITED
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"Timeout (0:00:02)!\n")
    assert b" in handle\n" in done.stderr


@pytest.mark.parametrize(
    "work",
    [
        "raise BaseExceptionGroup('outer', [BaseExceptionGroup('inner', [late])]) from None",
        "raise RuntimeError('wrapped') from None",
        "raise RuntimeError('wrapped')",
    ],
)
def test_what_comes_of_the_time_limit_is_504(run: Run, work: str) -> None:
    source = f"""
import time
def handle(request):
    try:
        time.sleep(20)
    except BaseException as late:
        {work}
"""
    done = run(source, NATIVECGI_MAX_SECONDS="1")
    assert (done.returncode, done.stdout) == (0, TIMEOUT)


def test_a_group_of_tasks_that_takes_too_long_is_504(run: Run) -> None:
    source = """
import asyncio, time
async def block(): time.sleep(20)
async def work():
    async with asyncio.TaskGroup() as group:
        group.create_task(block())
def handle(request):
    asyncio.run(work())
"""
    assert run(source, NATIVECGI_MAX_SECONDS="1").stdout == TIMEOUT


def test_a_stream_that_takes_too_long_is_incomplete(run: Run) -> None:
    source = """
import time
def pieces():
    try:
        yield b"one "
        time.sleep(20)
    finally:
        print("closed")
def handle(request):
    return stream(pieces())
"""
    done = run(source + LIMITED)
    assert (done.returncode, done.stdout) == (1, STREAM + b"one ")
    closed, first, *others = done.stderr.splitlines()
    assert closed == b"closed"
    assert first == b"nativecgi: GET /cgi-bin/program: " + LATE + b" (the answer is incomplete)"
    assert all(line.startswith(b"  ") for line in others)


@pytest.mark.parametrize(
    ("bottom", "env", "seconds"),
    [
        ("", {}, b"0"),
        (LIMITED, {}, b"1"),
        ("", {"NATIVECGI_MAX_SECONDS": "100"}, b"100"),
        (LIMITED, {"NATIVECGI_MAX_SECONDS": "100"}, b"100"),
        (LIMITED, {"NATIVECGI_MAX_SECONDS": "0"}, b"0"),
        (LIMITED, {"NATIVECGI_MAX_SECONDS": ""}, b"1"),
    ],
)
def test_the_limit_is_the_programs_or_the_servers_or_none(
    run: Run, bottom: str, env: dict[str, str], seconds: bytes
) -> None:
    assert run(TIME_LEFT + bottom, **env).stdout == answer(seconds)


def test_a_limit_that_is_no_number_is_500_with_its_name_in_the_log(run: Run) -> None:
    done = run(HELLO, NATIVECGI_MAX_SECONDS="soon")
    assert (done.returncode, done.stdout) == (0, ERROR)
    assert done.stderr.splitlines()[0] == (
        b"nativecgi: GET /cgi-bin/program: ValueError: the variable NATIVECGI_MAX_SECONDS of the "
        b"environment is no number: 'soon'"
    )


def test_the_time_that_a_client_takes_is_not_the_handlers(program: Write, tmp_path: Path) -> None:
    (tmp_path / "8M").write_bytes(8_000_000 * b"x")
    command = program(f"""
def handle(request):
    if request.parts:
        return file("8M", root={str(tmp_path)!r})
    return text(8_000_000 * "x")
{LIMITED}""")
    with running(command) as memory, running(command, PATH_INFO="/file") as disk:
        for process in (memory, disk):
            assert process.stdout
            assert process.stdout.read(8) == b"Status: "
        time.sleep(2.2)  # longer than the limit, and than the grace after it
        for process in (memory, disk):
            assert rest(process.stdout).endswith(8_000_000 * b"x")
    assert (memory.returncode, disk.returncode) == (0, 0)


def test_the_time_that_a_client_takes_to_send_what_nobody_reads_is_not_the_handlers(
    program: Write,
) -> None:
    command = program("def handle(request): return stream([b'one ', b'two'])\n" + LIMITED)
    with running(command, REQUEST_METHOD="POST", CONTENT_LENGTH="1") as process:
        time.sleep(2.2)
        tell(process)
        assert rest(process.stdout) == STREAM + b"one two"
    assert process.returncode == 0


def test_the_end_of_a_process_is_not_the_handlers_time_either(run: Run) -> None:
    source = """
import atexit, time
def work():
    time.sleep(2.2)
    print("worked")
def handle(request):
    atexit.register(work)
    return stream([b"one ", b"two"])
"""
    done = run(source + LIMITED)
    assert (done.returncode, done.stdout) == (0, STREAM + b"one two")
    assert done.stderr == b"worked\n"


# --- standard input ---


def test_a_body_that_the_handler_leaves_is_taken_from_the_server(program: Write) -> None:
    env = GET | {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "1000000"}
    with subprocess.Popen(
        program(HELLO), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin
        assert process.stdout
        sent = 0
        while sent < 1_000_000:  # a BrokenPipeError if it is not
            sent += process.stdin.write(bytes(1_000_000 - sent)) or 0
        assert process.stdout.read() == answer(b"hello")


def test_the_answer_does_not_wait_for_an_end_of_input(program: Write) -> None:
    env = GET | {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "2"}
    with subprocess.Popen(
        program(HELLO), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"{}")
        assert process.stdout.read() == answer(b"hello")
        process.stdin.close()


# --- the end of the process ---


def test_atexits_functions_are_run(run: Run) -> None:
    done = run("""
import atexit
def handle(request):
    atexit.register(print, "first registered")
    atexit.register(print, "last registered")
    return text("hello")
""")
    assert (done.stdout, done.stderr) == (answer(b"hello"), b"last registered\nfirst registered\n")


def test_atexits_functions_are_run_after_a_failure(run: Run) -> None:
    done = run("""
import atexit
def handle(request):
    atexit.register(print, "the end")
    raise LookupError
""")
    assert done.stderr.endswith(b"LookupError\nthe end\n")


def test_threads_are_waited_for(run: Run) -> None:
    done = run("""
import threading, time
def work():
    time.sleep(0.1)
    print("worked")
def handle(request):
    threading.Thread(target=work).start()
    return text("hello")
""")
    assert (done.stdout, done.stderr) == (answer(b"hello"), b"worked\n")


def test_daemon_threads_are_not_waited_for(run: Run) -> None:
    started = time.monotonic()
    done = run("""
import threading, time
def handle(request):
    threading.Thread(target=time.sleep, args=[20], daemon=True).start()
    return text("hello")
""")
    assert done.stdout == answer(b"hello")
    assert time.monotonic() - started < 10


def test_what_was_printed_is_written_out(run: Run) -> None:
    done = run("""
def handle(request):
    print("no newline", end="")
    return text("hello")
""")
    assert done.stderr == b"no newline"


# --- hooks ---


def test_hooks_run_in_an_unfrozen_program_and_in_order(run: Run) -> None:
    done = run("""
order = []
for name in ("a", "b"):
    before_freeze(lambda name=name: order.append(f"before {name}"))
    after_thaw(lambda name=name: order.append(f"after {name}"))
def handle(request):
    return text(", ".join([*order, "handler"]))
""")
    assert done.stdout == answer(b"before b, before a, after a, after b, handler")


def test_a_hook_that_fails_is_answered_as_a_handler_that_fails(run: Run) -> None:
    done = run("@after_thaw\ndef connect(): raise ConnectionError('no database')\n" + HELLO)
    assert b"ConnectionError: no database" in done.stderr
    assert done.stdout.startswith(b"Status: 500 ")


def test_a_hook_that_raises_an_http_error_answers_with_it(run: Run) -> None:
    hook = "from nativecgi import HTTPError\n@after_thaw\ndef connect(): raise HTTPError(503)\n"
    assert run(hook + HELLO).stdout.startswith(b"Status: 503 ")


def test_the_handler_sees_the_environment_that_the_server_set(run: Run) -> None:
    done = run("""
import os
@after_thaw
def change():
    os.environ["SETTING"] = "the hook's"
def handle(request):
    return text(str(request.env.get("SETTING")))
""")
    assert done.stdout == answer(b"None")


def test_a_warm_up_is_for_builds_alone(run: Run) -> None:
    source = """
def handle(request):
    print("asked for", request.path)
    return text("hello")
if __name__ == "__main__":
    run(handle, warmup=["/"])
"""
    result = run(source)
    assert result.stdout == answer(b"hello")
    assert result.stderr == b"asked for \n"


def test_a_warm_up_closes_the_answer(run: Run) -> None:
    source = """
from nativecgi import Response
from nativecgi.frozen.rehearsal import prepare
class Body:
    def __iter__(self):
        yield b"hello"
    def close(self):
        print("closed")
prepare(lambda request: Response(Body()), ["/"])
"""
    assert run(source).stdout == b"closed\n"
