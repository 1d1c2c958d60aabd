"""The variables of the C library that a thaw must set, found in the program's symbol tables."""

from collections.abc import Iterator
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import ELFHashSection, GNUHashSection
from elftools.elf.sections import Symbol, SymbolTableSection
from msgspec import Struct

from freezer import procfs
from freezer.errors import CannotFreeze, Unsupported
from freezer.linux import PAGE
from freezer.procfs import Mapping
from freezer.tracee import Tracee

# The names under which the environment's variable is known; they are aliases (environ(7)).
_ENVIRON = ("environ", "__environ", "_environ")
# Where brk(2)'s wrapper keeps the program break.
_CURBRK = "__curbrk"
# libthread_db's description of the thread id's place in struct pthread: its size in bits, a
# count, its offset in bytes (nptl_db/db_info.c, DB_STRUCT_FIELD).
_TID_FIELD = "_thread_db_pthread_tid"


class Glibc(Struct, frozen=True):
    """Addresses of variables in a process."""

    environ: int
    curbrk: int
    tid: int


def find(tracee: Tracee, mappings: list[Mapping], thread_pointer: int) -> Glibc:
    """Find glibc's variables in a stopped process whose fs_base is `thread_pointer`.

    Raises Unsupported where the program runs on another C library or cannot be read.
    """
    symbols: dict[str, int] = {}
    # The executable's come first: one that is linked at a fixed address has copies of its own
    # of variables it uses (R_X86_64_COPY), and the dynamic linker makes the library use those.
    executable = str(procfs.executable(tracee.pid))
    paths = dict.fromkeys(
        [executable] + [m.path for m in mappings if m.path.startswith("/") and "x" in m.permissions]
    )
    for path in paths:
        start = min(mapping.start for mapping in mappings if mapping.path == path)
        for name, address in _defined(Path(path), start):
            symbols.setdefault(name, address)

    environ = next((symbols[name] for name in _ENVIRON if name in symbols), None)
    if environ is None or _CURBRK not in symbols or _TID_FIELD not in symbols:
        raise Unsupported(
            f"{executable} shows no symbols of the GNU C library ({_ENVIRON[0]}, {_CURBRK}, "
            f"{_TID_FIELD}); programs linked statically or to another C library cannot be frozen"
        )
    bits, _count, offset = (tracee.read_integer(symbols[_TID_FIELD] + at, 4) for at in (0, 4, 8))
    tid = thread_pointer + offset
    if bits != 32 or tracee.read_integer(tid, 4) != tracee.pid:
        raise Unsupported("the thread id is not where glibc says it is")
    return Glibc(environ, symbols[_CURBRK], tid)


def _defined(path: Path, start: int) -> Iterator[tuple[str, int]]:
    """The symbols wanted here that an ELF file mapped from `start` defines, with addresses."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            bias = load_bias(elf, start)
            for name in (*_ENVIRON, _CURBRK, _TID_FIELD):
                symbol = _symbol(elf, name)
                if symbol is not None and symbol["st_shndx"] != "SHN_UNDEF":
                    yield name, bias + symbol["st_value"]
    except ELFError:
        return  # a mapped file that is no ELF file
    except OSError as error:
        raise CannotFreeze(f"cannot read {path}, which the program has mapped: {error}") from error


def load_bias(elf: ELFFile, start: int) -> int:
    """How far from its own addresses an ELF file lies that is mapped from `start`."""
    first = min((s["p_vaddr"] for s in elf.iter_segments("PT_LOAD")), default=start)
    return int(start - (first & -PAGE))


def _symbol(elf: ELFFile, name: str) -> Symbol | None:
    """Look a symbol up: by hash among those for the dynamic linker, else among all."""
    for section_name in (".gnu.hash", ".hash", ".symtab"):
        match elf.get_section_by_name(section_name):
            case GNUHashSection() | ELFHashSection() as table:
                return table.get_symbol(name)
            case SymbolTableSection() as table:
                return next(iter(table.get_symbol_by_name(name) or ()), None)
    return None
