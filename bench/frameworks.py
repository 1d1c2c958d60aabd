"""Measures applications of frameworks: frozen, as plain Python's CGI programs, and resident.

Resident is what stays in memory and answers many requests: a server of its own, behind Apache.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

from msgspec import Struct

from bench import builds, processes, startup, throughput
from bench.errors import BenchError
from bench.processes import Memory
from bench.programs import OURS, Program
from bench.startup import Timing
from bench.throughput import Load
from nativecgi_build.environments.environment import environment
from nativecgi_build.environments.metadata import EnvironmentFailed, script_metadata
from servers import apache
from servers.server import HOST, PREFIX, Server, await_start, is_reachable, running, site

STARTS, WARM_UP = 60, 3  # rounds
SECONDS, ROUNDS = 3, 2
PLAIN_SECONDS = 10  # for some answers of programs that take a second, eight at a time
CONCURRENT = 32
PAUSE = 0.1  # seconds between two looks at the memory

_ROOT = Path(__file__).resolve().parent.parent
_APPS = Path(__file__).with_name("apps")
_WARM_UP_ARGUMENT = ', warmup=["/Ann"]'
_PATH = "/Ann"
_RESIDENT = "/resident"
_TIMEOUT = 20  # seconds: where many plain programs run at a time each takes long
_PATIENCE = f"--timeout={_TIMEOUT}s"
_SETTLED = 0.5  # seconds under load, before the memory counts

_PAGE = b"""<!DOCTYPE html>
<html lang="en">
<title>Hello Ann</title>
<h1>Hello Ann</h1>
<ul><li>A</li><li>n</li><li>n</li></ul>
</html>"""

_PLAIN = """\
#!{python}
import sys

sys.path.insert(0, {folder!r})

{code}"""


class Plain(Struct, frozen=True):
    """What has an application answer as a CGI program of plain Python."""

    name: str
    code: str


class Resident(Struct, frozen=True):
    """A server that an application stays in: what is installed, and run with python -m."""

    name: str
    requirement: str
    command: tuple[str, ...]


class Framework(Struct, frozen=True):
    """A framework, its application in apps/, and what runs that."""

    name: str
    app: str
    plain: Plain
    resident: Resident

    @property
    def source(self) -> Path:
        """The application."""
        return _APPS / f"{self.app}.py"

    @property
    def requirements(self) -> list[str]:
        """What is installed for it, versions included."""
        return [*(script_metadata(self.source).dependencies or ()), self.resident.requirement]


class Built(Struct, frozen=True):
    """A framework's application, ready to be run in each way."""

    framework: Framework
    python: Path  # of the environment for plain Python and the resident server
    frozen: Program
    cold: Program  # frozen without a warm-up
    plain: Program

    @property
    def programs(self) -> tuple[Program, Program, Program]:
        """Those that are timed from spawn to exit."""
        return self.frozen, self.cold, self.plain


class Way(Struct, frozen=True):
    """An address of an application behind Apache, and how to look at the memory behind it."""

    name: str
    url: str
    look: Callable[[], Memory]
    seconds: int = SECONDS  # that it is loaded for


class Result(Struct, frozen=True):
    """One way's loads, a round each, and its memory at rest and at some moments under load."""

    loads: Sequence[Load]
    at_rest: Memory
    under_load: Sequence[Memory]


FROZEN = "frozen, CGI"
CGI_HANDLER = Plain(
    "wsgiref's CGIHandler, CGI",
    """\
from wsgiref.handlers import CGIHandler

from {app} import app

CGIHandler().run(app)
""",
)
RUN_ASGI = Plain(
    "plain Python, run(from_asgi(app)), CGI",
    """\
from {app} import app

from nativecgi import run
from nativecgi.asgi import from_asgi

run(from_asgi(app))
""",
)
# They keep idle connections for longer than Apache uses them again, and log no requests.
GUNICORN = Resident(
    "gunicorn, 2 workers",
    "gunicorn==27.0.1",
    (
        *("gunicorn", "--workers=2", "--worker-class=gthread", "--threads=4", "--keep-alive=60"),
        *("--no-control-socket", "--bind={host}:{port}", "{app}:app"),
    ),
)
UVICORN = Resident(
    "uvicorn, 2 workers",
    "uvicorn[standard]==0.54.0",
    (
        *("uvicorn", "--workers=2", "--timeout-keep-alive=60", "--no-access-log"),
        *("--log-level=warning", "--host={host}", "--port={port}", "{app}:app"),
    ),
)
_PROXY = 'ProxyPass "{path}/" "http://{host}:{port}/" ttl=30'

# A framework more is an application and a line here.
FRAMEWORKS = (
    Framework("Flask", "hello_flask", CGI_HANDLER, GUNICORN),
    Framework("Django", "hello_django", CGI_HANDLER, GUNICORN),
    Framework("Bottle", "hello_bottle", CGI_HANDLER, GUNICORN),
    Framework("FastAPI", "hello_fastapi", RUN_ASGI, UVICORN),
)


def missing() -> str | None:
    """Why nothing can be measured through Apache on this machine."""
    if tool := throughput.missing():
        return f"there is no {tool}"
    for folder in (_ROOT, Path(sys.base_prefix)):
        if not is_reachable(folder):
            return f"servers that root starts cannot enter {folder}"
    return None


def build(folder: Path, skip: Callable[[str], None]) -> list[Built]:
    """Build all applications in `folder`, but those that are there and up to date.

    Calls `skip` with a line for each that requires what cannot be installed; raises BenchError
    where one cannot be built.
    """
    built = []
    for framework in FRAMEWORKS:
        try:
            python = _environment(framework, folder)
        except EnvironmentFailed as error:
            skip(f"{framework.name}: {error}")
        else:
            built.append(_built(framework, python, folder))
    return built


def without_warm_up(source: str) -> str:
    """An application's text, its program not warmed up; raises BenchError where it has none."""
    if _WARM_UP_ARGUMENT not in source:
        raise BenchError(f"there is no {_WARM_UP_ARGUMENT!r} in:\n{source}")
    return source.replace(_WARM_UP_ARGUMENT, "")


def time_all(
    built: Sequence[Built], go: Program | None, rounds: int, folder: Path
) -> dict[Program, Timing]:
    """Time the programs, Go's hello among them, from spawn to exit."""
    programs = [*([go] if go else []), *(program for each in built for program in each.programs)]
    return startup.time_all(programs, min(rounds, STARTS), WARM_UP, folder)


def measure_all(built: Sequence[Built], folder: Path) -> dict[str, Mapping[str, Result]]:
    """The results of each framework's ways behind Apache, one framework after the other.

    So at no time does another's resident server share memory with the one that is measured. CGI
    programs are served from `folder`. Raises BenchError and ServerError as throughput.measure_all.
    """
    return {each.framework.name: _measured(each, folder / each.framework.app) for each in built}


def _environment(framework: Framework, folder: Path) -> Path:
    here = folder / framework.app
    here.mkdir(parents=True, exist_ok=True)
    listed = here / "requires.py"
    listed.write_text(
        f"# /// script\n# dependencies = {json.dumps(framework.requirements)}\n# ///\n"
    )
    return environment(listed, here / "venv").python


def _built(framework: Framework, python: Path, folder: Path) -> Built:
    cold = folder / framework.app / f"{framework.app}_cold.py"
    _write(cold, without_warm_up(framework.source.read_text()))
    plain = folder / framework.app / f"{framework.app}_plain"
    code = framework.plain.code.format(app=framework.app)
    _write(plain, _PLAIN.format(python=python, folder=str(_APPS), code=code))
    plain.chmod(0o755)
    programs = folder / "programs"
    return Built(
        framework,
        python,
        _program(f"{OURS}: {framework.name}", builds.frozen(framework.source, programs)),
        _program(f"{OURS}: {framework.name}, not warmed up", builds.frozen(cold, programs)),
        _program(f"{framework.name}: {framework.plain.name}", plain),
    )


def _program(name: str, path: Path) -> Program:
    return Program(name, path, answer=_PAGE, variables=(("PATH_INFO", _PATH),))


def _write(file: Path, text: str) -> None:
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def _measured(built: Built, folder: Path) -> Mapping[str, Result]:
    throughput.serve_from(folder, [built.frozen, built.plain])
    with _ways(built, folder) as ways:
        for way in ways:
            throughput.check(way.url, built.frozen)
        loads = _loads(ways)
        return {way.name: Result(loads[way.name], *_memory(way)) for way in ways}


@contextmanager
def _ways(built: Built, folder: Path) -> Iterator[list[Way]]:
    with ExitStack() as stack:
        port, pid = stack.enter_context(_resident(built))
        proxy = _PROXY.format(path=_RESIDENT, host=HOST, port=port)
        modules = ("proxy", "proxy_http")
        server = stack.enter_context(apache.serving(folder, modules=modules, directives=[proxy]))
        yield [
            _cgi(FROZEN, server, built.frozen),
            _cgi(built.framework.plain.name, server, built.plain, PLAIN_SECONDS),
            Way(
                built.framework.resident.name,
                f"{server.url.removesuffix(PREFIX)}{_RESIDENT}{_PATH}",
                lambda: processes.of_server(pid),
            ),
        ]


def _cgi(name: str, server: Server, program: Program, seconds: int = SECONDS) -> Way:
    url = f"{server.url}/{program.path.name}{_PATH}"
    return Way(name, url, lambda: processes.of_programs(server), seconds)


@contextmanager
def _resident(built: Built) -> Iterator[tuple[int, int]]:
    """The port of the application's resident server, and the id of its first process."""
    framework = built.framework
    with site(_APPS) as here:
        command = [str(built.python), "-m"]
        for part in framework.resident.command:
            command.append(part.format(host=HOST, port=here.port, app=framework.app))
        environment = {"PYTHONPATH": str(here.cgi_bin)}
        with running(command, here, environment=environment, identity=here.identity) as process:
            await_start(process, here)
            yield here.port, process.pid


def _loads(ways: Sequence[Way]) -> dict[str, list[Load]]:
    loads: dict[str, list[Load]] = {way.name: [] for way in ways}
    order = list(ways)
    shuffle = random.Random(0).shuffle
    for _round in range(ROUNDS):
        shuffle(order)
        for way in order:
            at_rest = way.look()
            loads[way.name].append(throughput.load(way.url, _PATIENCE, seconds=way.seconds))
            _await_rest(way, at_rest)
    return loads


def _await_rest(way: Way, at_rest: Memory) -> None:
    """Wait for what runs when wrk is gone: it leaves without the last answers."""
    deadline = time.monotonic() + _TIMEOUT
    while way.look().processes > at_rest.processes:
        if time.monotonic() > deadline:
            raise BenchError(f"{way.name}: programs run {_TIMEOUT} seconds after the load")
        time.sleep(PAUSE)


def _memory(way: Way) -> tuple[Memory, list[Memory]]:
    """At rest, and under load: not in the rounds that count, as looking takes time."""
    at_rest = way.look()
    looks: list[Memory] = []
    is_over = Event()

    def watch() -> None:
        is_over.wait(_SETTLED)
        while not is_over.wait(PAUSE):
            looks.append(way.look())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        # So many at a time, plain programs may not answer that soon, and Apache closes some of the
        # connections that rest: neither is of matter to the memory.
        throughput.run(way.url, _PATIENCE, connections=CONCURRENT, seconds=SECONDS)
    finally:
        is_over.set()
        watcher.join()
    _await_rest(way, at_rest)
    return at_rest, looks


def median(memory: Sequence[Memory]) -> Memory:
    """That of some moments, of the processes and of their memory each."""
    return Memory(
        round(statistics.median(each.processes for each in memory)),
        round(statistics.median(each.size for each in memory)),
    )
