"""Moves a program that is stopped before its first instruction to addresses that a seed gives.

Without address space randomization the kernel puts everything at addresses that it always uses.
From there the dynamic linker, an executable that may lie anywhere and the heap are moved, and
what the program maps later is steered. The stack, which prepare.py moves, is not its matter.
"""

import struct
from itertools import pairwise

from nativecgi_build.freezer import linux, procfs, ptrace, stack
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.prepare import syscall_instruction
from nativecgi_build.freezer.procfs import Mapping
from nativecgi_build.freezer.tracee import Tracee

# As many places as the kernel chooses from: 2^28 for the mappings and for the executable (x86's
# default of mmap_rnd_bits), 2^13 for the heap (32 MiB, arch_randomize_brk before Linux 6.9).
_PLACES = 2**28
_HEAP_PLACES = 2**13
# What is moved must not overlap with where it was. The executable goes up by so much more than
# the heap will grow.
_LINKER_AT_LEAST = 2**16
_EXECUTABLE_AT_LEAST = 2**28

_ELF_TYPE = 16  # where e_type is, in an ELF header
_ET_DYN = 3

_AT_RANDOM_SIZE = 16

# Memory that is taken and cannot be used: the kernel's search for free memory passes over it.
_TAKEN = linux.PRIVATE_ANONYMOUS

Range = tuple[int, int]  # where it starts and ends


def place(tracee: Tracee, chance: Chance) -> list[Range]:
    """Move the program; returns the memory to release at the freeze point."""
    registers = ptrace.get_registers(tracee.pid)
    mappings = procfs.mappings(tracee.pid)
    instruction = _borrowed_instruction(tracee)
    end = next(m.end for m in mappings if m.start <= registers.rsp < m.end)
    block = tracee.read(registers.rsp, end - registers.rsp)
    vector = stack.auxiliary_vector(block)

    _move_heap(tracee, instruction, chance.below(_HEAP_PLACES) * PAGE)
    up = (_EXECUTABLE_AT_LEAST + chance.below(_PLACES)) * PAGE
    down = (_LINKER_AT_LEAST + chance.below(_PLACES - _LINKER_AT_LEAST)) * PAGE

    changed: dict[int, int] = {}
    executable = _together_with(mappings, vector[stack.AT_PHDR])
    kind = struct.unpack("<H", tracee.read(executable[0].start + _ELF_TYPE, 2))[0]
    if kind == _ET_DYN and vector.get(stack.AT_BASE):
        _move(tracee, instruction, executable, up)
        changed |= {entry: vector[entry] + up for entry in (stack.AT_PHDR, stack.AT_ENTRY)}
    taken = []
    if vector.get(stack.AT_BASE):
        linker = _together_with(mappings, vector[stack.AT_BASE])
        _move(tracee, instruction, linker, -down)
        changed[stack.AT_BASE] = vector[stack.AT_BASE] - down
        registers.rip -= down
        ptrace.set_registers(tracee.pid, registers)
        taken = _take(tracee, instruction, linker[-1].end - down, linker[-1].end)
    tracee.write(registers.rsp, stack.with_auxiliary_values(block, changed))
    tracee.write(vector[stack.AT_RANDOM], chance.bytes(_AT_RANDOM_SIZE))
    return taken


def give_back(tracee: Tracee, taken: list[Range]) -> None:
    """Unmap what `place` has taken, of a program that is stopped at its freeze point."""
    for start, end in taken:
        tracee.call(_borrowed_instruction(tracee), linux.SYS_MUNMAP, start, end - start)


def _borrowed_instruction(tracee: Tracee) -> int:
    vdso = next(m for m in procfs.mappings(tracee.pid) if m.path == "[vdso]")
    return syscall_instruction(tracee, vdso)


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


def _move_heap(tracee: Tracee, instruction: int, distance: int) -> None:
    """Raise the program break, and leave nothing below it."""
    start = tracee.call(instruction, linux.SYS_BRK, 0)
    if distance:
        tracee.call(instruction, linux.SYS_BRK, start + distance)
        tracee.call(instruction, linux.SYS_MUNMAP, start, distance)


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
