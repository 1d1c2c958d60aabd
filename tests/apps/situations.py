"""What real programs do and trip over, each by the path of its name: docs/situations.md.

An answer is to be the same in plain Python and in a built program. What stands at the top of this
file is done at the build, as in programs that set themselves up when they are imported.
"""

import abc
import asyncio
import builtins
import concurrent.futures
import contextvars
import csv
import ctypes
import dataclasses
import decimal
import email
import enum
import faulthandler
import functools
import gc
import getpass
import gettext
import hashlib
import importlib.metadata
import inspect
import json
import locale
import logging
import mimetypes
import multiprocessing
import os
import pickle
import pkgutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import types
import typing
import urllib.request
import warnings
import weakref
import zoneinfo
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from nativecgi import Request, Response, not_found, run, text

Situation = Callable[[], object]

situations: dict[str, Situation] = {}
EMPTY: dict[str, str] = {}


def situation(function: Situation) -> Situation:
    situations[function.__name__] = function
    return function


# --- set at import ---

locale.setlocale(locale.LC_ALL, "C.UTF-8")
decimal.getcontext().prec = 9
decimal.getcontext().rounding = decimal.ROUND_UP
csv.field_size_limit(10_000_000)
socket.setdefaulttimeout(7.5)
sys.setrecursionlimit(700)
sys.set_int_max_str_digits(5000)
threading.stack_size(512 * 1024)
gc.set_threshold(500, 9, 9)
gc.disable()
warnings.simplefilter("error", UserWarning)
mimetypes.add_type("application/x-situation", ".situation")
faulthandler.enable()
gettext.install("situations")


@situation
def settings_made_at_import() -> object:
    return [
        locale.setlocale(locale.LC_ALL),
        str(decimal.Decimal(1) / 3),
        csv.field_size_limit(),
        socket.getdefaulttimeout(),
        sys.getrecursionlimit(),
        sys.get_int_max_str_digits(),
        threading.stack_size(),
        gc.get_threshold(),
        gc.isenabled(),
        error_of(lambda: warnings.warn("no", UserWarning, stacklevel=1)),
        mimetypes.guess_type("a.situation"),
        faulthandler.is_enabled(),
        getattr(builtins, "_")("text"),  # noqa: B009  # no type checker knows it
    ]


# --- made at import ---

context = ssl.create_default_context()
opener = urllib.request.build_opener()
executor = concurrent.futures.ThreadPoolExecutor(2)
connection = sqlite3.connect(":memory:")
connection.execute("create table articles (price)")
connection.execute("insert into articles values (42)")
connection.commit()
lock, condition = threading.Lock(), threading.Condition()
async_lock = asyncio.Lock()
local = threading.local()
local.value = "of the main thread"
variable = contextvars.ContextVar("variable", default="none")
variable.set("imported")
digest = hashlib.sha256(b"first, ")
zone = zoneinfo.ZoneInfo("Europe/Berlin")
numbers = iter(range(1000))
next(numbers)
caught: list[int] = []
signal.signal(signal.SIGUSR1, lambda number, _frame: caught.append(number))


@situation
def clients_made_at_import() -> object:
    return [
        context.verify_mode,
        context.check_hostname,
        len(context.get_ca_certs()) > 0,
        sorted(type(handler).__name__ for handler in vars(opener)["handlers"]),
        list(executor.map(square, range(4))),
    ]


@situation
def database_in_memory_made_at_import() -> object:
    return connection.execute("select price from articles").fetchone()


@situation
def locks_made_at_import() -> object:
    async def enter() -> str:
        async with async_lock:
            return "entered"

    with lock, condition:
        return [lock.locked(), asyncio.run(enter()), async_lock.locked()]


@situation
def variables_of_threads_and_contexts() -> object:
    seen: list[object] = [local.value, variable.get()]
    thread = threading.Thread(target=lambda: seen.append(hasattr(local, "value")))
    thread.start()
    thread.join()
    return [*seen, threading.current_thread() is threading.main_thread()]


@situation
def work_begun_at_import() -> object:
    digest.update(b"second")
    return [digest.hexdigest(), next(numbers)]


@situation
def zones() -> object:
    return [str(zone), zoneinfo.ZoneInfo("Europe/Berlin") is zone, zoneinfo.ZoneInfo("UTC").key]


@situation
def signal_handlers_set_at_import() -> object:
    os.kill(os.getpid(), signal.SIGUSR1)
    signals = (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD, signal.SIGINT)
    return [len(caught), *(str(signal.getsignal(number)) for number in signals)]


# --- what a server's processes lack ---


@situation
def home_and_user() -> object:
    return [str(Path.home()), getpass.getuser(), os.path.expanduser("~/x"), tempfile.gettempdir()]


@situation
def text_without_a_locale() -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "é.txt")
        path.write_text("Zoë")
        read = path.read_text(), os.listdir(folder)
    sys.stderr.write("Zoë\n")
    said = subprocess.run(["printf", "Zoë"], capture_output=True, text=True, check=True).stdout
    encodings = sys.getfilesystemencoding(), locale.getpreferredencoding(False).lower()
    return [*read, said, *encodings]


@situation
def printed() -> object:
    print("by print")  # noqa: T201
    os.write(1, b"by write\n")
    subprocess.run(["echo", "by a child"], check=True)
    return "answered"


@situation
def input_where_there_is_none() -> object:
    return [error_of(lambda: input("? ")), sys.stdin.read()]


# --- compiled functions ---


def add(a: int, b: "int" = 2, /, *, c: "Point | None" = None, **more: str) -> "Point":
    """Adds."""
    return Point(a + b)


@dataclasses.dataclass(order=True, frozen=True)
class Point:
    """A point."""

    x: int
    y: "int" = 0
    tags: list[str] = dataclasses.field(default_factory=list, compare=False)

    def norm(self) -> float:
        return float((self.x**2 + self.y**2) ** 0.5)


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int

    def doubled(self) -> int:
        return self.a * 2


class Color(enum.Enum):
    RED = 1
    BLUE = enum.auto()


class Row(typing.NamedTuple):
    a: int
    b: str = "x"


class Base(abc.ABC):
    names: typing.ClassVar[list[str]] = []

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        Base.names.append(cls.__name__)

    @abc.abstractmethod
    def name(self) -> str: ...


class Child(Base):
    def name(self) -> str:
        return __class__.__name__  # type: ignore[name-defined,no-any-return]


def square(number: int) -> int:
    return number * number


def fibonacci() -> Generator[int, str | None, str]:
    a, b = 0, 1
    while True:
        sent = yield a
        if sent:
            return sent
        a, b = b, a + b


async def count() -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0)
        yield number


async def gather() -> list[int]:
    async def one(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(3)]
    return [task.result() for task in tasks] + [number async for number in count()]


@functools.singledispatch
def kind(_value: object) -> str:
    return "object"


@kind.register
def _of_int(_value: int) -> str:
    return "int"


@situation
def signatures() -> object:
    return [
        *(str(inspect.signature(it)) for it in (add, Point, Point.norm, Row)),
        *({name: str(hint) for name, hint in typing.get_type_hints(it).items()}
          for it in (add, Point, Row)),
        *(add.__doc__, add.__name__, add.__qualname__, add.__module__, add.__defaults__),
        add.__code__.co_argcount,
        add.__code__.co_varnames[:4],
        inspect.getfullargspec(square).args,
        inspect.unwrap(kind).__name__,
    ]  # fmt: skip


@situation
def kinds_of_functions() -> object:
    return [
        inspect.isfunction(add),
        inspect.ismethod(Point(1).norm),
        isinstance(add, types.FunctionType),
        isinstance(Point(1).norm, types.MethodType),
        isinstance(fibonacci(), types.GeneratorType),
        inspect.isgeneratorfunction(fibonacci),
        inspect.iscoroutinefunction(gather),
        inspect.isasyncgenfunction(count),
        kind(1),
        kind(""),
    ]


@situation
def pickled() -> object:
    values = [Point(1, 2, ["a"]), Color.RED, Row(1), square, decimal.Decimal("1.5"), zone]
    return [pickle.loads(pickle.dumps(value)) == value for value in values]


@situation
def classes() -> object:
    return [
        repr(Point(1)),
        Point(1) < Point(2),
        dataclasses.asdict(Point(1)),
        dataclasses.replace(Point(3), y=4).norm(),
        [Slotted(2).doubled(), hasattr(Slotted(2), "__dict__")],
        error_of(lambda: setattr(Point(1), "x", 2)),
        [repr(color) for color in Color],
        [Child().name(), Base.names],
        error_of(typing.cast("Situation", Base)).partition(":")[0],
    ]


@situation
def process_pools() -> object:
    fork = multiprocessing.get_context("fork")
    with fork.Pool(2) as pool:
        first = pool.map(square, range(5))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as processes:
        return [first, list(processes.map(square, range(5)))]


@situation
def coroutines() -> object:
    return [asyncio.run(gather()), asyncio.run(gather())]


@situation
def generators() -> object:
    generator = fibonacci()
    seen: list[object] = [next(generator) for _number in range(5)]
    try:
        generator.send("done")
    except StopIteration as stop:
        seen.append(stop.value)
    return [*seen, inspect.getgeneratorstate(generator)]


@situation
def code_made_on_the_way() -> object:
    scope: dict[str, object] = {}
    exec("def f(n):\n    return n + 1\ny = f(4)", scope)
    five = 5
    return [scope["y"], eval("five + 1"), sorted(locals()), f"{five=}"]


@situation
def messages_of_errors() -> object:
    return [
        error_of(lambda: square()),  # type: ignore[call-arg]
        error_of(lambda: square(1, 2)),  # type: ignore[call-arg]
        error_of(lambda: add(1, b=3)),  # type: ignore[arg-type]
        error_of(lambda: undefined),  # type: ignore[name-defined]  # noqa: F821
        error_of(lambda: [].x),  # type: ignore[attr-defined]
        error_of(lambda: None + 1),  # type: ignore[operator]
        error_of(lambda: EMPTY["a"]),
        error_of(lambda: Color(9)),
        error_of(lambda: next(iter([]))),
        error_of(failing_assert),
    ]


def failing_assert() -> None:
    assert sys.flags.optimize, "not optimized"


@situation
def finalizers() -> object:
    seen: list[str] = []

    class It:
        def __del__(self) -> None:
            seen.append("deleted")

    it = It()
    weakref.finalize(it, seen.append, "finalized")
    del it
    cycle = [Child()]
    cycle[0].__dict__["cycle"] = cycle
    found = weakref.ref(cycle[0])
    del cycle
    gc.collect()
    return [*seen, found()]


@situation
def builtins_replaced_at_run_time() -> object:
    kept: Any = builtins.print
    lines: list[object] = []
    builtins.print = lambda *words, **_options: lines.append(words)
    try:
        print("caught")  # noqa: T201
    finally:
        builtins.print = kept
    return lines


# --- who called, and from where ---

logger = logging.getLogger("situations")
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("%(levelname)s %(module)s %(funcName)s %(lineno)d"))
logger.addHandler(handler)
logger.propagate = False


@situation
def callers() -> object:
    logger.warning("here")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("careful", DeprecationWarning, stacklevel=1)
    caller = inspect.stack()[1]
    place = [(Path(it.filename).name, it.lineno) for it in seen]
    return [place, caller.function, Path(caller.filename).name]


@situation
def tracebacks() -> object:
    try:
        fail()
    except ValueError as error:
        trace, lines = error.__traceback__, []
        while trace is not None:
            lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
            trace = trace.tb_next
        return [lines, type(error.__cause__).__name__]
    return []


def fail() -> None:
    try:
        EMPTY["x"]
    except KeyError as error:
        raise ValueError("bad") from error


# --- modules ---


@situation
def modules_of_a_package() -> object:
    found = {module.name: module.ispkg for module in pkgutil.walk_packages(email.__path__)}
    return [(name, found.get(name)) for name in ("message", "policy", "utils")]


@situation
def versions_of_packages() -> object:
    missing = error_of(lambda: importlib.metadata.version("no-such-package"))
    return [importlib.metadata.version("msgspec"), missing]


@situation
def modules_reloaded() -> object:
    return [importlib.reload(json) is json, importlib.import_module("json") is json]


@situation
def names_of_the_program() -> object:
    return [__name__, __spec__, Path(__file__).name, (__doc__ or "").splitlines()[0]]


# --- recursion ---


@situation
def endless_recursion() -> object:
    def down(number: int) -> int:
        return down(number + 1)

    class Attributes:
        def __getattr__(self, name: str) -> object:
            return getattr(self, name + "_")

    class Shown:
        def __repr__(self) -> str:
            return repr([self])

    def each() -> Iterator[int]:
        for number in each():  # noqa: UP028
            yield number

    def least(numbers: list[int]) -> int:
        return min(numbers, key=lambda _number: least(numbers))

    tried = (
        lambda: down(0),
        lambda: Attributes().x,
        lambda: repr(Shown()),
        lambda: list(each()),
        lambda: least([1]),
    )
    return [error_of(it).partition(":")[0] for it in tried]


@situation
def endless_delegation() -> object:
    def each() -> Iterator[int]:
        yield from each()

    async def wait() -> None:
        await wait()

    return [error_of(it).partition(":")[0] for it in (lambda: list(each()), lambda: run_(wait))]


def run_(coroutine: Callable[[], typing.Coroutine[object, None, None]]) -> None:
    coroutine().send(None)


@situation
def recursion_limit() -> object:
    depth = 0

    def down() -> None:
        nonlocal depth
        depth += 1
        down()

    found = []
    for limit in (300, 5000):
        depth, before = 0, sys.getrecursionlimit()
        sys.setrecursionlimit(limit)
        error_of(down)
        sys.setrecursionlimit(before)
        found.append(limit - 100 < depth < limit)
    return found


# --- crashes: these have answers of their own ---


def read_null() -> None:
    ctypes.string_at(0)


def overflow_stack() -> None:
    def down() -> None:
        down()

    sys.setrecursionlimit(10**6)
    down()


def copy_function() -> None:
    code = square.__code__
    types.FunctionType(code, globals())(3)


crashes: dict[str, Callable[[], None]] = {
    "abort": os.abort,
    "read_null": read_null,
    "overflow_stack": overflow_stack,
    "copy_function": copy_function,
}


# --- the program ---


def error_of(function: Situation) -> str:
    try:
        return repr(function())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def handle(request: Request) -> Response:
    match request.parts:
        case [name] if name in situations:
            return text(json.dumps(situations[name](), default=str))
        case ["crash", name]:
            crashes[name]()
            return text("survived")
        case ["started"]:
            return text(f"{time.monotonic()}")
        case _:
            return not_found()


if __name__ == "__main__":
    run(handle)
