"""Makes each copy of SQLite in a stopped process reseed its random number generator.

SQLite seeds it once, from the kernel, when it is first used. What was drawn before the freeze
point must not go on in every process. Other generators ask the kernel each time, or notice that
they are in another process.

Where the symbol of its function is known that is called. A copy inside an extension module, such
as apsw's or pysqlite3's, has hidden symbols: then the generator's state is found by its form. See
sqlite3_randomness() in SQLite's src/random.c.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nativecgi_build.freezer import symbols
from nativecgi_build.freezer.errors import CannotFreeze
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.tracee import Tracee

# With 0 bytes to draw it forgets its state: https://www.sqlite.org/c3ref/randomness.html
_FUNCTION, _ARGUMENTS = "sqlite3_randomness", (0, 0)

# What each copy has: the beginning of its files, a message, and what sqlite3_sourceid() returns.
_SIGNS = (b"SQLite format 3\0", b"database disk image is malformed")
_SOURCE_ID = re.compile(rb"(20\d\d-\d\d-\d\d) \d\d:\d\d:\d\d [0-9a-f]{40}")

# The generator is RC4, and ChaCha20 in each version that is later than this. A state of ChaCha20
# is 16 words, the first four of them these, then a block, then a byte that tells how much of the
# block is left. It is to be seeded where the first word is 0.
_CHACHA_SINCE = b"2022-12-01"
_CHACHA = b"expand 32-byte k"
_WORD, _LEFT_AT, _BLOCK = 4, 128, 64
# A state of RC4 is a byte 1, or 0 where it is to be seeded, two indexes, and each byte once.
_SEEDED, _TABLE_AT, _TABLE = b"\1", 3, 256


def renew(tracee: Tracee, mappings: list[Mapping], scratch: int) -> None:
    """Have each copy seed itself when it is next used; `scratch` is free stack.

    Raises CannotFreeze where a copy's generator is not to be found.
    """
    for path, start in symbols.mapped_programs(tracee.pid, mappings):
        functions = symbols.defined(path, start, _FUNCTION)
        for address in functions:
            tracee.call_function(address, scratch, *_ARGUMENTS)
        if not functions and (version := _version(path)):
            _forget_state(tracee, path, start, version)


def _version(path: Path) -> bytes:
    """The date of the SQLite that an ELF file contains; empty where it contains none."""
    with _content(path) as content:
        is_here = all(content.find(sign) >= 0 for sign in _SIGNS)
        found = _SOURCE_ID.search(content) if is_here else None
        return found[1] if found else b""


def _forget_state(tracee: Tracee, path: Path, start: int, version: bytes) -> None:
    found = False
    for address, size in symbols.writable(path, start):
        data = tracee.read(address, size)
        states = [(it, _WORD) for it in _chacha_states(data)]
        states += [(it, len(_SEEDED)) for it in _rc4_states(data)]
        for offset, length in states:
            tracee.write(address + offset, bytes(length))
            found = True
    if not found and not _is_known(path, version):
        raise CannotFreeze(
            f"{path} contains SQLite of {version.decode()} without a symbol {_FUNCTION}, and its "
            "generator of random numbers is of an unknown kind: all processes could draw the "
            "same. Use a SQLite that exports its functions, such as the system's"
        )


def _is_known(path: Path, version: bytes) -> bool:
    """Whether a state would have been found: where there is none it has not been used."""
    with _content(path) as content:
        words = (_CHACHA[at : at + _WORD] for at in range(0, len(_CHACHA), _WORD))
        return version < _CHACHA_SINCE or all(content.find(word) >= 0 for word in words)


@contextmanager
def _content(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _chacha_states(data: bytes) -> Iterator[int]:
    offset = data.find(_CHACHA)
    while offset >= 0:
        left = data[offset + _LEFT_AT : offset + _LEFT_AT + 1]
        if offset % _WORD == 0 and left and left[0] <= _BLOCK:
            yield offset
        offset = data.find(_CHACHA, offset + 1)


def _rc4_states(data: bytes) -> Iterator[int]:
    offset = data.find(_SEEDED)
    while offset >= 0:
        table = data[offset + _TABLE_AT : offset + _TABLE_AT + _TABLE]
        if len(set(table)) == _TABLE:
            yield offset
        offset = data.find(_SEEDED, offset + 1)
