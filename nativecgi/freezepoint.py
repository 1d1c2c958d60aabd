"""The freeze point: where a program is frozen, and where every new process goes on.

The protocol with the freezer: it sets the environment variable FREEZE_POINT to a token of 32
hexadecimal digits. The program gets ready, leaves a letterbox and stops itself with SIGSTOP.
The letterbox is a buffer that begins with the token's 16 bytes and its own size (8 bytes,
little-endian) and ends with the token; a thaw puts into it the length of the new process's
strings (8 bytes, all ones if they do not fit), the number of its arguments (8 bytes), and the
strings of its command line and environment, each with a NUL behind it.
"""

import gc
import os
import signal
import sys

from nativecgi.closedworld import import_extension_modules
from nativecgi.hooks import run_after_thaw, run_before_freeze
from nativecgi.streams import flush_streams, renew_streams

_VARIABLE = "FREEZE_POINT"
# Servers limit a request's header to 8 to 32 KiB by default; what does not fit is read from
# /proc, where that is mounted.
_LETTERBOX_SIZE = 64 * 1024
_HEAD = 16
_TOO_LONG = 2**64 - 1


def reach() -> None:
    """Run the hooks, and be frozen between them if a freezer has started this program.

    After it the process is as if it had just started: sys.argv, os.environ, the standard
    streams and `random` are its own.
    """
    token = os.environ.pop(_VARIABLE, None)
    if token is not None:
        import_extension_modules()
    run_before_freeze()
    if token is not None:
        letterbox = _letterbox(bytes.fromhex(token))
        flush_streams()
        gc.collect()
        gc.freeze()
        os.kill(os.getpid(), signal.SIGSTOP)
        _renew(letterbox)
    run_after_thaw()


def _letterbox(token: bytes) -> bytearray:
    letterbox = bytearray(_LETTERBOX_SIZE)
    letterbox[: len(token)] = token
    letterbox[len(token) : len(token) + 8] = _LETTERBOX_SIZE.to_bytes(8, "little")
    letterbox[-len(token) :] = token
    return letterbox


def _renew(letterbox: bytearray) -> None:
    """What a thaw, being a fork into another place and time, leaves to the program."""
    arguments, variables = _delivered(letterbox)
    sys.argv[:] = [os.fsdecode(argument) for argument in arguments]
    environ = os.environ._data  # type: ignore[attr-defined]  # as os.reload_environ of 3.14 does
    environ.clear()
    for variable in variables:
        name, separator, value = variable.partition(b"=")
        if separator:
            environ[name] = value
    renew_streams()
    if random := sys.modules.get("random"):
        random.seed()


def _delivered(letterbox: bytearray) -> tuple[list[bytes], list[bytes]]:
    """The new process's arguments and environment."""
    length = int.from_bytes(letterbox[:8], "little")
    count = int.from_bytes(letterbox[8:16], "little")
    if length != _TOO_LONG:
        strings = letterbox[_HEAD : _HEAD + length]
        first, *rest = bytes(strings).split(b"\0", count) if count else [bytes(strings)]
        return [first, *rest[:-1]], rest[-1].split(b"\0")[:-1]
    with open("/proc/self/cmdline", "rb") as cmdline, open("/proc/self/environ", "rb") as environ:
        return cmdline.read().split(b"\0")[:-1], environ.read().split(b"\0")[:-1]
