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
import struct
import sys
from collections.abc import Callable, Mapping

from nativecgi.chance import watch
from nativecgi.closedworld import import_extension_modules
from nativecgi.hooks import run_before_freeze
from nativecgi.immortal import immortalize
from nativecgi.memory import fill_pools
from nativecgi.renewal import Renewal, forget, renewals, unrehearsed
from nativecgi.streams import FIFO, flush_streams, occupy_closed, renew_streams
from nativecgi.threads import show_threads

_VARIABLE = "FREEZE_POINT"
# Servers limit a request's header to 8 to 32 KiB by default; what does not fit is read from
# /proc, where that is mounted.
_LETTERBOX_SIZE = 64 * 1024
_KINDS, _HEAD = 16, 24  # offsets of the streams' kinds and of the strings
_TOO_LONG = 2**64 - 1
# The interpreter adapts a function's code to what it sees when it has run a few times (PEP 659).
_REHEARSALS = 20

_environ: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
_renewals: list[Renewal] = []

if _VARIABLE in os.environ:
    watch()


def reach(
    prepare: Callable[[], object], rehearsal: Callable[[dict[str, str]], object]
) -> dict[str, str]:
    """Run the hooks for it, and be frozen if a freezer has started this program.

    After it the process is as if it had just started: sys.argv, os.environ, the standard
    streams, chance and time are its own. Returns its environment.

    `prepare` is called before a freeze, to make what all processes can share. `rehearsal` is
    called with the environment right before it, to do what each process will do: the
    interpreter's caches and free lists are then as a process needs them, and it writes to less
    of its memory. So it should import nothing: that would lie between what it touches.
    """
    token = os.environ.pop(_VARIABLE, None)
    if token is None:
        run_before_freeze()
        occupy_closed()
        return dict(os.environ)
    import_extension_modules()
    prepare()
    run_before_freeze()
    show_threads()
    forget()
    _renewals.extend(renewals())
    letterbox = bytearray(_LETTERBOX_SIZE)
    words = memoryview(letterbox).cast("Q")
    flush_streams()
    gc.collect()
    fill_pools()
    variables = dict(os.environb)
    for _time in range(_REHEARSALS):
        _post(letterbox, ["/program"], variables)
        rehearsal(_renewed(letterbox, words))
    only_thawed = unrehearsed()
    # What a process replaces is gone already: there it would have to be freed.
    sys.argv.clear()
    _environ.clear()
    immortalize()
    gc.freeze()
    _address(letterbox, bytes.fromhex(token))
    os.kill(os.getpid(), signal.SIGSTOP)
    env = _renewed(letterbox, words)
    for renew in only_thawed:
        renew()
    return env


def _address(letterbox: bytearray, token: bytes) -> None:
    """Mark the letterbox for the freezer."""
    letterbox[: len(token)] = token
    letterbox[len(token) : len(token) + 8] = len(letterbox).to_bytes(8, "little")
    letterbox[-len(token) :] = token


def _post(letterbox: bytearray, arguments: list[str], variables: Mapping[bytes, bytes]) -> None:
    """Fill the letterbox as a thaw does, in a process whose streams are pipes."""
    strings = [os.fsencode(argument) for argument in arguments]
    strings += [name + b"=" + value for name, value in variables.items()]
    block = b"".join(string + b"\0" for string in strings)
    letterbox[:_KINDS] = struct.pack("<QQ", len(block), len(arguments))
    letterbox[_KINDS : _KINDS + 3] = bytes((FIFO, FIFO, FIFO))
    letterbox[_HEAD : _HEAD + len(block)] = block


def _renewed(letterbox: bytearray, words: memoryview) -> dict[str, str]:
    """Do what a thaw, being a fork into another place and time, leaves to the program.

    `words` are the letterbox as integers. Returns the new environment, as text as in os.environ.

    Each object that is looked at costs a process a page of memory, since its reference count
    is written to; so what is here is as little as will do.
    """
    length, count = words[0], words[1]
    if length == _TOO_LONG:
        strings = _from_proc()
    else:
        strings = bytes(letterbox[_HEAD : _HEAD + length]).split(b"\0")
    sys.argv[:] = [string.decode("utf-8", "surrogateescape") for string in strings[:count]]
    # As os.reload_environ of Python 3.14 does, which reads the environment from C.
    _environ.clear()
    env = {}
    for variable in strings[count:]:
        name, separator, value = variable.partition(b"=")
        # The first of a name is the one that counts, as for getenv(3) and os.environ.
        if separator and name not in _environ:
            _environ[name] = value
            env[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    program = sys.argv[0] if sys.argv else ""
    # There is no interpreter to be run. Who finds a program by PATH does not say where it is.
    sys.executable = os.path.abspath(program) if os.sep in program else ""
    renew_streams(letterbox[_KINDS:_HEAD])
    for renew in _renewals:
        renew()
    return env


def _from_proc() -> list[bytes]:
    """The arguments and variables that were too long for the letterbox."""
    with open("/proc/self/cmdline", "rb") as arguments, open("/proc/self/environ", "rb") as env:
        return (arguments.read() + env.read()).split(b"\0")
