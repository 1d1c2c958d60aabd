"""nativecgi.process.deadline: the end of what takes too long, in a process of its own."""

import subprocess
import sys

import pytest

from nativecgi.process.deadline import TimeLimitError
from tests.gateways.test_cgi import PATH, SECONDS

TOP = """
import collections, itertools, re, signal, threading, time
from nativecgi.process import deadline
"""


def run(source: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", TOP + source],
        env=PATH,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_limit_is_no_exception_for_a_handler_to_catch() -> None:
    assert not issubclass(TimeLimitError, Exception)


@pytest.mark.parametrize(
    "work",
    [
        "time.sleep(20)",
        "while True: pass",
        "threading.Event().wait()",
        # The regular expressions of Python let themselves be interrupted.
        "re.match('(a+)+$', 'a' * 50 + 'b')",
    ],
)
def test_what_can_be_interrupted_is(work: str) -> None:
    done = run(f"""
def handle():
    {work}
deadline.start(0.05)
try:
    handle()
except deadline.TimeLimitError as error:
    deadline.stop()
    print(error)
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the handler has run for longer than it may\n"


@pytest.mark.parametrize(
    "work",
    [
        # In C, without letting another thread of Python's run.
        "collections.deque(itertools.count(), maxlen=0)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(20)",
    ],
)
def test_what_cannot_be_interrupted_is_ended_with_its_process(work: str) -> None:
    done = run(f"""
def stuck():
    {work}
deadline.start(0.05)
stuck()
print("not reached")
""")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Timeout (0:00:01")
    assert " in stuck\n" in done.stderr


def test_what_goes_on_all_the_same_is_ended_with_its_process() -> None:
    done = run("""
def stubborn():
    while True:
        try:
            time.sleep(20)
        except BaseException:
            print("goes on", flush=True)
deadline.start(0.05)
stubborn()
""")
    assert (done.returncode, done.stdout) == (1, "goes on\n")
    assert " in stubborn\n" in done.stderr


def test_all_threads_are_shown() -> None:
    done = run("""
def other():
    time.sleep(20)
threading.Thread(target=other, daemon=True).start()
deadline.start(0.05)
collections.deque(itertools.count(), maxlen=0)
""")
    assert done.returncode == 1
    assert " in other\n" in done.stderr
    assert " in <module>\n" in done.stderr


def test_once_it_is_stopped_there_is_no_limit() -> None:
    done = run("""
deadline.start(0.05)
deadline.stop()
time.sleep(1.2)
print("done")
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_it_may_be_stopped_without_a_start() -> None:
    done = run("print(deadline.stop(), deadline.stop())")
    assert (done.stdout, done.stderr) == ("0.0 0.0\n", "")


def test_stopping_it_tells_the_time_that_was_left() -> None:
    done = run("deadline.start(500); print(f'{deadline.stop():.0f}')")
    assert (done.stdout, done.stderr) == ("500\n", "")


def test_it_is_raised_in_the_main_thread() -> None:
    done = run("""
ended = threading.Event()
def other():
    time.sleep(0.3)
    ended.set()
threading.Thread(target=other).start()
deadline.start(0.05)
try:
    ended.wait()
except deadline.TimeLimitError:
    deadline.stop()
    print(ended.wait())
""")
    assert (done.stdout, done.stderr) == ("True\n", "")
