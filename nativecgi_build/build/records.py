"""What a build is asked for, and what it notes down of each stage."""

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from nativecgi_build.freezer import SECONDS, Trial
from nativecgi_build.scripts import project
from nativecgi_build.settings import Settings
from nativecgi_build.sources import Digests, Opened

T = TypeVar("T")


class Wanted(msgspec.Struct, frozen=True):
    """What the command line asks for, of every app."""

    output: Path  # where the programs go
    settings: Settings = Settings()  # of the project, which say where work is kept
    freeze: bool = True
    debug: Path | None = None  # where a frozen program's side file goes
    # A program is reproducible if it has a secret, which may be empty: what is random in it then
    # derives from its sources and that.
    secret: str | None = None
    native: bool = False  # for CPUs that have what this machine's has
    compile_all: bool = False  # the packages that an app imports, too
    seconds: float = SECONDS  # that a program may take to get to its freeze point
    again: bool = False  # what has not changed is frozen all the same, at new addresses
    fast: bool = False  # plain Python runs the app: nothing is compiled


class Rehearsed(msgspec.Struct):
    """What an app has told of itself as plain Python."""

    modules: list[str] = []
    trial: dict[str, str] = {}  # variables of a request that it can be tried with
    others: list[Trial] = []  # more requests of its warm-up: how they differ from that
    opened: Opened = msgspec.field(default_factory=Opened)
    read: list[str] = []  # what it was made from by reading it
    seen: project.Seen = msgspec.field(default_factory=project.Seen)  # of a script
    learned: list[str] = []  # modules that a request to an app imports, in order


class Compiled(msgspec.Struct):
    """What a compilation depended on, kept beside its result."""

    app: str  # its origin: two folders may have apps of one name
    tools: str
    sources: Digests  # of what was compiled
    seconds: float
    has_names: bool = False  # of its functions, for a debugger
    environment: str = ""  # of packages that the app requires
    trial: dict[str, str] = {}  # as in Rehearsed
    is_rehearsed: bool = False
    options: list[str] = []  # that Nuitka was given
    modules: list[str] = []  # as in Rehearsed
    read: Digests = {}  # of what it read before its freeze point
    seen: project.Seen = msgspec.field(default_factory=project.Seen)  # as in Rehearsed
    learned: list[str] = []  # as in Rehearsed
    others: list[Trial] = []  # as in Rehearsed
    notes: list[str] = []  # for whoever builds it
    source: str = ""  # the app's file or folder


class Built(msgspec.Struct):
    """A finished program, kept beside it."""

    made_from: str  # the hash of all that it was made from
    is_frozen: bool
    seconds: float  # that compiling took
    milliseconds: float  # that a request takes
    status: str  # of its answer to the trial
    size: int
    parts: dict[str, int] = {}  # what makes a frozen one so large, in bytes
    libraries: Digests = {}  # of the system, such as glibc, that are in a frozen one
    notes: list[str] = []


def hashed(data: bytes) -> str:
    """A digest of what something was made from."""
    return hashlib.sha256(data).hexdigest()


def read_record(path: Path, kind: type[T]) -> T | None:
    """A record, or None where there is none that this version can read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None  # not built yet, or by another version of this file


def write_record(path: Path, value: msgspec.Struct) -> None:
    """Write a record down."""
    path.write_bytes(msgspec.json.encode(value))
