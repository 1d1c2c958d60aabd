"""Moves a program that is stopped before its first instruction to addresses that chance gives.

Its memory then lies close together, at an address that differs from build to build, or that the
seed gives:

    what it maps, downwards | dynamic linker | executable | guard, stack | thaw stub

There is no heap of brk(2): what a program allocates lies among what it maps. An executable that was
linked to lie at one address stays there.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from nativecgi_build.freezer import linux, procfs, ptrace, stack
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.linux import HUGE_PAGE, PAGE
from nativecgi_build.freezer.prepare import NEEDED, syscall_instruction
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.tracee import Tracee

# As many places as the kernel chooses from: 2^28 for a mapping (x86's default of mmap_rnd_bits).
_PLACES = 2**28
# Above the dynamic linker is room for the executable, stack and stub; where it was is not in it.
_AT_LEAST = 2**18

# Far from where the kernel puts anything.
_ALONE = 0x1000_0000_0000

_ELF_TYPE = 16  # where e_type is, in an ELF header
_ET_DYN = 3

_AT_RANDOM_SIZE = 16

# Memory that is taken and cannot be used: the kernel's search for free memory passes over it.
_TAKEN = linux.PRIVATE_ANONYMOUS

Range = tuple[int, int]  # where it starts and ends


class Placed(Struct, frozen=True):
    """Where a program has been moved to."""

    stack_area: int  # where there is room for what prepare.py moves
    taken: Sequence[Range]  # the memory to release at the freeze point
    instruction: int  # the address of a `syscall` instruction


def place(tracee: Tracee, chance: Chance) -> Placed:
    """Move the program; one that has no dynamic linker stays where it is."""
    registers = ptrace.get_registers(tracee.pid)
    mappings = procfs.mappings(tracee.pid)
    vdso = next(m for m in mappings if m.path == "[vdso]")
    instruction = syscall_instruction(tracee, vdso)
    end = next(m.end for m in mappings if m.start <= registers.rsp < m.end)
    block = tracee.read(registers.rsp, end - registers.rsp)
    vector = stack.auxiliary_vector(block)
    down = (_AT_LEAST + chance.below(_PLACES - _AT_LEAST)) * PAGE
    random = chance.bytes(_AT_RANDOM_SIZE)
    if not vector.get(stack.AT_BASE):
        return Placed(_ALONE + down, (), instruction)

    linker = _together_with(mappings, vector[stack.AT_BASE])
    _move(tracee, instruction, linker, -down)
    changed = {stack.AT_BASE: vector[stack.AT_BASE] - down}
    registers.rip -= down
    ptrace.set_registers(tracee.pid, registers)
    free = linker[-1].end - down
    executable = _together_with(mappings, vector[stack.AT_PHDR])
    kind = struct.unpack("<H", tracee.read(executable[0].start + _ELF_TYPE, 2))[0]
    if kind == _ET_DYN:
        distance = free + -free % HUGE_PAGE - executable[0].start
        _move(tracee, instruction, executable, distance)
        changed |= {entry: vector[entry] + distance for entry in (stack.AT_PHDR, stack.AT_ENTRY)}
        free = executable[-1].end + distance
    tracee.write(registers.rsp, stack.with_auxiliary_values(block, changed))
    tracee.write(vector[stack.AT_RANDOM], random)
    taken = _take(tracee, instruction, free + NEEDED, linker[-1].end)
    return Placed(free, [*taken, *_without_heap(tracee, instruction)], instruction)


def give_back(tracee: Tracee, placed: Placed) -> None:
    """Unmap what `place` has taken, of a program that is stopped at its freeze point."""
    for start, end in placed.taken:
        tracee.call(placed.instruction, linux.SYS_MUNMAP, start, end - start)


def _together_with(mappings: list[Mapping], address: int) -> list[Mapping]:
    """The mappings of the file at an address, and the zeros that follow them.

    There may be holes between them: what patchelf adds lies apart.
    """
    path = next(m.path for m in mappings if m.start <= address < m.end)
    found: list[Mapping] = []
    for mapping in mappings:
        is_behind = bool(found) and mapping.start == found[-1].end and not mapping.path
        if mapping.path == path or is_behind:
            found.append(mapping)
    return found


def _move(tracee: Tracee, instruction: int, mappings: list[Mapping], distance: int) -> None:
    for mapping in mappings:
        tracee.call(
            instruction,
            *(linux.SYS_MREMAP, mapping.start, mapping.size, mapping.size),
            *(linux.MREMAP_MAYMOVE | linux.MREMAP_FIXED, mapping.start + distance),
        )


def _without_heap(tracee: Tracee, instruction: int) -> list[Range]:
    """Have brk(2) fail: malloc(3) then uses mmap(2)."""
    start = tracee.call(instruction, linux.SYS_BRK, 0)
    return _take(tracee, instruction, start, start + PAGE)


def _take(tracee: Tracee, instruction: int, start: int, end: int) -> list[Range]:
    """Map everything free from `start` to `end`, so that nothing else is put there.

    The kernel gives a program the highest free memory below `end`; where it is set to begin with
    the lowest (vm.legacy_va_layout), that is the same in each build, but not the seed's.
    """
    inside = [m for m in procfs.mappings(tracee.pid) if start <= m.start < end]
    edges = [start, *(edge for m in inside for edge in (m.start, m.end)), end]
    holes = [hole for hole in list(pairwise(edges))[::2] if hole[0] < hole[1]]
    for first, last in holes:
        tracee.call(
            instruction, *(linux.SYS_MMAP, first, last - first, 0), *(_TAKEN, linux.NO_FILE, 0)
        )
    return holes
