"""Reaches its freeze point, then does what PROBE in its environment names.

What comes of it is written as JSON to the file that REPORT names: the standard streams may be
closed, or be what is looked at.
"""

import importlib
import json
import os
import pwd
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable

from nativecgi import before_freeze
from nativecgi.frozen.freezepoint import reach

# The ids of processes that have run the hook.
before: list[int] = []


@before_freeze
def note_freeze() -> None:
    before.append(os.getpid())


def version() -> object:
    return sys.version


def hooks() -> object:
    return before


def environment() -> object:
    return {"environ": dict(os.environ), "getenv": os.getenv("GREETING")}


def child() -> object:
    """What a child process inherits is the C library's environment."""
    os.environ["ADDED"] = "after"
    output = subprocess.run(["env", "-0"], capture_output=True, check=True).stdout
    return dict(os.fsdecode(variable).split("=", 1) for variable in output.split(b"\0")[:-1])


def arguments() -> object:
    return sys.argv


def place() -> object:
    return [os.getpid(), os.getcwd()]


def streams() -> object:
    return [
        stream
        and {
            "file": stream.fileno(),
            "encoding": stream.encoding,
            "errors": stream.errors,
            "terminal": stream.isatty(),
            "mode": (stream.readable(), stream.writable()),
            "lines": stream is not sys.stdin and stream.line_buffering,
            # A thaw keeps standard error's stream where it is a file: nobody seeks in a log.
            "seekable": stream is sys.stdout and stream.seekable(),
        }
        for stream in (sys.stdin, sys.stdout, sys.stderr)
    ]


def echo() -> object:
    line = sys.stdin.readline()
    sys.stdout.write(f"out: {line}")
    sys.stderr.write(f"err: {line}")
    return line


def half_a_line() -> object:
    """Write to standard output in two pieces, and past it in between."""
    sys.stdout.write("line\n")
    sys.stdout.write("half")
    os.write(2, b"between ")
    return None


def chance() -> object:
    return [random.random(), str(uuid.uuid4())]


def broken_pipe() -> object:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        os.write(writer, b"x")
    except BrokenPipeError:
        return "ignored"
    return "written"


def interrupt() -> object:
    try:
        sys.stdout.write("waiting\n")
        sys.stdout.flush()
        time.sleep(float(os.environ["SLEEP"]))
    except KeyboardInterrupt:
        return "KeyboardInterrupt"
    return "slept"


def threads() -> object:
    results: list[int] = []
    started = [threading.Thread(target=results.append, args=(i,)) for i in range(4)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert sorted(results) == [0, 1, 2, 3]
    return "ended"


def recursion() -> object:
    """Recurse without an end: in Python, in C, and in C in a thread."""
    endless: list[object] = []
    for _level in range(200_000):
        endless = [endless]
    caught = []

    def recurse(function: Callable[[], object]) -> None:
        try:
            function()
        except RecursionError:
            caught.append("RecursionError")

    def again() -> object:
        return again()

    recurse(again)
    recurse(lambda: json.dumps(endless))
    thread = threading.Thread(target=recurse, args=(lambda: json.dumps(endless),))
    thread.start()
    thread.join()
    return caught


def database() -> object:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table numbers (number)")
    connection.executemany("insert into numbers values (?)", [(i,) for i in range(100)])
    (total,) = connection.execute("select sum(number) from numbers").fetchone()
    connection.close()
    return total


def clock() -> object:
    return time.time()


def late_import() -> object:
    sys.path.insert(0, os.environ["LATE"])
    return importlib.import_module("imported_late").handle()


def lookups() -> object:
    """The C library loads its modules for these, if /etc/nsswitch.conf names any."""
    address = socket.getaddrinfo(b"127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4]
    try:
        protocol: int | None = socket.getprotobyname("no-protocol")
    except OSError:
        protocol = None
    return [pwd.getpwuid(0).pw_name, address, protocol]


def failure() -> object:
    raise LookupError("on purpose")


PROBES = {
    probe.__name__: probe
    for probe in (
        version,
        hooks,
        environment,
        child,
        arguments,
        place,
        streams,
        echo,
        half_a_line,
        chance,
        broken_pipe,
        interrupt,
        threads,
        recursion,
        database,
        clock,
        late_import,
        lookups,
        failure,
    )
}

if __name__ == "__main__":
    reach(lambda: lambda: None)
    result = PROBES[os.environ["PROBE"]]()
    with open(os.environ["REPORT"], "w", encoding="utf-8") as report:
        json.dump(result, report)
