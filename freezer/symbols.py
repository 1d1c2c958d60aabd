"""Symbols of a stopped process, found in the ELF files that it has mapped."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import ELFHashSection, GNUHashSection
from elftools.elf.sections import Symbol, SymbolTableSection

from freezer import procfs
from freezer.errors import CannotFreeze
from freezer.linux import PAGE
from freezer.procfs import Mapping


def addresses(pid: int, mappings: Sequence[Mapping], names: Sequence[str]) -> dict[str, int]:
    """The addresses of those of these symbols that a process has.

    Raises CannotFreeze where a file that it has mapped cannot be read.
    """
    found: dict[str, int] = {}
    for path, start in mapped_programs(pid, mappings):
        for name, address in _defined(path, start, names):
            found.setdefault(name, address)
    return found


def mapped_programs(pid: int, mappings: Sequence[Mapping]) -> Iterator[tuple[Path, int]]:
    """The files whose code a process has mapped, and where they begin.

    The executable comes first: one that is linked at a fixed address has copies of its own of
    variables it uses (R_X86_64_COPY), and the dynamic linker makes the library use those.
    """
    code = [m.path for m in mappings if m.path.startswith("/") and "x" in m.permissions]
    for path in dict.fromkeys([str(procfs.executable(pid)), *code]):
        yield Path(path), min(mapping.start for mapping in mappings if mapping.path == path)


def load_bias(elf: ELFFile, start: int) -> int:
    """How far from its own addresses an ELF file lies that is mapped from `start`."""
    first = min((s["p_vaddr"] for s in elf.iter_segments("PT_LOAD")), default=start)
    return int(start - (first & -PAGE))


def _defined(path: Path, start: int, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Those of the symbols that an ELF file mapped from `start` defines, with addresses."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            bias = load_bias(elf, start)
            for name in names:
                symbol = _symbol(elf, name)
                if symbol is not None and symbol["st_shndx"] != "SHN_UNDEF":
                    yield name, bias + symbol["st_value"]
    except ELFError:
        return  # a mapped file that is no ELF file
    except OSError as error:
        raise CannotFreeze(f"cannot read {path}, which the program has mapped: {error}") from error


def _symbol(elf: ELFFile, name: str) -> Symbol | None:
    """Look a symbol up: by hash among those for the dynamic linker, else among all."""
    for section_name in (".gnu.hash", ".hash", ".symtab"):
        match elf.get_section_by_name(section_name):
            case GNUHashSection() | ELFHashSection() as table:
                return table.get_symbol(name)
            case SymbolTableSection() as table:
                return next(iter(table.get_symbol_by_name(name) or ()), None)
    return None
