"""Measures large bodies through Apache, a gibibyte each way, and the memory that it takes."""

import http.client
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from msgspec import Struct

from bench import builds
from bench.errors import BenchError
from bench.processes import about, children
from servers import apache
from servers.server import Server, executable

SIZE, ROUNDS = 2**30, 3
PAUSE = 0.05  # seconds between two looks at a program's memory

_PEERS = Path(__file__).with_name("peers")
_BLOCK = 2**20  # bytes that the client sends or asks for at a time
_SECONDS = 300  # without a byte

_BOUNDARY = "a-boundary"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"
_PART = (
    f"--{_BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="upload"; filename="large.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
_END = f"\r\n--{_BOUNDARY}--\r\n".encode()


class Transfer(Struct, frozen=True):
    """A program and a way to move the bytes: to the client, or from it where it is an upload."""

    name: str
    path: str  # of the address, without /cgi-bin/
    is_upload: bool = False
    is_form: bool = False


class Memory(Struct):
    """The most that was seen of a program's processes, in KiB."""

    resident: int = 0  # all of it: VmHWM
    own: int = 0  # what is no page of a file: RssAnon


class Rate(Struct, frozen=True):
    """Megabytes (10^6 bytes) per second, and memory in KiB."""

    median: float
    worst: float
    best: float
    resident: int
    own: int


# The others are compared with the first.
DOWNLOADS = (
    Transfer("sh, exec cat", "transfers.sh"),
    Transfer("C, sendfile(2)", "transfers-c"),
    Transfer("nativecgi: file()", "large/file"),
    Transfer("nativecgi: stream() of 64 KiB pieces", "large/stream"),
)
UPLOADS = (
    Transfer("sh, exec wc -c", "transfers.sh", is_upload=True),
    Transfer("C, read(2)", "transfers-c", is_upload=True),
    Transfer("nativecgi: request.body", "large/body", is_upload=True),
    Transfer("nativecgi: form(), to a temporary file", "large/form", is_upload=True, is_form=True),
)


def missing() -> str | None:
    """Which tool the measurement lacks on this machine."""
    if executable(apache.PROGRAM) is None:
        return apache.PROGRAM
    return None if shutil.which("cc") else "cc"


def measure_all(build: Path) -> dict[Transfer, Rate]:
    """Build the programs in the folder `build`, and have each move its gibibyte in every round.

    Raises BenchError where a program cannot be built, or where not all bytes arrive, and
    ServerError where Apache does not start.
    """
    built = _built(build)
    # Files of a gibibyte, such as form() makes, are none for /tmp where that is in memory.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        cgi_bin = folder / "cgi-bin"
        cgi_bin.mkdir()
        for program in built:
            shutil.copy2(program, cgi_bin)
        large = folder / "large.bin"
        _fill(large)
        environment = {"LARGE_FILE": str(large), "LARGE_SIZE": str(SIZE), "TMPDIR": name}
        with apache.serving(cgi_bin, environment=environment) as server:
            return _measured(server)


def _built(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    script, c = folder / "transfers.sh", folder / "transfers-c"
    shutil.copy2(_PEERS / script.name, script)
    script.chmod(0o755)
    _run("cc", "-O2", "-o", str(c), str(_PEERS / "transfers.c"))
    return [script, c, builds.frozen(_PEERS / "large.py", folder / "transfers")]


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


def _fill(path: Path) -> None:
    block = random.Random(0).randbytes(_BLOCK)
    with path.open("wb") as file:
        for _number in range(SIZE // _BLOCK):
            file.write(block)


def _measured(server: Server) -> dict[Transfer, Rate]:
    transfers = [*DOWNLOADS, *UPLOADS]
    rates: dict[Transfer, list[float]] = {transfer: [] for transfer in transfers}
    memory = {transfer: Memory() for transfer in transfers}
    shuffle = random.Random(0).shuffle
    for number in range(1 + ROUNDS):  # the first warms up
        shuffle(transfers)
        for transfer in transfers:
            with _watched(server, memory[transfer]):
                seconds = _time(server, transfer)
            if number:
                rates[transfer].append(SIZE / 1e6 / seconds)
    return {
        transfer: Rate(
            statistics.median(rates[transfer]),
            min(rates[transfer]),
            max(rates[transfer]),
            memory[transfer].resident,
            memory[transfer].own,
        )
        for transfer in (*DOWNLOADS, *UPLOADS)
    }


def _time(server: Server, transfer: Transfer) -> float:
    """Seconds from the connection to the end of the answer."""
    address = urlsplit(server.url)
    start = time.perf_counter()
    with closing(http.client.HTTPConnection(address.netloc, timeout=_SECONDS)) as connection:
        path = f"{address.path}/{transfer.path}"
        if transfer.is_upload:
            _upload(connection, path, transfer)
        else:
            connection.request("GET", path)
        response = connection.getresponse()
        arrived = int(response.read()) if transfer.is_upload else _length(response)
    seconds = time.perf_counter() - start
    if (response.status, arrived) != (200, SIZE):
        raise BenchError(f"{transfer.name}: status {response.status}, {arrived} bytes of {SIZE}")
    return seconds


def _upload(connection: http.client.HTTPConnection, path: str, transfer: Transfer) -> None:
    before, after = (_PART, _END) if transfer.is_form else (b"", b"")
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", _FORM if transfer.is_form else "application/octet-stream")
    connection.putheader("Content-Length", str(len(before) + SIZE + len(after)))
    connection.endheaders(before)
    block = bytes(_BLOCK)
    for _number in range(SIZE // _BLOCK):
        connection.send(block)
    connection.send(after)


def _length(response: http.client.HTTPResponse) -> int:
    buffer, length = bytearray(_BLOCK), 0
    while count := response.readinto(buffer):
        length += count
    return length


@contextmanager
def _watched(server: Server, memory: Memory) -> Iterator[None]:
    """Watch meanwhile what memory the server's programs take."""
    is_over = Event()

    def watch() -> None:
        while not is_over.wait(PAUSE):
            for program in _programs(server):
                memory.resident = max(memory.resident, _kib(program, "VmHWM"))
                memory.own = max(memory.own, _kib(program, "RssAnon"))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _programs(server: Server) -> list[str]:
    """The texts of the programs' /proc/PID/status: mod_cgid's daemon, a child, is their parent."""
    pids = [pid for child in children(server.pid) for pid in children(child)]
    texts = [about(pid, "status") for pid in pids]
    return [text for text in texts if not text.startswith(f"Name:\t{apache.PROGRAM}\n")]


def _kib(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0
