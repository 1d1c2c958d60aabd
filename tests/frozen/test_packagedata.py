"""Packaged data: files beside a program, which it keeps in memory when their folder is gone.

tests/apps/datafiles/operations.py has each use of them as a function. These run three times here:
in plain Python, which the others must agree with; in plain Python with the folder removed and the
files in memory, by the C that a built program has; and in a built program.
"""

import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nativecgi.frozen.packagedata import Kept
from tests.apps.datafiles.operations import KEEPING, READING, WRITING
from tests.environments.test_environment import make_wheel

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests" / "apps" / "datafiles"
SECONDS = 60

PLAIN = """
import json, sys
from datafiles import operations
results = {name: repr(operation()) for name, operation in operations.READING.items()}
results |= {name: repr(operation()) for name, operation in operations.KEEPING.items()}
print(json.dumps(results))
"""
KEPT = """
import json, os, shutil, sys
from datafiles import operations
from nativecgi.frozen import packagedata
del os.environ["LD_PRELOAD"]  # it is for this program alone
kept = packagedata.Kept(sys.argv[1])
shutil.rmtree(sys.argv[1])
packagedata.install(kept)
print(json.dumps(operations.all_results()))
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Path:
    """The app's folder, with its data; it requires a distribution that nobody imports."""
    folder = shutil.copytree(APP, tmp_path_factory.mktemp("apps") / "datafiles")
    (folder / "page.html").write_text("<p>\N{SNOWMAN}\n", encoding="utf-8")
    (folder / "empty").touch()
    (folder / "sub").mkdir()
    (folder / "sub" / "one.txt").write_text("one\n")
    (folder / "sub" / "two.txt").write_text("two\n")
    shutil.copy(authority, folder / "ca.pem")
    with sqlite3.connect(folder / "words.db") as database:
        database.execute("create table words (word text)")
        database.executemany("insert into words values (?)", [("b",), ("a",)])
    database.close()
    with zipfile.ZipFile(folder / "words.zip", "w") as archive:
        archive.writestr("word.txt", "zipped")
    os.utime(folder / "page.html", (7.25, 7.25))
    unused = make_wheel(folder.parent, "unused", entry_points="[shop]\ncart = unused:WORDS\n")
    (folder / "requirements.txt").write_text(f"httpx==0.28.1\nunused @ {unused.as_uri()}\n")
    return folder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, which is its own authority; its key is beside it."""
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key.pem", "-out", "ca.pem", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C of a built program, as a library to be loaded before Python's own."""
    library = tmp_path_factory.mktemp("preloaded") / "datafiles.so"
    sources = [
        ROOT / "nativecgi_build" / "nuitka_plugins" / name
        for name in ("datafiles.c", "datafiles_module.c")
    ]
    include = f"-I{sysconfig.get_path('include')}"
    flags = ("-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", include)
    subprocess.run(["cc", *flags, *sources, "-o", library], check=True)
    return library


def results_of(code: str, folder: Path, **env: str) -> dict[str, str]:
    search = os.pathsep.join([str(folder.parent), str(ROOT)])
    output = subprocess.run(
        [sys.executable, "-P", "-c", code, folder],
        env={**os.environ, "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1", **env},
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=True,
    ).stdout
    results: dict[str, str] = json.loads(output)
    return results


@pytest.fixture(scope="module")
def plain(app: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    copy = tmp_path_factory.mktemp("plain") / "datafiles"
    shutil.copytree(app, copy)
    return results_of(PLAIN, copy)


@pytest.fixture(scope="module")
def kept(app: Path, preloaded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return results_in_memory(app, preloaded, tmp_path_factory.mktemp("kept"))


def results_in_memory(app: Path, preloaded: Path, folder: Path, **env: str) -> dict[str, str]:
    copy = shutil.copytree(app, folder / "datafiles")
    return results_of(KEPT, copy, LD_PRELOAD=str(preloaded), **env)


@pytest.mark.parametrize("name", READING)
def test_files_in_memory_are_read_as_files_on_disk(
    name: str, plain: dict[str, str], kept: dict[str, str]
) -> None:
    assert kept[name] == plain[name]


@pytest.mark.parametrize("name", WRITING)
def test_nothing_in_memory_can_be_changed(name: str, kept: dict[str, str]) -> None:
    assert set(kept[name].strip("[]").split(", ")) == {"'refused'"}


def test_what_is_not_in_memory_is_in_the_folder_that_the_environment_names(
    plain: dict[str, str], app: Path, preloaded: Path, tmp_path: Path
) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    results = results_in_memory(app, preloaded, tmp_path, NATIVECGI_FOLDER=str(beside))
    assert {name: results[name] for name in KEEPING} == {name: plain[name] for name in KEEPING}


# --- in a built program ---


@pytest.fixture(scope="module")
def program(app: Path, builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built."""
    folder = tmp_path_factory.mktemp("built")
    built = subprocess.run(
        [builder, ROOT / "build.py", app, "-o", folder], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "datafiles"


def ask(command: list[str | Path], path: str, **env: str) -> str:
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "/cgi-bin/x"}
    output = subprocess.run(
        command,
        env={"PATH": os.defpath, **request, **env},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=True,
    ).stdout
    return output.partition(b"\r\n\r\n")[2].decode()


@pytest.fixture(scope="module")
def built(program: Path) -> dict[str, str]:
    results: dict[str, str] = json.loads(ask([program], "/operations"))
    return results


@pytest.mark.parametrize("name", READING)
def test_a_built_program_reads_its_data_as_plain_python_does(
    name: str, plain: dict[str, str], built: dict[str, str]
) -> None:
    assert built[name] == plain[name]


@pytest.mark.parametrize("name", WRITING)
def test_a_built_program_cannot_change_its_data(name: str, built: dict[str, str]) -> None:
    assert set(built[name].strip("[]").split(", ")) == {"'refused'"}


def test_a_built_program_keeps_files_in_the_folder_that_the_environment_names(
    program: Path, plain: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "datafiles").mkdir()
    results = json.loads(ask([program], "/operations", NATIVECGI_FOLDER=str(tmp_path)))
    assert {name: results[name] for name in KEEPING} == {name: plain[name] for name in KEEPING}
    assert (tmp_path / "datafiles" / "made.db").is_file()


@pytest.mark.parametrize("folder", ["", "relative"])
def test_without_such_a_folder_nothing_is_kept(program: Path, folder: str) -> None:
    results = json.loads(ask([program], "/operations", NATIVECGI_FOLDER=folder))
    assert results["keep_a_database"] == "OperationalError: unable to open database file"
    assert results["keep_files"].startswith("FileNotFoundError")


def test_a_built_program_has_the_metadata_of_what_nobody_imports(program: Path) -> None:
    found = json.loads(ask([program], "/metadata/unused"))
    assert found == ["1.0", "unused", [["cart", "unused:WORDS"]]]


@contextmanager
def https(authority: Path) -> Iterator[str]:
    """A server on this machine that answers each request with 200; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_name("key.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    connection, _address = listening.accept()
                    # A client that does not trust the certificate ends the handshake.
                    with suppress(OSError), context.wrap_socket(connection, True) as secured:
                        secured.recv(65536)
                        secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"https://localhost:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_built_program_gets_a_page_by_https(program: Path, authority: Path) -> None:
    with https(authority) as url:
        answer = ask([program], "/https", HTTPS_URL=url, SSL_CERT_FILE=str(authority))
    assert answer == "200"


def test_a_built_program_does_not_trust_a_certificate_of_an_unknown_authority(
    program: Path, authority: Path
) -> None:
    with https(authority) as url:
        answer = ask([program], "/https", HTTPS_URL=url)
    assert "certificate verify failed" in answer


# --- what is kept ---


def test_a_path_is_followed_as_on_disk(app: Path, preloaded: Path, tmp_path: Path) -> None:
    """Each path of up to four parts, of which some are no folders, and some lead out and back."""
    shutil.copytree(app, tmp_path / "datafiles")
    code = """
import itertools, os, shutil, sys
from nativecgi.frozen import packagedata
folder = sys.argv[1]
parts = ["sub", "page.html", "one.txt", "none", "..", ".", ""]

def is_below(path):  # what leads out of the folder is the kernel's
    depths = [0 if part in ("", ".") else -1 if part == ".." else 1 for part in path]
    return all(depth >= 0 for depth in itertools.accumulate(depths))

tried = [path for count in range(5) for path in itertools.product(parts, repeat=count)]
paths = ["/".join([folder, *path]) for path in tried if is_below(path)]

def found(path):
    if os.path.isdir(path):
        return sorted(os.listdir(path)), os.path.realpath(path)
    return os.path.isfile(path), os.path.lexists(path) and os.path.realpath(path)

before = list(map(found, paths))
kept = packagedata.Kept(folder)
shutil.rmtree(folder)
packagedata.install(kept)
after = list(map(found, paths))
print(len(paths) > 1000, [it for it in zip(paths, before, after) if it[1] != it[2]][:3])
"""
    env = {"LD_PRELOAD": str(preloaded), "PYTHONPATH": str(ROOT), "PATH": os.defpath}
    output = subprocess.check_output(
        [sys.executable, "-P", "-c", code, tmp_path / "datafiles"], env=env, text=True
    )
    assert output == "True []\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that was beside a program."""
    return tmp_path / "program.dist"


@pytest.fixture
def shop(folder: Path) -> Kept:
    for name in ("shop/page.html", "shop/sub/empty", "shop/module.so", "libshop.so.1", "program"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    result = Kept(str(folder), str(folder / "program"))
    shutil.rmtree(folder)
    return result


def test_what_is_no_code_is_kept(shop: Kept) -> None:
    assert shop.contents == {
        "shop/page.html": b"shop/page.html",
        "shop/sub/empty": b"shop/sub/empty",
    }


def test_what_is_elsewhere_is_found_as_ever(app: Path, preloaded: Path, tmp_path: Path) -> None:
    other = tmp_path / "program.distant"  # begins with the folder's name
    other.mkdir()
    (other / "file").write_text("other")
    shutil.copytree(app, tmp_path / "program.dist")
    code = """
import os, shutil, sys
from nativecgi.frozen import packagedata
folder = sys.argv[1]
kept = packagedata.Kept(folder)
shutil.rmtree(folder)
packagedata.install(kept)
other = folder + "ant"
print(os.listdir(other), open(other + "/file").read(), os.stat(other + "/file").st_size)
os.chdir(other)
print(os.listdir(), os.listdir(os.open(".", os.O_RDONLY)), open("file").read())
print([(name, fd > 2) for name, _folders, _files, fd in os.fwalk(".")])
with open("new", "w") as file:
    print(file.write("x"), oct(os.stat("new").st_mode), os.access("new", os.X_OK))
print(os.path.getsize("new"))
"""
    env = {"LD_PRELOAD": str(preloaded), "PYTHONPATH": str(ROOT), "PATH": os.defpath}
    output = subprocess.check_output(
        [sys.executable, "-P", "-c", code, tmp_path / "program.dist"],
        env=env,
        text=True,
        umask=0o022,
    )
    assert output.splitlines() == [
        "['file'] other 5",
        "['file'] ['file'] other",
        "[('.', True)]",
        "1 0o100644 False",
        "1",
    ]


def test_a_folder_s_name_that_changes_in_memory_does_no_harm(
    app: Path, preloaded: Path, tmp_path: Path
) -> None:
    """The freezer changes it, where it is in one piece: in the same bytes, by as long a name."""
    shutil.copytree(app, tmp_path / "old")
    code = """
import os, sys
from nativecgi.frozen import packagedata
old = sys.argv[1]
new = f"/proc/{'x' * (len(old) - 6)}"
kept = packagedata.Kept(old)
kept._folder = new
packagedata.install(kept)
os.rename(old, old + "-gone")
print({f"{folder}/sub/one.txt": open(f"{folder}/sub/one.txt").read() for folder in (old, new)} == {
    f"{folder}/sub/one.txt": "one\\n" for folder in (old, new)
}, os.listdir(old + "/sub") == os.listdir(new + "/sub"))
"""
    env = {"LD_PRELOAD": str(preloaded), "PYTHONPATH": str(ROOT), "PATH": os.defpath}
    output = subprocess.check_output(
        [sys.executable, "-P", "-c", code, tmp_path / "old"], env=env, text=True
    )
    assert output == "True True\n"
