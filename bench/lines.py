"""Steps through a process: how many instructions it takes, and which lines of memory they touch.

A line is the 64 bytes that a processor's cache takes at a time. One that is in no cache costs as
much as some hundred instructions, and a process that has just started has few that are in one.
"""

import ctypes
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from bench.errors import BenchError
from nativecgi_build.freezer import cc

_SOURCE = Path(__file__).with_name("steps.c")
_WORD, _LINE = 8, 64


class Touched(Struct, frozen=True):
    """What a process has executed, read and written."""

    instructions: int  # how many; one that repeats (REP) is one
    code: int  # lines of instructions
    reads: list[int]  # addresses of words, each once, in the order of their first use
    writes: list[int]

    @property
    def lines(self) -> int:
        """How many lines of code and data."""
        return self.code + len({address // _LINE for address in (*self.reads, *self.writes)})


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


def step(pid: int) -> tuple[Touched, int]:
    """Step through a traced process that is stopped, until it ends or gets a signal.

    Returns what it has touched, and what has become of it (waitpid(2)).
    """
    library = _library()
    watch = library.watch_begin()
    try:
        status = library.watch_steps(watch, pid)
        if status < 0:
            raise OSError(ctypes.get_errno(), "the process cannot be stepped through")
        seen = watch.contents
        reads, writes = (
            [word * _WORD for word in it.numbers[: it.count]] for it in (seen.reads, seen.writes)
        )
        return Touched(seen.instructions, seen.code.count, reads, writes), status
    finally:
        library.watch_end(watch)


@cache
def _library() -> ctypes.CDLL:
    """steps.c, compiled; raises BenchError where capstone is missing."""
    spec = find_spec("capstone")
    if spec is None or spec.origin is None:
        raise BenchError("counting instructions takes capstone: pip install capstone")
    capstone = Path(spec.origin).parent
    ctypes.CDLL(str(capstone / "lib" / "libcapstone.so"), mode=ctypes.RTLD_GLOBAL)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder, "steps.so")
        cc.compiled([_SOURCE], output, *cc.LIBRARY, f"-I{capstone / 'include'}")
        library = ctypes.CDLL(str(output), use_errno=True)
    library.watch_begin.restype = ctypes.POINTER(_Watch)
    library.watch_steps.argtypes = (ctypes.POINTER(_Watch), ctypes.c_int)
    library.watch_end.argtypes = (ctypes.POINTER(_Watch),)
    library.watch_end.restype = None
    return library
