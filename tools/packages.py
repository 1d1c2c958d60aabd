"""Tries packages that web programs use: `python -m tools.packages [--only NAME...]`.

Each package of packages.toml becomes a program that uses it in a request. The program is built, and
its answer is compared with plain Python's. What came out is kept in docs/packages.json: a package
is tried again when its program or Python has changed, or with --again. docs/packages.md has the
table.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock, Timer

import msgspec

from nativecgi_build.environments.environment import environment
from nativecgi_build.environments.metadata import EnvironmentFailed

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tools" / "packages.toml"
RESULTS = ROOT / "docs" / "packages.json"
PAGE = ROOT / "docs" / "packages.md"
WORK = ROOT / "build" / "apps"

SECONDS = 4 * 3600  # for a build, which gets what others leave
REQUEST_SECONDS = 120
RUNS = 5
WORKS, WARM, UNCOMPILED = "works", "works with a warm-up", "works uncompiled"
REFUSED, FAILS, DIFFERS, INVALID = "is refused", "cannot be built", "answers otherwise", "not tried"

REQUEST = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REQUEST_METHOD": "GET",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SCRIPT_NAME": "/try",
    "PATH_INFO": "/",
    "PATH": os.defpath,
}

PROGRAM = '''\
# /// script
# dependencies = {requires}
# ///
"""Uses {name}."""

import io

{code}


{server}from nativecgi import Request, Response, run, text


def handle(request: Request) -> Response:
    return text(f"{{use()!r}}\\n")


if __name__ == "__main__":
    run(handle{warmup})
'''
SERVER = """\
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"Hello")

    def log_message(self, *arguments):
        pass


@contextmanager
def server():
    with HTTPServer(("127.0.0.1", 0), Hello) as serving:
        Thread(target=serving.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}/"
        finally:
            serving.shutdown()


"""

ABOUT = """\
# Packages

`make packages` builds a program with each of these packages, sends it a request, and compares the
answer with plain Python's. It also writes this page, so do not edit the page by hand; the programs
are in [tools/packages.toml](../tools/packages.toml). A package that is not in the table may work as
well.

- **works**: the built program gives plain Python's answer, byte for byte.
- **works with a warm-up**: it does so if the request is in [`warmup`](frozen.md#warm-up), because
  the package imports something by a string, and only when it is used.
- **works uncompiled**: it was only frozen as plain Python, as in a build's rehearsal, and then gave
  that answer (`--quick`). Whether a compiled program has all modules and data is not known.
- **is refused**: it holds something that cannot be frozen, which the build names.
- **cannot be built**, **answers otherwise**: a fault. The reason is below the table.

Clients of databases and servers are tested as far as possible without a server: they make what they
would send, and report a refused connection. MB is the program's size. ms is the processor time of a
process from start to end, the median of {runs}, with the time of the same program in plain Python
beside it. The machine was busy with other builds, so compare only these two columns.
"""


class Package(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the table."""

    requires: list[str]  # the package itself comes first
    does: str
    code: str
    server: bool = False

    @property
    def name(self) -> str:
        """Without its version and extras."""
        return re.split(r"[\[=]", self.requires[0])[0]

    @property
    def version(self) -> str:
        """The one that is pinned."""
        return self.requires[0].partition("==")[2]

    def program(self, *, is_warmed_up: bool = False) -> str:
        """The source of the program."""
        return PROGRAM.format(
            requires=msgspec.json.encode(self.requires).decode(),
            name=self.name,
            code=self.code.strip(),
            server=SERVER if self.server else "",
            warmup=', warmup=["/"]' if is_warmed_up else "",
        )

    def digest(self) -> str:
        """Changes when there is something else to try."""
        tried = f"{self.program()}\0{platform.python_version()}"
        return hashlib.sha256(tried.encode()).hexdigest()[:16]


class Result(msgspec.Struct, omit_defaults=True):
    """What came out."""

    digest: str
    version: str
    day: str
    python: str
    outcome: str
    reason: str = ""
    size: int = 0
    milliseconds: float = 0
    plain_milliseconds: float = 0


class Answer(msgspec.Struct):
    """What a program has answered."""

    output: bytes
    errors: str
    milliseconds: float  # of processor time

    def is_success(self) -> bool:
        """Whether it is an answer, and not a report of a failure."""
        return self.output.startswith(b"Status: 200 ")


def main() -> int:
    """Try what the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="just these packages")
    parser.add_argument("--again", action="store_true", help="those that were tried before, too")
    parser.add_argument("--failed", action="store_true", help="again those that did not work")
    parser.add_argument(
        "--quick", action="store_true", help="freeze plain Python, and compile nothing: seconds"
    )
    parser.add_argument("--page", action="store_true", help="try nothing, but write the page")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="at a time (2)")
    options = parser.parse_args()
    packages = msgspec.toml.decode(TABLE.read_bytes(), type=dict[str, list[Package]])["package"]
    results = _results()
    if unknown := set(options.only) - {package.name for package in packages}:
        parser.error(f"there is no {', '.join(sorted(unknown))} in {TABLE}")

    def is_wanted(package: Package) -> bool:
        known = results.get(package.name)
        if options.only and package.name not in options.only:
            return False
        if options.again or known is None or known.digest != package.digest():
            return True
        if known.outcome == UNCOMPILED and not options.quick:
            return True
        return options.failed and known.outcome not in (WORKS, WARM, UNCOMPILED)

    lock = Lock()

    def try_and_keep(package: Package) -> None:
        result = freeze_only(package) if options.quick else attempt(package)
        with lock:
            results[package.name] = result
            RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
            PAGE.write_text(page(packages, results))
            print(f"{package.name} {result.version}: {result.outcome}", flush=True)

    wanted = [] if options.page else [package for package in packages if is_wanted(package)]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(try_and_keep, wanted))
    PAGE.write_text(page(packages, results))
    return 0


def _results() -> dict[str, Result]:
    if not RESULTS.exists():
        return {}
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Result])


def attempt(package: Package) -> Result:
    """Build a package's program and compare its answers with plain Python's."""
    app, result = _begin(package)
    work = WORK / app
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, f"{app}.py"), Path(folder, "out", app)
        for is_warmed_up in (False, True):
            source.write_text(package.program(is_warmed_up=is_warmed_up))
            result.outcome, result.reason = _build(source, program.parent)
            if not result.outcome:
                _compare(result, source, program, work / "venv" / "bin" / "python")
            if result.outcome != DIFFERS:
                break
        if result.outcome == WORKS:
            result.outcome = WARM if is_warmed_up else WORKS
            result.size = program.stat().st_size
            shutil.rmtree(work)
    return result


def freeze_only(package: Package) -> Result:
    """Freeze a package's program as plain Python, and compare its answers with those before."""
    app, result = _begin(package)
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, f"{app}.py"), Path(folder, app)
        source.write_text(package.program())
        try:
            python = environment(source, Path(folder, "venv")).python
        except EnvironmentFailed as error:
            result.outcome, result.reason = FAILS, _short(str(error))
            return result
        command = [sys.executable, "-m", "nativecgi_build.freezer", "-o", str(program), "--"]
        result.outcome, result.reason = _run([*command, str(python), "-P", str(source)])
        if not result.outcome:
            _compare(result, source, program, python)
        if result.outcome == WORKS:
            result.outcome = UNCOMPILED
            result.milliseconds = 0  # a compiled program's are others
    return result


def _begin(package: Package) -> tuple[str, Result]:
    """The name of a package's program, which no package has; and what is to be found out."""
    app = re.sub(r"\W", "_", f"try_{package.name}")
    day, python = time.strftime("%Y-%m-%d"), platform.python_version()
    return app, Result(package.digest(), package.version, day, python, "")


def _build(source: Path, output: Path) -> tuple[str, str]:
    """Build a program: what came of it if it is not there, and the reason."""
    build = [sys.executable, str(ROOT / "build.py")]
    return _run([*build, str(source), "-o", str(output), "-j", "1"])


def _run(command: Sequence[str]) -> tuple[str, str]:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # to end what it has started as well
    )
    try:
        _output, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return INVALID, f"it took longer than {SECONDS} s"
    if not process.returncode:
        return "", ""
    reason = errors.strip()
    return (REFUSED if "cannot be frozen as it is" in reason else FAILS), _short(reason)


def _compare(result: Result, source: Path, program: Path, python: Path) -> None:
    plain, frozen = _ask([python, "-P", source]), _ask([program])
    result.plain_milliseconds, result.milliseconds = plain.milliseconds, frozen.milliseconds
    if not plain.is_success():
        result.outcome, result.reason = INVALID, _short(plain.errors)
    elif frozen.output == plain.output:
        result.outcome, result.reason = WORKS, ""
    else:
        result.outcome = DIFFERS
        result.reason = _short(frozen.errors if not frozen.is_success() else _difference(frozen))


def _difference(frozen: Answer) -> str:
    return frozen.output.partition(b"\r\n\r\n")[2].decode(errors="replace")


def _ask(command: Sequence[str | Path]) -> Answer:
    answers = [_ask_once(command) for _run in range(RUNS)]
    answers[-1].milliseconds = statistics.median(answer.milliseconds for answer in answers)
    return answers[-1]


def _ask_once(command: Sequence[str | Path]) -> Answer:
    # A folder with nothing in it to be found, and another for what the program writes.
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as streams:
        output, errors = Path(streams, "output"), Path(streams, "errors")
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                command,
                env={**REQUEST, "HOME": folder},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            limit = Timer(REQUEST_SECONDS, process.kill)
            limit.start()
            _pid, status, used = os.wait4(process.pid, 0)
            limit.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        milliseconds = round((used.ru_utime + used.ru_stime) * 1000, 1)
        return Answer(output.read_bytes(), errors.read_text(errors="replace"), milliseconds)


def _short(reason: str) -> str:
    """The end of a long reason, where what has failed is named; no path of this machine."""
    lines = [line for line in reason.splitlines() if line.strip()][-12:]
    text = "\n".join(line[:300] for line in lines).replace(str(ROOT), ".")
    text = text.replace(str(Path.home()), "~")
    return re.sub(r"/tmp/\w+/|/proc/frozen-[^/]*/", "", text)


def page(packages: Sequence[Package], results: dict[str, Result]) -> str:
    """docs/packages.md."""
    rows = ["| package | version | what a request does | outcome | MB | ms | plain Python, ms |"]
    rows += ["| --- | --- | --- | --- | ---: | ---: | ---: |"]
    reasons = []
    for package in packages:
        result = results.get(package.name)
        if result is None or result.digest != package.digest():
            rows.append(
                f"| {package.name} | {package.version} | {package.does} | not tried | | | |"
            )
            continue
        figures = "| | "
        if result.size and result.milliseconds:
            figures = (
                f"{result.size / 1e6:.0f} | {result.milliseconds} | {result.plain_milliseconds}"
            )
        rows.append(
            f"| {package.name} | {result.version} | {package.does} | {result.outcome} | {figures} |"
        )
        if result.reason:
            reasons.append(f"**{package.name}** {result.outcome}:\n\n```\n{result.reason}\n```")
    tried = [
        results[it.name]
        for it in packages
        if it.name in results and results[it.name].digest == it.digest()
    ]
    working = sum(result.outcome in (WORKS, WARM) for result in tried)
    uncompiled = sum(result.outcome == UNCOMPILED for result in tried)
    pythons = ", ".join(sorted({result.python for result in tried}))
    days = sorted({result.day for result in tried})
    summary = f"{len(tried)} of {len(packages)} packages were tried; {working} work"
    if uncompiled:
        summary += f", {uncompiled} work uncompiled"
    if tried:
        summary += f": with Python {pythons}, {' to '.join(dict.fromkeys((days[0], days[-1])))}"
    parts = [ABOUT.format(runs=RUNS), f"{summary}.", "\n".join(rows), *reasons]
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
