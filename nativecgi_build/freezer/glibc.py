"""The variables of the C library that a thaw must set, found in the program's symbol tables."""

from msgspec import Struct

from nativecgi_build.freezer import procfs, symbols
from nativecgi_build.freezer.errors import Unsupported
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.tracee import Tracee

# The names under which the environment's variable is known; they are aliases (environ(7)).
_ENVIRON = ("environ", "__environ", "_environ")
# Where brk(2)'s wrapper keeps the program break.
_CURBRK = "__curbrk"
# libthread_db's description of the thread id's place in struct pthread: its size in bits, a
# count, its offset in bytes (nptl_db/db_info.c, DB_STRUCT_FIELD).
_TID_FIELD = "_thread_db_pthread_tid"
# The stack protector's canary, behind the thread pointer: gcc's -mstack-protector-guard-offset
# on x86-64, and header.stack_guard in glibc's nptl/descr.h.
_CANARY_OFFSET = 0x28


class Glibc(Struct, frozen=True):
    """Addresses of variables in a process."""

    environ: int
    curbrk: int
    tid: int
    canary: int


def find(tracee: Tracee, mappings: list[Mapping], thread_pointer: int) -> Glibc:
    """Find glibc's variables in a stopped process whose fs_base is `thread_pointer`.

    Raises Unsupported where the program runs on another C library or cannot be read.
    """
    found = symbols.addresses(tracee.pid, mappings, (*_ENVIRON, _CURBRK, _TID_FIELD))
    environ = next((found[name] for name in _ENVIRON if name in found), None)
    if environ is None or _CURBRK not in found or _TID_FIELD not in found:
        raise Unsupported(
            f"{procfs.executable(tracee.pid)} shows no symbols of the GNU C library "
            f"({_ENVIRON[0]}, {_CURBRK}, {_TID_FIELD}); programs linked statically or to another "
            "C library cannot be frozen"
        )
    bits, _count, offset = (tracee.read_integer(found[_TID_FIELD] + at, 4) for at in (0, 4, 8))
    tid = thread_pointer + offset
    if bits != 32 or tracee.read_integer(tid, 4) != tracee.pid:
        raise Unsupported("the thread id is not where glibc says it is")
    return Glibc(environ, found[_CURBRK], tid, thread_pointer + _CANARY_OFFSET)
