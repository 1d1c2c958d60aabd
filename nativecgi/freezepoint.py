"""The freeze point: where a program is frozen, and where every new process goes on.

The protocol with the freezer: it sets the environment variable FREEZE_POINT to a token of 32
hexadecimal digits. The program gets ready, leaves a letterbox and stops itself with SIGSTOP.
The letterbox is a buffer that begins with the token's 16 bytes and its own size (8 bytes,
little-endian) and ends with the token. A thaw puts into it the length of the new process's
strings (8 bytes, all ones if they do not fit), the number of its arguments (8 bytes), the kinds
of its standard streams (one byte each: streams.py; 8 bytes in all), and the strings of its
command line and environment, each with a NUL behind it.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping

from nativecgi.closedworld import import_extension_modules
from nativecgi.hooks import run_before_freeze
from nativecgi.streams import FIFO, flush_streams, renew_streams

_VARIABLE = "FREEZE_POINT"
# Servers limit a request's header to 8 to 32 KiB by default; what does not fit is read from
# /proc, where that is mounted.
_LETTERBOX_SIZE = 64 * 1024
_KINDS, _HEAD = 16, 24  # offsets of the streams' kinds and of the strings
_TOO_LONG = 2**64 - 1
# The interpreter adapts a function's code to what it sees when it has run a few times (PEP 659).
_REHEARSALS = 20

_environ: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]


def reach(rehearsal: Callable[[dict[str, str]], object]) -> dict[str, str]:
    """Run the hooks for it, and be frozen if a freezer has started this program.

    After it the process is as if it had just started: sys.argv, os.environ, the standard
    streams and `random` are its own. Returns its environment.

    `rehearsal` is called with the environment right before the freeze, to do once what each
    process will do: the interpreter's caches and free lists are then as a process needs them,
    and it writes to less of its memory.
    """
    token = os.environ.pop(_VARIABLE, None)
    if token is None:
        run_before_freeze()
        return dict(os.environ)
    import_extension_modules()
    run_before_freeze()
    letterbox = Letterbox()
    flush_streams()
    gc.collect()
    for _time in range(_REHEARSALS):
        letterbox.post(sys.argv, os.environb)
        rehearsal(_renewed(letterbox))
    gc.freeze()
    letterbox.address(bytes.fromhex(token))
    os.kill(os.getpid(), signal.SIGSTOP)
    return _renewed(letterbox)


class Letterbox:
    """A buffer that the thaw writes to, and its words: length, number of arguments, kinds."""

    __slots__ = ("buffer", "words")

    def __init__(self) -> None:
        self.buffer = bytearray(_LETTERBOX_SIZE)
        self.words = memoryview(self.buffer).cast("Q")

    def address(self, token: bytes) -> None:
        """Mark it for the freezer."""
        self.buffer[: len(token)] = token
        self.words[len(token) // 8] = len(self.buffer)
        self.buffer[-len(token) :] = token

    def post(self, arguments: list[str], variables: Mapping[bytes, bytes]) -> None:
        """Fill it as a thaw does, in a process whose streams are pipes."""
        strings = [os.fsencode(argument) for argument in arguments]
        strings += [name + b"=" + value for name, value in variables.items()]
        block = b"".join(string + b"\0" for string in strings)
        self.words[0], self.words[1] = len(block), len(arguments)
        self.buffer[_KINDS : _KINDS + 3] = bytes((FIFO, FIFO, FIFO))
        self.buffer[_HEAD : _HEAD + len(block)] = block

    def strings(self) -> bytes:
        """What the thaw has put into it: arguments and variables, each with a NUL behind it."""
        length = self.words[0]
        if length != _TOO_LONG:
            return bytes(self.buffer[_HEAD : _HEAD + length])
        with open("/proc/self/cmdline", "rb") as arguments, open("/proc/self/environ", "rb") as env:
            return arguments.read() + env.read()


def _renewed(letterbox: Letterbox) -> dict[str, str]:
    """Do what a thaw, being a fork into another place and time, leaves to the program.

    Returns the new environment, as text as in os.environ.
    """
    count = letterbox.words[1]
    strings = letterbox.strings().split(b"\0")
    sys.argv[:] = [string.decode("utf-8", "surrogateescape") for string in strings[:count]]
    # As os.reload_environ of Python 3.14 does, which reads the environment from C.
    _environ.clear()
    env = {}
    for variable in strings[count:]:
        name, separator, value = variable.partition(b"=")
        if separator:
            _environ[name] = value
            env[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    renew_streams(letterbox.buffer[_KINDS:_HEAD])
    if random := sys.modules.get("random"):
        random.seed()
    return env
