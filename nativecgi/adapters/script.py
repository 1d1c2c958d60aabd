"""An old CGI script as a program: it reads standard input and prints its answer.

The build puts all that follows the script's imports and definitions under
`with nativecgi.adapters.script.process(globals()):`. There the program is frozen; each process
goes on from there, with the standard streams as Python has them, and ends there.

A script that runs a WSGI application calls `answer(app, globals())` of this module instead.
"""

import _io
import gc
import io
import linecache
import locale
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from nativecgi.adapters.wsgi import from_wsgi
from nativecgi.frozen.freezepoint import reach
from nativecgi.frozen.rehearsal import WarmUp, prepare
from nativecgi.gateways.cgi import forget_proxy, serve
from nativecgi.gateways.exchange import failed
from nativecgi.message.errors import HTTPError, IncompleteBodyError
from nativecgi.message.request import Request, content_length
from nativecgi.message.response import Response, text
from nativecgi.process.failures import related
from nativecgi.process.hooks import run_after_thaw
from nativecgi.process.leaving import finish
from nativecgi.process.letterbox import ANSWER, BEGUN
from nativecgi.process.letterbox import memory as letterbox
from nativecgi.process.report import log, report
from nativecgi.process.streams import call_it, flush_streams
from nativecgi.transfer.body import BodyReader, drain
from nativecgi.transfer.send import DisconnectedError, write

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Where it is set a process runs no script, but what most scripts do: a build must not have effects.
_TRIAL = "NATIVECGI_TRIAL"
_STDIN, _STDOUT = 0, 1
_PIECE = 64 * 1024  # bytes that are read and forgotten at a time
# What a module imports when it is used; not every Python has all of them.
_DATABASES = ("dbm.sqlite3", "dbm.gnu", "dbm.ndbm", "dbm.dumb")
_IMPORTED_LATER = {"dbm": _DATABASES, "shelve": _DATABASES}

# What most scripts read. An upload would have tempfile look for a folder, which is a process's own.
_FORM = b"name=Ann&note=a+b%21"
_PARTS = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nAnn\r\n--x--\r\n'
_GET = {"REQUEST_METHOD": "GET", "QUERY_STRING": _FORM.decode()}
_POST = {
    "REQUEST_METHOD": "POST",
    "CONTENT_TYPE": "application/x-www-form-urlencoded",
    "CONTENT_LENGTH": str(len(_FORM)),
}
_POST_PARTS = {
    "REQUEST_METHOD": "POST",
    "CONTENT_TYPE": "multipart/form-data; boundary=x",
    "CONTENT_LENGTH": str(len(_PARTS)),
}


class process:  # noqa: N801  # written like a function
    """The process of a script, whose `namespace` is its module's: a context manager.

    The freeze point is where the context is entered. `modules` are imported before it: modules
    that the script imports later. `settings` is Python source that each process runs first, in
    `namespace`. With `unbuffered` standard output is as by `python -u`. `source` is the script, to
    be shown in tracebacks and by `inspect`.

    The context is not left: the process ends with it, as the interpreter would end it. Where
    the script has raised something before any output, the answer is a page of status 500.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        *modules: str,
        settings: str = "",
        unbuffered: bool = False,
        source: str = "",
    ) -> None:
        self._namespace = namespace
        self._modules = modules
        self._place = _Place(namespace, settings, source)
        self._before = dict(namespace)
        self._env: MutableMapping[str, str] = {}
        self._output = _output()
        self._stdout = _text(self._output, unbuffered)
        self._body: _Body | None = None
        if getattr(sys.excepthook, "file", ...) is sys.stdout:  # cgitb's
            sys.excepthook.file = self._stdout  # type: ignore[attr-defined]

    def __enter__(self) -> None:
        """Be frozen, and begin a process."""
        self._env = reach(self._prepare)
        self._begin()
        try:
            run_after_thaw()
        except BaseException as failure:
            self.__exit__(type(failure), failure, failure.__traceback__)
        if _TRIAL in self._env:
            _imitate_script()
            self.__exit__(None, None, None)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        failure: BaseException | None,
        _trace: TracebackType | None,
    ) -> NoReturn:
        """End the process."""
        status = self._judge(failure)
        _forget_frames(failure)
        finish()
        os._exit(self._end() or status)

    def _prepare(self) -> Callable[[], None]:
        _import(self._modules)
        # All text is in UTF-8, whatever the process's locale: as in UTF-8 mode (PEP 540).
        locale.getpreferredencoding = lambda do_setlocale=True: "utf-8"  # noqa: ARG005
        return self._rehearse

    def _rehearse(self) -> None:
        """Do what most scripts do, from nobody and to nobody."""
        with _no_client(_FORM):
            self._env = {**_POST, "SCRIPT_NAME": "/rehearsal"}
            self._begin()
            _imitate_script()
            self._judge(None)
            self._end()

    def _begin(self) -> None:
        """Have the streams, and what else a script expects, belong to this process."""
        forget_proxy(self._env)
        self._output.has_begun = False
        self._place.renew()
        if sys.stdout is not None:
            if os.isatty(_STDOUT):
                self._stdout.reconfigure(line_buffering=True)
            letterbox[ANSWER] = _STDOUT
            sys.stdout = sys.__stdout__ = self._stdout  # type: ignore[misc]
        self._body = None
        length = _length(self._env)
        if length != 0 and sys.stdin is not None:
            self._body = _Body(length)
            sys.stdin = sys.__stdin__ = io.TextIOWrapper(  # type: ignore[misc]
                io.BufferedReader(self._body), "utf-8", "surrogateescape", "\n"
            )
            call_it(sys.stdin, "stdin", "r")

    def _judge(self, failure: BaseException | None) -> int:
        """Report what a script has raised; returns the exit status."""
        if failure is None:
            return 0
        if isinstance(failure, SystemExit):
            return _exit_status(failure.code)
        if sys.excepthook is not sys.__excepthook__:  # the script's, such as cgitb's
            try:
                sys.excepthook(type(failure), failure, failure.__traceback__)
            except BaseException as another:
                failure = another
            else:
                return 1
        flush_streams()
        if self._flush() and not self._output.has_begun:
            self._answer(failure)
        else:
            log(report(failure, self._env, note=" (the answer is incomplete)"))
        return 1

    def _answer(self, failure: BaseException) -> None:
        output = failed(failure, self._env)
        letterbox[ANSWER] = BEGUN
        if self._body:
            self._body.drain()
        if isinstance(output, bytes):
            with suppress(DisconnectedError):
                write(output, _STDOUT)

    def _end(self) -> int:
        """Close what the script has left open; returns 1 where its output could not be written."""
        for name, value in list(self._namespace.items()):
            if not name.startswith("__") and self._before.get(name) is not value:
                self._namespace[name] = None  # as the interpreter does: what it held is finalized
        gc.collect()
        _flush_files()
        if self._body:
            self._body.drain()
        flush_streams()
        return 0 if self._flush() else 1

    def _flush(self) -> bool:
        """Whether all of the output has been written."""
        try:
            self._stdout.flush()
        except OSError as error:
            log(f"nativecgi: the answer could not be written: {error}\n")
            return False
        except ValueError:  # the script has closed or detached it
            return True
        return True


def answer(
    app: "WSGIApplication",
    namespace: dict[str, Any],
    *modules: str,
    settings: str = "",
    warmup: Iterable[WarmUp] = (),
    source: str = "",
) -> NoReturn:
    """Answer the one request of this process with a WSGI application, and end the process.

    The freeze point is here. `modules`, `settings` and `source` are as for `process`, and `warmup`
    is as for `nativecgi.run`.
    """
    place = _Place(namespace, settings, source)
    handler = from_wsgi(app)

    def prepared() -> Callable[[], None]:
        _import(modules)
        return prepare(handler, warmup)

    env = reach(prepared)
    place.renew()
    if settings:  # they may set what the application looks for
        env = dict(os.environ)
    serve(_imitate_application if _TRIAL in env else handler, env)


class _Source:
    """The loader of a script's module (PEP 302), with its source for tracebacks and inspect."""

    def __init__(self, loader: object, source: str) -> None:
        self._loader = loader
        self._source = source

    def get_source(self, _name: str) -> str:
        return self._source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Place:
    """Where a script is, and what it derives from that: each process is in another place."""

    def __init__(self, namespace: dict[str, Any], settings: str, source: str) -> None:
        self._namespace = namespace
        if source:
            namespace["__loader__"] = _Source(namespace.get("__loader__"), source)
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._settings: CodeType | None = None
        if settings:
            self._settings = compile(settings, namespace.get("__file__", "settings"), "exec")
        self._path = list(sys.path)

    def renew(self) -> None:
        """Set __file__ and sys.path as Python does, and run the settings."""
        program = os.path.abspath(sys.argv[0]) if sys.argv else ""
        if program:
            self._namespace["__file__"] = program
            sys.path[:] = [os.path.dirname(program), *self._path]
            if self._source:  # the file of that name has none
                linecache.cache[program] = (len(self._source), None, self._lines, program)
        if self._settings:
            exec(self._settings, self._namespace)


def _import(modules: Iterable[str]) -> None:
    modules = tuple(modules)
    later = (name for module in modules for name in _IMPORTED_LATER.get(module, ()))
    for name in (*modules, *later):
        # The script will see by itself that a module is not there, or fails.
        with suppress(Exception):
            import_module(name)


class _Output(io.FileIO):
    """Standard output, which knows whether there has been any."""

    has_begun = False

    def write(self, data: Any) -> int:
        self.has_begun = True
        letterbox[ANSWER] = BEGUN
        return super().write(data)


class _Body(io.FileIO):
    """A request's body as standard input: it ends where CONTENT_LENGTH says, or earlier.

    Without a `length` it ends where the input does.
    """

    def __init__(self, length: int | None) -> None:
        super().__init__(_STDIN, closefd=False)
        self._length = length
        # Bytes, and none of them the body's: an interpreter's modules, or the time zone.
        self._read_before, itself = _bytes_read()
        self._read_before += itself
        self._rest = BodyReader(_STDIN, length)

    # A file would read on behind the body; what rests on `readinto` does not.
    read = io.RawIOBase.read  # type: ignore[assignment]
    readall = io.RawIOBase.readall

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return self._rest.readinto(buffer)
        except IncompleteBodyError:
            return 0

    def seekable(self) -> bool:
        return False

    def drain(self) -> None:
        """Read and forget what has not been read.

        The script may have read the descriptor itself, or had a child process do so. Then there is
        nothing more to come, and a server may keep the input open. So this waits only for what
        cannot have been read by anybody.
        """
        if self._length is None:
            drain(self._rest)
        elif self._rest.left:
            drain(self._rest, max(0, self._length - _bytes_read()[0] + self._read_before))
            while self._rest.left and _has_input():
                before = self._rest.left
                drain(self._rest, _PIECE)
                if self._rest.left == before:
                    break


def _bytes_read() -> tuple[int, int]:
    """How many bytes this process and its finished children have read, from anywhere.

    And how many more to find that out. 0 where the kernel does not tell (proc(5), /proc/pid/io).
    """
    try:
        with open("/proc/self/io", "rb", buffering=0) as file:
            content = file.read()
            return int(content.split()[1]), len(content)
    except (OSError, IndexError):
        return 0, 0


def _has_input() -> bool:
    import select  # in some Pythons it is a file of its own, which few scripts need

    try:
        return bool(select.select([_STDIN], [], [], 0)[0])
    except OSError:  # it is closed
        return False


def _output() -> _Output:
    if sys.stdout is None:  # it is closed, and what is printed goes nowhere
        return _Output(os.devnull, "w")
    return _Output(_STDOUT, "w", closefd=False)


def _text(output: io.FileIO, unbuffered: bool) -> io.TextIOWrapper:
    """As create_stdio in CPython's Python/pylifecycle.c makes standard output."""
    stream = io.TextIOWrapper(
        output if unbuffered else io.BufferedWriter(output),
        encoding="utf-8",
        errors="surrogateescape",
        newline="\n",
        write_through=unbuffered,
    )
    call_it(stream, "stdout", "w")
    return stream


def _length(env: Mapping[str, str]) -> int | None:
    """How long the body is: None to the end of the input, 0 if standard input may stay as it is."""
    try:
        return content_length(env)
    except HTTPError:
        # Apache ends the input with the body in any transfer coding.
        return 0 if env.get("CONTENT_LENGTH") else None


def _exit_status(code: object) -> int:
    """As in Py_Main: a value that is not a number is printed to standard error."""
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    log(f"{code}\n")
    return 1


def _forget_frames(failure: BaseException | None) -> None:
    """Release what functions that have failed still hold, such as open files."""
    for it in related(failure):
        traceback.clear_frames(it.__traceback__)


def _flush_files() -> None:
    """Write what is still in the buffers of files that were not closed.

    What the garbage collector lists is of this process alone: all else has been frozen.
    """
    for it in gc.get_objects():
        if issubclass(type(it), _io._IOBase):
            with suppress(Exception):
                it.flush()


def _imitate_script() -> None:
    """Read forms and print a page, as most scripts do.

    In a trial, by which a process's memory is laid out, only the form that is read most often.
    """
    os.environ.get("QUERY_STRING")
    if cgi := sys.modules.get("cgi"):
        cgi.FieldStorage(environ=_GET).getvalue("name", "")
        if _TRIAL not in os.environ:
            cgi.FieldStorage(environ=_POST)
            cgi.FieldStorage(io.BytesIO(_PARTS), environ=_POST_PARTS).getvalue("name", "")
    sys.stdout.write("Status: 200 OK\nContent-Type: text/plain; charset=utf-8\n\n")
    sys.stdout.write("Hello\n")


def _imitate_application(_request: Request) -> Response:
    """In a trial, what most applications answer."""
    return text("Hello\n")


@contextmanager
def _no_client(body: bytes) -> Iterator[None]:
    """Have `body` be standard input, and nobody read standard output."""
    kept = os.dup(_STDIN), os.dup(_STDOUT)
    streams = sys.stdin, sys.stdout, sys.__stdin__, sys.__stdout__
    memory, nowhere = os.memfd_create("body"), os.open(os.devnull, os.O_WRONLY)
    os.write(memory, body)
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, _STDIN)
    os.dup2(nowhere, _STDOUT)
    os.close(memory)
    os.close(nowhere)
    yield
    os.dup2(kept[0], _STDIN)
    os.dup2(kept[1], _STDOUT)
    os.close(kept[0])
    os.close(kept[1])
    sys.stdin, sys.stdout, sys.__stdin__, sys.__stdout__ = streams  # type: ignore[misc]
