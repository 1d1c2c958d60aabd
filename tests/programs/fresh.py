"""Has used all that could go stale before its freeze point, and shows what PROBE names behind it.

Everything here is used twice: at import, so that it has whatever state it will keep, and in the
process. The result goes to standard output as JSON.
"""

import _random
import asyncio
import concurrent.futures
import contextlib
import datetime
import json
import locale
import logging
import multiprocessing
import os
import platform
import random
import resource
import secrets
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zoneinfo
from collections.abc import Callable
from random import randbytes

from nativecgi.frozen.freezepoint import reach


class Generator(random.Random):
    """A kind of its own."""


own, given, of_its_own_kind = random.Random(), random.Random(7), Generator()
put_back, set_to, in_c = random.Random(), random.Random(), _random.Random()
state = put_back.getstate()
put_back.seed(7)
put_back.setstate(state)
set_to.setstate(given.getstate())
system = random.SystemRandom()
frozen = os.getpid()
database = sqlite3.connect(":memory:")


def drawn() -> dict[str, object]:
    """What no two processes may have alike."""
    return {
        "random": random.random(),
        "random's function": randbytes(8).hex(),
        "a generator": own.random(),
        "a generator of its own kind": of_its_own_kind.random(),
        "a generator put back": put_back.random(),
        "a generator of the module in C": in_c.random(),
        "the system's generator": system.random(),
        "secrets": secrets.token_hex(),
        "urandom": os.urandom(8).hex(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "tempfile": next(tempfile._get_candidate_names()),  # type: ignore[attr-defined]
        "openssl": ssl.RAND_bytes(8).hex(),
        "multiprocessing": bytes(multiprocessing.current_process().authkey).hex(),
        "sqlite": database.execute("select random()").fetchone()[0],
    }


def constant() -> object:
    """What all processes of a build have alike."""
    return {"given": [given.random(), set_to.random()], "hash": hash("text"), "frozen": frozen}


def process() -> object:
    thread = threading.main_thread()
    os.umask(umask := os.umask(0o22))
    return {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "native id": [threading.get_native_id(), thread.native_id],
        "self": int(os.readlink("/proc/self")),
        "cwd": os.getcwd(),
        "umask": umask,
        "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "executable": sys.executable,
        "cpus": [os.cpu_count(), len(os.sched_getaffinity(0))],
        "name": multiprocessing.current_process().pid,
    }


def place() -> object:
    return {
        "hostname": [socket.gethostname(), platform.node(), platform.uname().node],
        "temporary": tempfile.gettempdir(),
        "home": os.path.expanduser("~"),
    }


def clocks() -> object:
    record = logging.LogRecord("name", logging.INFO, __file__, 1, "message", None, None)
    return {
        "time": time.time(),
        "monotonic": time.monotonic(),
        "perf_counter": time.perf_counter(),
        "process": time.process_time(),
        "now": datetime.datetime.now().timestamp(),
        "hour": [datetime.datetime.fromtimestamp(0).hour, time.localtime(0).tm_hour],
        "zone": [time.tzname, time.timezone],
        "since the start of the log": record.relativeCreated,
        "logged": logging.Formatter("%(asctime)s", "%H").format(record),
    }


def locales() -> object:
    chosen = locale.setlocale(locale.LC_ALL, "")
    return {"chosen": chosen, "strftime": time.strftime("%B", time.gmtime(0))}


def log() -> object:
    logging.getLogger().error("an error of %d", os.getpid())
    return os.getpid()


def signals() -> object:
    received = []
    signal.signal(signal.SIGUSR1, lambda number, _frame: received.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    names = ("SIGPIPE", "SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD")
    actions = {name: str(signal.getsignal(getattr(signal, name))) for name in names}
    return {"received": received, "actions": actions}


def square(number: int) -> int:
    return number * number


def children() -> object:
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        squares = list(pool.map(square, range(4)))
    done = subprocess.run(["/bin/sh", "-c", "echo $PPID"], capture_output=True, check=True)
    return {"squares": squares, "parent": [int(done.stdout), os.getpid()]}


def threads() -> object:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(square, range(4)))


def event_loop() -> object:
    async def shell() -> int:
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 3")
        return await asyncio.wait_for(process.wait(), 10)

    async def work() -> object:
        return await asyncio.gather(
            asyncio.to_thread(square, 3), shell(), asyncio.sleep(0, "slept")
        )

    return asyncio.run(work())


def names() -> object:
    """The addresses of the hosts that HOSTS names."""
    found = {}
    for name in os.environ["HOSTS"].split():
        try:
            answers = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
            found[name] = sorted({answer[4][0] for answer in answers})
        except OSError as error:
            found[name] = [type(error).__name__]
    return found


def zones() -> object:
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    return datetime.datetime(2026, 7, 1, tzinfo=zone).isoformat()


def tls() -> object:
    """What a server on PORT says, whose certificate CERTIFICATE vouches for."""
    context = ssl.create_default_context(cafile=os.environ["CERTIFICATE"])
    with (
        socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return [connection.version(), connection.recv(100).decode()]


def hooks() -> object:
    return in_child


def descriptors() -> object:
    """What the first file that is opened gets, and what a write to standard error does then."""
    with tempfile.TemporaryFile() as file:
        with contextlib.suppress(OSError):
            os.write(2, b"to standard error")
        with contextlib.suppress(OSError):
            os.write(1, b"to standard output")
        file.seek(0)
        return [file.fileno(), file.read().decode()]


PROBES: dict[str, Callable[[], object]] = {
    probe.__name__: probe
    for probe in (
        *(drawn, constant, process, place, clocks, locales, log, signals, children, threads),
        *(event_loop, names, zones, tls, hooks, descriptors),
    )
}

# What a process may have used before it is frozen, it has used.
for used in (drawn, process, place, clocks, threads):
    used()
logging.basicConfig(format="%(process)d %(message)s")
in_child: list[str] = []
os.register_at_fork(after_in_child=lambda: in_child.append("first"))
os.register_at_fork(after_in_child=lambda: 1 / (os.environ.get("PROBE") != "hooks"))
os.register_at_fork(after_in_child=lambda: in_child.append("last"))
with contextlib.suppress(OSError):
    socket.getaddrinfo("localhost", 80)

if __name__ == "__main__":
    reach(lambda: lambda: None)
    answer = json.dumps(PROBES[os.environ["PROBE"]]())
    if report := os.environ.get("REPORT"):
        with open(report, "w", encoding="utf-8") as file:
            file.write(answer)
    else:
        sys.stdout.write(answer)
        sys.stdout.flush()
