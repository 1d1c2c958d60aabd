"""Large bodies through a real Apache: they arrive as they are, and need no memory to speak of.

A process's resident memory is of two kinds. RssFile are pages of the program's own file, which
all its processes share with the page cache; the kernel maps up to sixteen around each that is
touched. RssAnon is what the process has for itself. VmHWM is the most of both together.
"""

import hashlib
import http.client
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import Struct

from servers.apache import serving
from servers.server import Server

KIB, MIB = 1024, 1024 * 1024
SMALL, LARGE = 4, 256  # MiB
SECONDS = 60

# In KiB: what is resident, what of it is the process's own, and what a larger body may add.
RESIDENT, OWN, GROWTH = 32 * KIB, 8 * KIB, 2 * KIB

BOUNDARY = "a-boundary"
PART = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="upload"; filename="large.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()

Memory = dict[str, int]


class Site(Struct):
    server: Server
    notes: Path  # what the programs say of themselves


class Transferred(Struct):
    """What came out at the other end."""

    size: int
    sha256: str


Transfer = Callable[[Site, int], Transferred]


@pytest.fixture(scope="module")
def site(cgi_bin: Path) -> Iterator[Site]:
    # pytest's own folders are closed to the server's user, and /tmp may be in memory.
    with tempfile.TemporaryDirectory(prefix="transfers-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        programs, notes = folder / "cgi-bin", folder / "notes"
        programs.mkdir()
        shutil.copy2(cgi_bin / "transfers", programs)
        notes.touch()
        notes.chmod(0o666)
        with serving(programs, environment={"NOTES": str(notes), "TMPDIR": name}) as server:
            yield Site(server, notes)


def mebibytes(size: int) -> Iterator[bytes]:
    return ((b"%8d" % number).ljust(MIB, b"\0") for number in range(size))


def read(pieces: Iterable[bytes]) -> Transferred:
    size, sha256 = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
    return Transferred(size, sha256.hexdigest())


@cache
def whole(size: int) -> Transferred:
    """What is sent, when all of it arrives."""
    return read(mebibytes(size))


def exchange(
    site: Site,
    path: str,
    body: Iterable[bytes] | None = None,
    headers: Mapping[str, str] = {},
) -> Iterator[bytes]:
    """The answer's body, piece by piece."""
    address = urlsplit(site.server.url)
    with closing(http.client.HTTPConnection(address.netloc, timeout=SECONDS)) as connection:
        connection.request("POST" if body else "GET", address.path + path, body, headers)
        response = connection.getresponse()
        assert response.status == 200
        while piece := response.read(MIB):
            yield piece


def by_file(site: Site, size: int) -> Transferred:
    return read(exchange(site, f"/transfers/download/{size}"))


def by_stream(site: Site, size: int) -> Transferred:
    return read(exchange(site, f"/transfers/stream/{size}"))


def by_body(site: Site, size: int) -> Transferred:
    headers = {"Content-Length": str(size * MIB)}
    return answered(exchange(site, "/transfers/count", mebibytes(size), headers))


def by_body_in_chunks(site: Site, size: int) -> Transferred:
    return answered(exchange(site, "/transfers/count", mebibytes(size)))


def by_form(site: Site, size: int) -> Transferred:
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(PART) + size * MIB + len(END)),
    }
    body = (piece for part in ([PART], mebibytes(size), [END]) for piece in part)
    return answered(exchange(site, "/transfers/form", body, headers))


def answered(answer: Iterable[bytes]) -> Transferred:
    """What the program says that it has read."""
    said: dict[str, Any] = json.loads(b"".join(answer))
    assert said.get("announced", said["size"]) == said["size"]
    return Transferred(said["size"], said["sha256"])


def memory(site: Site) -> Memory:
    """Of the one process that has answered since the last call, in KiB; it says so as it ends."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        notes = [json.loads(line) for line in site.notes.read_bytes().splitlines()]
        for said in notes:
            if "VmHWM" in said:
                site.notes.write_bytes(b"")
                return {name: value for name, value in said.items() if name != "path"}
        time.sleep(0.02)
    raise TimeoutError(site.server.error_log.read_text())


@pytest.mark.parametrize("transfer", [by_file, by_stream, by_body, by_body_in_chunks, by_form])
def test_a_large_body_arrives_whole_in_little_memory(site: Site, transfer: Transfer) -> None:
    assert transfer(site, SMALL) == whole(SMALL)
    small = memory(site)
    assert transfer(site, LARGE) == whole(LARGE)
    large = memory(site)
    assert large["VmHWM"] < RESIDENT, large
    assert large["RssAnon"] < OWN, large
    assert large["VmHWM"] - small["VmHWM"] < GROWTH, (small, large)
