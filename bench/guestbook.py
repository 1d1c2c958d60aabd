"""Measures guestbooks through Apache, with wrk: reads and writes of an SQLite database."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from apps.guestbook import ADD, HEAD, SCHEMA
from bench.builds import WSGIREF
from bench.errors import BenchError
from bench.pagecache import evict
from bench.programs import OURS, Program
from bench.throughput import Load, load
from servers import apache
from servers.server import Server

CONNECTIONS, SECONDS, ROUNDS, ENTRIES = 8, 2, 3, 100
C = "C"

_PEERS = Path(__file__).with_name("peers")
_REQUESTS = _PEERS / "guestbook.lua"  # those for a write
_HEAD = "@HEAD@"  # stands in a peer's source for the beginning of the page
_TIMEOUT = 20  # seconds: one who writes waits for others
_LONGEST = {"name": 80, "message": 2000}


class Peer(Struct, frozen=True):
    """A guestbook in another language, and the command that builds it, in the folder of both.

    A script's command shows that its interpreter has what it needs.
    """

    name: str
    source: str
    output: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = {}
    is_script: bool = False


class Result(Struct, frozen=True):
    """One program's loads, a round each; in a round all programs had their turn."""

    reads: Sequence[Load]
    writes: Sequence[Load]


_DEBIAN = "source.debian.directory='/usr/share/cargo/registry'"
PEERS = (
    Peer(
        C, "guestbook.c", "guestbook-c",
        ("cc", "-O2", "-o", "guestbook-c", "guestbook.c", "-lsqlite3"),
    ),
    Peer(
        "Rust, rusqlite", "guestbook.rs", "target/release/guestbook-rust",
        ("cargo", "build", "--release", "--offline", "--quiet", "--config", _DEBIAN,
         "--config", "source.crates-io.replace-with='debian'"),
    ),
    Peer(
        "Go, net/http/cgi", "guestbook.go", "guestbook-go",
        ("go", "build", "-tags", "libsqlite3", "-o", "guestbook-go", "guestbook.go"),
        # Debian's packages of sources are a GOPATH.
        {"GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "1"},
    ),
    Peer(
        "Perl, DBI", "guestbook.pl", "guestbook-perl", ("perl", "-MDBD::SQLite", "-e1"),
        is_script=True,
    ),
    Peer(
        WSGIREF, "guestbook_wsgiref.py", "guestbook-python",
        ("/usr/bin/python3", "-c", "import sqlite3"), is_script=True,
    ),
)  # fmt: skip


def ours(frozen: Path) -> Program:
    """This project's, in the folder `frozen`; raises BenchError where it has not been built."""
    path = frozen / "guestbook"
    if not os.access(path, os.X_OK) or path.is_symlink():
        raise BenchError(f"there is no frozen program {path}: run make build")
    return Program(OURS, path, answer=b"<h2>Ann Lee 0</h2>")


def build(folder: Path, skip: Callable[[str], None]) -> list[Program]:
    """Build all peers in `folder`, but those that are there and up to date.

    Calls `skip` with a line for each whose compiler, interpreter or library is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_PEERS / "guestbook.toml", folder / "Cargo.toml")
    built = []
    for peer in PEERS:
        if shutil.which(peer.command[0]) is None:
            skip(f"guestbook in {peer.name}: there is no {peer.command[0]}")
        elif reason := _build(peer, folder):
            skip(f"guestbook in {peer.name}: {reason}")
        else:
            built.append(Program(peer.name, folder / peer.output))
    return built


def measure_all(programs: Sequence[Program], folder: Path) -> dict[Program, Result]:
    """Serve the programs from `folder`, which is emptied first, and have them all read and write.

    Raises BenchError where one's page or answer is not as the first's, where a request fails or
    an entry is lost, and ServerError where Apache does not start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    served = [_placed(program, folder) for program in programs]
    for program in served:
        evict(program)
    # SQLite's locks and its syncing are those of a disk, which /tmp need not be on.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        databases = {program: Path(name, f"{program.path.name}.db") for program in served}
        Path(name).chmod(0o777)
        for database in databases.values():
            fill(database)
        with apache.serving(folder, directives=list(_directives(databases))) as server:
            _check(server, served)
            reads = _loads(server, served)
            before = {program: _entries(databases[program]) for program in served}
            writes = _loads(server, served, "--script", str(_REQUESTS))
        for program in served:
            written = _entries(databases[program]) - before[program]
            if written < (answered := sum(load.count for load in writes[program])):
                raise BenchError(f"{program.name}: {written} entries of {answered}")
    return {
        program: Result(reads[copy], writes[copy])
        for program, copy in zip(programs, served, strict=True)
    }


def _build(peer: Peer, folder: Path) -> str:
    """Returns why it cannot be built, or nothing."""
    text = (_PEERS / peer.source).read_text()
    output, stamp = folder / peer.output, folder / f"{peer.source}.built"
    if peer.is_script:
        interpreter = shutil.which(peer.command[0])
        text = f"#!{interpreter}\n{text.partition(chr(10))[2]}".replace(f"'{_HEAD}'", f"'{HEAD}'")
    text = text.replace(f'"{_HEAD}"', json.dumps(HEAD))
    recipe = json.dumps([peer.command, dict(peer.environment), text])
    if output.exists() and stamp.exists() and stamp.read_text() == recipe:
        return ""
    (output if peer.is_script else folder / peer.source).write_text(text)
    result = subprocess.run(
        peer.command, cwd=folder, env=os.environ | dict(peer.environment),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        return result.stderr.strip().partition("\n")[0]
    output.chmod(0o755)
    stamp.write_text(recipe)
    return ""


def _placed(program: Program, folder: Path) -> Program:
    path = folder / program.path.name
    try:
        path.hardlink_to(program.path)
    except OSError:  # another file system
        shutil.copy2(program.path, path)
    return Program(program.name, path)


def fill(database: Path, entries: int = ENTRIES) -> None:
    """Entries with characters to escape, and of ages that are the same for all."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(SCHEMA)
        for number in range(entries):
            connection.execute(
                ADD, (f"Ann Lee {number}", f'A <small> "program" & {number} words\n' * 2)
            )
        connection.execute(
            "UPDATE entries SET created = datetime(1800000000 + 3600 * id, 'unixepoch')"
        )
        connection.commit()
    database.chmod(0o666)


def _directives(databases: Mapping[Program, Path]) -> Iterator[str]:
    for program, database in databases.items():
        yield f'<Location "/cgi-bin/{program.path.name}">'
        yield f'SetEnv GUESTBOOK_DB "{database}"'
        yield "</Location>"


def _entries(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        return count


def _check(server: Server, programs: Sequence[Program]) -> None:
    """Have all give the same page, refuse what is too long, and take what is not."""
    pages = [_answer(server, program) for program in programs]
    for program, page in zip(programs, pages, strict=True):
        if page[0] != 200 or page != pages[0]:
            raise BenchError(f"{program.name} has not the page of {programs[0].name}: {page!r}")
    good = {name: "ä" * most for name, most in _LONGEST.items()}
    for program in programs:
        for name, text in good.items():
            for bad in ("", text + "ä"):
                status, _body = _answer(server, program, good | {name: bad})
                if status != 400:
                    raise BenchError(f"{program.name}: status {status} for a {name} of {bad!r}")
        if (status := _answer(server, program, good)[0]) != 303:
            raise BenchError(f"{program.name}: status {status} for an entry")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        return None


def _answer(
    server: Server, program: Program, form: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    body = None if form is None else urllib.parse.urlencode(form).encode()
    url = f"{server.url}/{program.path.name}"
    try:
        with urllib.request.build_opener(_NoRedirect).open(url, body) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _loads(server: Server, programs: Sequence[Program], *options: str) -> dict[Program, list[Load]]:
    loads: dict[Program, list[Load]] = {program: [] for program in programs}
    order = list(programs)
    shuffle = random.Random(0).shuffle
    for _round in range(ROUNDS):
        shuffle(order)
        for program in order:
            loads[program].append(
                load(
                    f"{server.url}/{program.path.name}", f"--timeout={_TIMEOUT}s", *options,
                    connections=CONNECTIONS, seconds=SECONDS,
                )
            )  # fmt: skip
    return loads
