"""Each function is one way to use packaged data, and returns what it has seen.

`HERE` is this package's folder. Tests put files there: page.html, empty, sub/one.txt, sub/two.txt,
words.db (SQLite), words.zip, ca.pem. A result is the same wherever the folder is.
"""

import ctypes
import glob
import importlib.resources
import io
import linecache
import mmap
import os
import pkgutil
import shutil
import sqlite3
import ssl
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

from nativecgi import HTTPError, Request, Response, file, from_wsgi

HERE = Path(__file__).parent
PAGE = HERE / "page.html"
ONE = HERE / "sub" / "one.txt"
PACKAGE = __package__ or ""

Operation = Callable[[], Any]
READING: dict[str, Operation] = {}
WRITING: dict[str, Operation] = {}
KEEPING: dict[str, Operation] = {}


def reading(function: Operation) -> Operation:
    """Register what must work as in plain Python."""
    READING[function.__name__] = function
    return function


def writing(function: Operation) -> Operation:
    """Register what must fail in a built program."""
    WRITING[function.__name__] = function
    return function


def keeping(function: Operation) -> Operation:
    """Register what works on files beside the data, which are no part of a program."""
    KEEPING[function.__name__] = function
    return function


def relative(path: object) -> str:
    """A path without what is above this package."""
    return os.path.relpath(os.fsdecode(path), HERE)  # type: ignore[arg-type]


def body(response: Response) -> object:
    """The status and the whole body."""
    content = response.body
    if isinstance(content, bytes | str):
        return response.status, content
    data = content.read() if hasattr(content, "read") else b"".join(content)  # type: ignore[arg-type]
    if hasattr(content, "close"):
        content.close()
    return response.status, data


# --- open ---


@reading
def open_in_each_mode_for_reading() -> object:
    results: list[object] = []
    for mode in ("r", "rb", "rt"):
        with open(PAGE, mode, encoding=None if "b" in mode else "utf-8") as opened:
            results.append((opened.read(), opened.mode, opened.readable(), opened.writable()))
    with open(PAGE, "rb", buffering=0) as raw:
        results.append((type(raw).__name__, raw.read(3), raw.seek(1), raw.read(2)))
    with open(PAGE, encoding="ascii", errors="replace", newline="") as opened:
        results.append(opened.read())
    with open(os.fsencode(PAGE), "rb") as opened:
        results.append(opened.read())
    return results


@reading
def open_with_an_opener() -> object:
    with open(PAGE, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as it:
        return it.read()


@reading
def open_a_path_with_dots() -> object:
    with open(HERE / "sub" / ".." / "." / "page.html", "rb") as opened:
        return opened.read()


@reading
def io_open_and_fileio() -> object:
    with (
        io.open(PAGE, "rb") as one,  # noqa: UP020
        io.FileIO(PAGE) as two,
        io.open_code(str(PAGE)) as three,
    ):
        return one.read(), two.read(), three.read()


@reading
def os_open_and_read() -> object:
    descriptor = os.open(PAGE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        return (
            os.read(descriptor, 99),
            found.st_size,
            os.pread(descriptor, 2, 1),
            os.lseek(descriptor, 0, os.SEEK_END),
            os.get_inheritable(descriptor),
            stat.S_ISREG(found.st_mode),
        )
    finally:
        os.close(descriptor)


@reading
def an_empty_file() -> object:
    return (HERE / "empty").read_bytes(), (HERE / "empty").stat().st_size


@reading
def two_open_files_have_places_of_their_own() -> object:
    with open(PAGE, "rb") as one, open(PAGE, "rb") as two:
        return one.read(3), two.read(3), one.read()


# --- what there is ---


@reading
def stat_and_lstat() -> object:
    results = []
    for path in (PAGE, str(PAGE), os.fsencode(PAGE)):
        for found in (os.stat(path), os.lstat(path), os.stat(path, follow_symlinks=False)):
            results.append((found.st_size, found.st_mtime_ns, stat.S_ISREG(found.st_mode)))
    return results, stat.S_ISDIR(os.stat(HERE).st_mode), stat.filemode(PAGE.stat().st_mode)


@reading
def os_path_and_access() -> object:
    paths = [PAGE, HERE, HERE / "sub", HERE / "none", HERE / "page.html" / "x"]
    asked = (os.path.exists, os.path.isfile, os.path.isdir, os.path.islink, os.path.lexists)
    found = [[ask(path) for ask in asked] for path in paths]
    rights = [os.access(PAGE, right) for right in (os.F_OK, os.R_OK)]
    effective = os.access(PAGE, os.R_OK, effective_ids=True)
    return found, rights, effective, os.access(HERE, os.X_OK), os.path.getsize(PAGE)


@reading
def realpath_and_samefile() -> object:
    return (
        relative(os.path.realpath(HERE / "sub" / ".." / "page.html")),
        relative(PAGE.resolve(strict=True)),
        os.path.samefile(PAGE, HERE / "sub" / ".." / "page.html"),
        os.path.samefile(PAGE, ONE),
    )


@reading
def listdir_scandir_walk_and_glob() -> object:
    with os.scandir(HERE) as entries:
        scanned = sorted(
            (it.name, it.is_file(), it.is_dir(), it.is_symlink(), it.stat().st_size * it.is_file())
            for it in entries
            if it.name not in ("__pycache__",) and not it.name.endswith(".py")
        )
    walked = sorted(
        relative(os.path.join(parent, name))
        for parent, _folders, files in os.walk(HERE / "sub")
        for name in files
    )
    globbed = sorted(map(relative, glob.glob(f"{HERE}/**/*.txt", recursive=True)))
    return (
        scanned,
        walked,
        globbed,
        sorted(os.listdir(HERE / "sub")),
        sorted(os.listdir(os.fsencode(HERE / "sub"))),
    )


@reading
def what_is_no_folder_is_not_listed() -> object:
    results = []
    for path in (PAGE, HERE / "none"):
        for look in (os.listdir, os.scandir):
            try:
                look(path)
            except OSError as error:
                results.append(type(error).__name__)
    return results


@reading
def what_is_not_there() -> object:
    results = []
    tries: list[Callable[[Path], object]] = [open, os.stat, os.lstat, Path.read_bytes]
    for path in (HERE / "none", HERE / "sub" / "none", HERE / "page.html" / "x"):
        for look in tries:
            try:
                look(path)
            except (FileNotFoundError, NotADirectoryError):
                results.append("missing")
    return results


# --- pathlib, importlib, and what rests on them ---


@reading
def pathlib_reads() -> object:
    with PAGE.open("rb") as opened:
        first = opened.read(3)
    return (
        *(first, PAGE.read_text("utf-8"), PAGE.read_bytes(), PAGE.exists(), PAGE.is_file()),
        *(HERE.is_dir(), sorted(map(relative, (HERE / "sub").iterdir()))),
        sorted(map(relative, HERE.glob("*/*.txt"))),
        sorted(map(relative, HERE.rglob("one.*"))),
    )


@reading
def importlib_resources() -> object:
    top = importlib.resources.files(PACKAGE)
    with importlib.resources.as_file(top / "page.html") as path:
        kept = path.read_bytes(), path.is_file(), path.name.endswith("page.html")
    with top.joinpath("sub", "one.txt").open("rb") as opened:
        read = opened.read()
    names = sorted(it.name for it in (top / "sub").iterdir())
    return kept, read, names, (top / "page.html").read_text("utf-8"), (top / "none").is_file()


@reading
def pkgutil_and_linecache() -> object:
    return pkgutil.get_data(PACKAGE, "sub/one.txt"), linecache.getline(str(ONE), 1)


@reading
def zip_files() -> object:
    with zipfile.ZipFile(HERE / "words.zip") as archive:
        return archive.namelist(), archive.read("word.txt"), zipfile.is_zipfile(PAGE)


@reading
def shutil_copies() -> object:
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(shutil.copy(PAGE, folder))
        shutil.copytree(HERE / "sub", Path(folder, "tree"))
        shutil.copyfile(ONE, Path(folder, "tree", "three.txt"))
        copied.write_bytes(copied.read_bytes() + b"!")  # what was copied is one's own
        return copied.read_bytes(), copied.stat().st_size, sorted(os.listdir(Path(folder, "tree")))


@reading
def sendfile_and_mmap() -> object:
    reader, writer = os.pipe()
    with open(PAGE, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as it:
        os.sendfile(writer, opened.fileno(), 0, 5)
        sent = os.read(reader, 99)
        os.close(reader)
        os.close(writer)
        return sent, it[:], it.find(b"<")


# --- code in C that opens a path ---


@reading
def sqlite_reads() -> object:
    results = []
    for uri in ("mode=ro", "immutable=1", ""):
        connection = sqlite3.connect(f"file:{HERE / 'words.db'}?{uri}", uri=True)
        results.append(connection.execute("select word from words order by word").fetchall())
        connection.close()
    connection = sqlite3.connect(":memory:")
    connection.execute("attach ? as kept", (str(HERE / "words.db"),))
    results.append(connection.execute("select count(*) from kept.words").fetchall())
    connection.close()
    return results


@reading
def openssl_reads() -> object:
    context = ssl.create_default_context(cafile=str(HERE / "ca.pem"))
    another = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    another.load_verify_locations(HERE / "ca.pem")
    try:
        another.load_verify_locations(PAGE)
    except ssl.SSLError as error:
        reason = error.reason
    return context.cert_store_stats(), another.cert_store_stats(), reason


@reading
def the_c_library_reads() -> object:
    c = ctypes.CDLL(None)
    c.fopen.restype, c.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
    c.fread.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
    c.fclose.argtypes = [ctypes.c_void_p]
    stream, content = c.fopen(os.fsencode(PAGE), b"rb"), ctypes.create_string_buffer(99)
    if not stream:
        raise FileNotFoundError(PAGE)
    count = c.fread(content, 1, 99, stream)
    c.fclose(stream)
    missing = c.fopen(os.fsencode(HERE / "none"), b"r")
    return content.raw[:count], missing, c.access(os.fsencode(PAGE), os.R_OK)


@reading
def another_program_reads_what_as_file_gives() -> object:
    with importlib.resources.as_file(importlib.resources.files(PACKAGE) / "page.html") as path:
        return subprocess.run(["/bin/cat", path], capture_output=True, check=True).stdout


# --- answers ---


@reading
def file_answers() -> object:
    env = {"REQUEST_METHOD": "GET"}
    answers = [body(file(PAGE)), body(file(str(ONE))), body(file("sub/two.txt", root=HERE))]
    for path in ("none", "../operations.nothing", "sub", "page.html/"):
        try:
            file(path, root=HERE)
        except HTTPError as error:
            answers.append(error.status)
    answer = file(PAGE)
    body(answer)
    names = [pair[0] for pair in answer.headers]
    return answers, names, Request(env, io.BytesIO()).method


@reading
def a_wsgi_application_answers_with_a_file() -> object:
    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Any:
        start_response("200 OK", [("Content-Type", "text/html")])
        wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
        return wrapper(open(PAGE, "rb"))

    env = {"REQUEST_METHOD": "GET", "SERVER_NAME": "x", "SERVER_PORT": "80"}
    return body(from_wsgi(application)(Request(env, io.BytesIO())))


# --- what must fail: the folder is read-only ---


@writing
def open_for_writing() -> object:
    return [failure(partial(open, PAGE, mode)) for mode in ("w", "a", "r+", "x", "wb")]


@writing
def create_a_file() -> object:
    return [failure(lambda: open(HERE / "new", "w")), failure(lambda: (HERE / "new").touch())]


@writing
def os_open_for_writing() -> object:
    flags = (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT, os.O_RDONLY | os.O_TRUNC)
    return [failure(partial(os.open, PAGE, flag)) for flag in flags]


@writing
def change_the_folder() -> object:
    return [
        failure(lambda: os.unlink(PAGE)),
        failure(lambda: os.rename(PAGE, HERE / "other")),
        failure(lambda: os.mkdir(HERE / "new")),
        failure(lambda: os.chmod(PAGE, 0o600)),
        failure(lambda: os.symlink("x", HERE / "link")),
    ]


@writing
def may_not_be_written_to() -> object:
    return [os.access(path, os.W_OK) or "refused" for path in (PAGE, HERE)]


@writing
def write_to_what_was_opened_for_reading() -> object:
    with open(PAGE, "rb") as opened:
        return [
            failure(lambda: os.write(opened.fileno(), b"x")),
            failure(lambda: os.ftruncate(opened.fileno(), 0)),
            failure(lambda: mmap.mmap(opened.fileno(), 0)),
        ]


@writing
def write_to_sqlite() -> object:
    connection = sqlite3.connect(HERE / "words.db")
    try:
        return [failure(lambda: connection.execute("insert into words values ('new')"))]
    finally:
        connection.close()


@keeping
def keep_a_database() -> object:
    for _time in range(2):
        with sqlite3.connect(HERE / "made.db") as connection:
            connection.execute("create table if not exists guests (name)")
            connection.execute("insert into guests values ('Ann')")
        connection.close()
    with sqlite3.connect(f"file:{HERE / 'made.db'}?mode=ro", uri=True) as connection:
        guests = connection.execute("select name from guests").fetchall()
    connection.close()
    return [guests, (HERE / "made.db").is_file(), (HERE / "made.db-journal").exists()]


@keeping
def keep_files() -> object:
    folder = HERE / "made"
    folder.mkdir()
    (folder / "a.txt").write_text("Ann")
    (folder / "a.txt").rename(folder / "b.txt")
    os.replace(folder / "b.txt", folder / "c.txt")
    file = folder / "c.txt"
    file.chmod(0o600)
    os.utime(file, (1, 2))
    os.truncate(file, 2)
    seen = [stat.filemode(file.stat().st_mode), file.stat().st_mtime_ns > 0, file.read_text()]
    seen += [os.listdir(folder), os.access(file, os.W_OK), relative(os.path.realpath(file))]
    with suppress(OSError):
        folder.rmdir()
    file.unlink()
    folder.rmdir()
    return [*seen, folder.exists()]


@keeping
def find_what_is_not_there() -> object:
    return [failure(lambda: os.listdir(HERE / "none")), (HERE / "none").exists()]


def failure(attempt: Callable[[], object]) -> str:
    """What an attempt is refused with; its result if it is not."""
    try:
        return repr(attempt())
    except (OSError, sqlite3.OperationalError):
        return "refused"


def all_results() -> dict[str, str]:
    """What all of them see, by name; a failure as its type and text."""
    results = {}
    for name, operation in {**READING, **WRITING, **KEEPING}.items():
        with suppress(KeyError):
            linecache.clearcache()
        try:
            results[name] = repr(operation())
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    return results
