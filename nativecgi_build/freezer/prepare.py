"""Before a program's first instruction: give it a stack at an address that can be kept.

The kernel puts stack and vDSO at the top of the address space, where every new process has
its own. So the stack is moved, and the vDSO is hidden.
"""

import resource

from msgspec import Struct

from nativecgi_build.freezer import linux, procfs, ptrace, stack
from nativecgi_build.freezer.attributes import attributes
from nativecgi_build.freezer.errors import Unsupported
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.tracee import SYSCALL_INSTRUCTION, Tracee

STACK_SIZE = 8 * 1024 * 1024  # Linux's usual RLIMIT_STACK
# As much as the kernel keeps free below a stack (stack_guard_gap, mm/mmap.c).
_GUARD_SIZE = 1024 * 1024

# The thaw stub goes above the stack, at this distance.
_STUB_GAP = 1024 * 1024
# How much memory the stack takes.
NEEDED = _GUARD_SIZE + STACK_SIZE


class Prepared(Struct, frozen=True):
    """Where the traced program's own stack is, and what on it speaks of the builder."""

    stub_address: int
    stack_start: int
    stack_end: int
    argument_strings: tuple[tuple[int, int], ...]  # (address, length) each
    attributes: dict[str, str]  # what the kernel keeps of it (attributes.py)


def prepare(tracee: Tracee, area: int) -> Prepared:
    """Move the stack of a program that is stopped before its first instruction.

    `area` is where there are NEEDED bytes for that.
    """
    registers = ptrace.get_registers(tracee.pid)
    mappings = {mapping.path: mapping for mapping in procfs.mappings(tracee.pid)}
    if "[stack]" not in mappings or "[vdso]" not in mappings:
        raise Unsupported("this kernel names no [stack] and [vdso] in /proc/PID/maps")
    block = tracee.read(registers.rsp, mappings["[stack]"].end - registers.rsp)

    start = area + _GUARD_SIZE
    end = start + STACK_SIZE
    instruction = syscall_instruction(tracee, mappings["[vdso]"])
    for address, size, protection in (
        (area, _GUARD_SIZE, linux.PROT_NONE),
        (start, STACK_SIZE, linux.PROT_READ | linux.PROT_WRITE),
    ):
        tracee.call(
            *(instruction, linux.SYS_MMAP, address, size, protection),
            *(linux.PRIVATE_ANONYMOUS | linux.MAP_STACK, linux.NO_FILE, 0),
        )
    # The block ended at a page's end and does so again: what was aligned stays aligned.
    address = end - len(block)
    tracee.write(address, stack.moved(block, registers.rsp, address))
    strings = tuple(stack.argument_strings(tracee.read(address, len(block)), address))
    registers.rsp = address
    ptrace.set_registers(tracee.pid, registers)

    # The layout is decided; from here on the program sees, and glibc bases the size of its
    # threads' stacks on, an ordinary limit.
    hard = resource.prlimit(tracee.pid, resource.RLIMIT_STACK)[1]
    resource.prlimit(tracee.pid, resource.RLIMIT_STACK, (STACK_SIZE, hard))
    known = attributes(tracee, instruction, start)
    tracee.write(start, bytes(PAGE))
    return Prepared(end + _STUB_GAP, start, end, strings, known)


def syscall_instruction(tracee: Tracee, vdso: procfs.Mapping) -> int:
    """The address of a `syscall` instruction: the vDSO has one to fall back on."""
    offset = tracee.read(vdso.start, vdso.size).find(SYSCALL_INSTRUCTION)
    if offset < 0:
        raise Unsupported("this kernel's vDSO has no syscall instruction to borrow")
    return vdso.start + offset
