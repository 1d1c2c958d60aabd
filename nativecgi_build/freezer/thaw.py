"""The thaw stub: thaw.S assembled, with a program's addresses and system calls filled in."""

import signal
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from msgspec import Struct

from nativecgi_build.freezer import cc, linux
from nativecgi_build.freezer.errors import Unsupported
from nativecgi_build.freezer.snapshot import (
    ANY_RESULT,
    Region,
    Reservation,
    Snapshot,
    SystemCall,
    Touch,
)

_SOURCE = Path(__file__).with_name("thaw.S")
_LETTER_HEAD = 24  # as in thaw.S
_ARGUMENTS = 6
_WORD = 8
_ROW = struct.Struct("<8Q")  # a call's number, its six arguments, its result

# struct kernel_sigaction: handler, flags, restorer, mask
_SIGACTION = struct.Struct("<4Q")
_SIGSET_SIZE = 8

_PROTECTION = {"r": linux.PROT_READ, "w": linux.PROT_WRITE, "x": linux.PROT_EXEC, "-": 0}


class Stub(Struct, frozen=True):
    """Assembled code: position-independent, entered at its first byte."""

    code: bytes
    words: dict[str, int]  # offsets of the words to be filled in, by label


def assemble() -> Stub:
    """Assemble thaw.S with the C compiler that is here; raises Unsupported where none is."""
    with tempfile.TemporaryDirectory(prefix="freezer-") as folder:
        output = cc.compiled([_SOURCE], Path(folder, "thaw.o"), "-c")
        with output.open("rb") as file:
            elf = ELFFile(file)
            text, symbols = (elf.get_section_by_name(name) for name in (".text", ".symtab"))
            if text is None or not isinstance(symbols, SymbolTableSection):
                raise Unsupported("the C compiler has assembled thaw.S without code or symbols")
            words = {symbol.name: symbol["st_value"] for symbol in symbols.iter_symbols()}
            return Stub(text.data(), words)


def mapping_call(reservation: Reservation) -> SystemCall:
    """The mmap(2) that makes a reservation.

    Nothing else can be at its address, which is between those of the image, in a process that has
    just begun. QEMU's user mode takes all from the lowest to the highest, so it must not be asked
    for what is free (MAP_FIXED_NOREPLACE).
    """
    address, size = reservation.address, reservation.size
    protection = _protection(reservation.permissions)
    return SystemCall(
        linux.SYS_MMAP,
        (address, size, protection, linux.ZEROS, linux.NO_FILE, 0),
        expected=address,
    )


def protecting_call(region: Region) -> SystemCall:
    """The mprotect(2) that gives a part of a larger segment the permissions it had."""
    protection = _protection(region.permissions)
    return SystemCall(linux.SYS_MPROTECT, (region.address, len(region.data), protection))


def _words(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def _protection(permissions: str) -> int:
    return sum(_PROTECTION[letter] for letter in permissions)


def huge_page_call(address: int, size: int) -> SystemCall:
    """The madvise(2) that has the kernel read the file mappings there in huge pages.

    What the page cache has lost, after a reboot say, is otherwise read back in small pieces, and
    mapped by them, which takes ten times as long. It fails for what is not mapped, having done
    the rest; a kernel without huge pages refuses.
    """
    return SystemCall(linux.SYS_MADVISE, (address, size, linux.MADV_HUGEPAGE), ANY_RESULT)


def illegal_instruction_call(stub: Stub, address: int) -> SystemCall:
    """The rt_sigaction(2) that has the stub, loaded at `address`, say what the CPU lacks.

    What libraries chose by the CPU is masked where that can be (freeze.py); where it cannot, a
    program dies of SIGILL on an older CPU. CPUID could tell before, but a hypervisor may take
    longer for it than a whole start may, and not every program gets to such an instruction.
    """
    flags = linux.SA_SIGINFO | linux.SA_RESTORER | linux.SA_RESETHAND
    handler, restorer = (address + stub.words[n] for n in ("illegal_instruction", "signal_return"))
    action = _SIGACTION.pack(handler, flags, restorer, 0)
    return SystemCall(linux.SYS_RT_SIGACTION, (signal.SIGILL, action, 0, _SIGSET_SIZE))


def link(
    stub: Stub,
    address: int,
    snapshot: Snapshot,
    calls: list[SystemCall],
    touches: Sequence[Touch] = (),
) -> bytes:
    """The stub for one program, to be loaded at `address`.

    It makes `calls` in order, and then `touches` the pages.
    """
    structures = bytearray()
    structures_address = address + len(stub.code) + len(calls) * _ROW.size

    def placed(argument: int | bytes) -> int:
        """An argument as a word: a structure's is its address."""
        if isinstance(argument, int):
            return argument
        place = structures_address + len(structures)
        structures.extend(argument + bytes(-len(argument) % _WORD))
        return place

    rows = bytearray()
    for call in calls:
        arguments = [placed(argument) for argument in call.arguments]
        arguments += [0] * (_ARGUMENTS - len(arguments))
        rows += _ROW.pack(call.number, *arguments, call.expected)

    values = {f"saved_{name}": value for name, value in snapshot.registers.items()}
    values |= {
        "tid_address": snapshot.tid_address,
        "frozen_id": snapshot.id,
        "curbrk_address": snapshot.curbrk_address,
        "environ_address": snapshot.environ_address,
        "call_count": len(calls),
        "canary_address": snapshot.canary.address,
        "copy_count": len(snapshot.canary.copies),
        "copies": placed(_words(snapshot.canary.copies)),
        "page_count": len(touches),
        "pages": placed(_words([t.address + (not t.is_written) for t in touches])),
    }
    if snapshot.letterbox is not None:
        values["letterbox"] = snapshot.letterbox.address
        values["letterbox_capacity"] = snapshot.letterbox.size - _LETTER_HEAD
    if snapshot.interrupt_action is not None:
        values["interrupt_action"] = placed(snapshot.interrupt_action)
    code = bytearray(stub.code)
    for name, value in values.items():
        struct.pack_into("<Q", code, stub.words[name], value)
    return bytes(code + rows + structures)
