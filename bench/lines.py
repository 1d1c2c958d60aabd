"""Runs a new image step by step, to see which memory it reads and writes (steps.c)."""

import ctypes
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import cc, ptrace
from nativecgi_build.freezer.errors import Unsupported
from nativecgi_build.freezer.tracee import Answers, Tracee, started

_SOURCE = Path(__file__).with_name("steps.c")
_WORD = 8
# More would take longer than a quarter of a minute. What a process does thereafter is not known.
MOST = 5_000_000


class Profile(Struct, frozen=True):
    """What one process has done."""

    instructions: int
    lines: int  # of code, of 64 bytes each
    reads: list[int]  # addresses of words, each once, in the order of their first use
    writes: list[int]


class _Set(ctypes.Structure):
    """As in steps.c."""

    _fields_ = [
        ("numbers", ctypes.POINTER(ctypes.c_uint64)),
        ("count", ctypes.c_uint64),
        ("_table", ctypes.c_void_p),
        ("_size", ctypes.c_uint64),
    ]


class _Watch(ctypes.Structure):
    """The head of what is in steps.c."""

    _fields_ = [
        ("instructions", ctypes.c_uint64),
        ("code", _Set),
        ("reads", _Set),
        ("writes", _Set),
    ]


def profile(
    image: Path,
    environment: Mapping[str, str],
    seconds: float,
    answers: Answers | None = None,
) -> Profile:
    """Run `image` with `environment` in an empty folder, for up to `seconds`.

    What has been seen until then is returned, however it ends.
    """
    library = _library()
    name = None if answers is None else "trial"
    watch = library.watch_begin()
    try:
        with (
            _one_processor(),
            tempfile.TemporaryDirectory(prefix="freezer-") as folder,
            started(
                [str(image.absolute())], environment, folder, name=name, answers=answers
            ) as tracee,
        ):
            _run(library, watch, tracee, time.monotonic() + seconds)
        seen = watch.contents
        return Profile(
            seen.instructions,
            seen.code.count,
            *(
                [it * _WORD for it in kept.numbers[: kept.count]]
                for kept in (seen.reads, seen.writes)
            ),
        )
    finally:
        library.watch_end(watch)


@contextmanager
def _one_processor() -> Iterator[None]:
    """Run on one processor, the program too: a step then takes a twentieth of the time."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _run(
    library: ctypes.CDLL, watch: "ctypes._Pointer[_Watch]", tracee: Tracee, end: float
) -> None:
    """Step until the process has ended, or runs another program, or there is no more time."""
    number = 0
    while time.monotonic() < end and watch.contents.instructions < MOST:
        status = library.watch_steps(watch, tracee.pid, number, MOST)
        if status < 0:
            raise OSError(ctypes.get_errno(), "the process cannot be watched")
        if status == 0:
            status = _made_system_call(tracee, end)
        if status is None or not os.WIFSTOPPED(status) or status >> 16:
            return
        number = 0 if os.WSTOPSIG(status) & ~0x80 == signal.SIGTRAP else os.WSTOPSIG(status)
        tracee.output.read(0)


def _made_system_call(tracee: Tracee, end: float) -> int | None:
    """Let the process make the system call that it is about to make; returns as `wait` does."""
    if tracee.answers is None:
        ptrace.single_step(tracee.pid)
        return _awaited(tracee, end)
    for _enter_or_leave in range(2):
        ptrace.resume_to_system_call(tracee.pid)
        status = _awaited(tracee, end)
        if status is None or not tracee.answers.give(tracee, status):
            return status
    return status


def _awaited(tracee: Tracee, end: float) -> int | None:
    while time.monotonic() < end:
        waited, status = os.waitpid(tracee.pid, os.WNOHANG)
        if waited:
            return status
        tracee.output.read(0.0001)
    return None


@cache
def _library() -> ctypes.CDLL:
    """steps.c, compiled; raises Unsupported where that cannot be."""
    spec = find_spec("capstone")
    if spec is None or spec.origin is None:
        raise Unsupported("freezing needs capstone: pip install capstone")
    capstone = Path(spec.origin).parent
    ctypes.CDLL(str(capstone / "lib" / "libcapstone.so"), mode=ctypes.RTLD_GLOBAL)
    with tempfile.TemporaryDirectory(prefix="freezer-") as folder:
        output = Path(folder, "steps.so")
        cc.compiled([_SOURCE], output, *cc.LIBRARY, f"-I{capstone / 'include'}")
        library = ctypes.CDLL(str(output), use_errno=True)
    library.watch_begin.restype = ctypes.POINTER(_Watch)
    library.watch_steps.argtypes = (
        ctypes.POINTER(_Watch), ctypes.c_int, ctypes.c_int, ctypes.c_uint64
    )  # fmt: skip
    library.watch_end.argtypes = (ctypes.POINTER(_Watch),)
    library.watch_end.restype = None
    return library
