"""ptrace(2) for x86-64, through ctypes: just the requests that the freezer makes.

python-ptrace was considered and left: it is GPL-2.0, starts a C compiler at import to find
libc (ctypes.util.find_library) and lacks PTRACE_O_EXITKILL.
"""

import ctypes
import os
import signal

# From <sys/ptrace.h>; the meaning of each is in ptrace(2).
_TRACEME = 0
_CONT = 7
_SINGLESTEP = 9
_GETREGS = 12
_SETREGS = 13
_GETFPREGS = 14
_SYSCALL = 24
_SETOPTIONS = 0x4200
_GETEVENTMSG = 0x4201
_GETSIGINFO = 0x4202

O_TRACESYSGOOD = 0x01
O_TRACEEXEC = 0x10
O_TRACEEXIT = 0x40
O_EXITKILL = 0x100000
# How a stop at a system call shows in its status (with O_TRACESYSGOOD).
SYSTEM_CALL_STOP = signal.SIGTRAP | 0x80
EVENT_EXEC = 4
EVENT_EXIT = 6

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class Registers(ctypes.Structure):
    """struct user_regs_struct of <sys/user.h>."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs "
            "eflags rsp ss fs_base gs_base ds es fs gs"
        ).split()
    ]

    def __getattr__(self, name: str) -> int:
        """Only tells the type checker what the fields are; ctypes finds them first."""
        raise AttributeError(name)


class FloatingPointRegisters(ctypes.Structure):
    """The head of struct user_fpregs_struct of <sys/user.h>, which is 512 bytes long."""

    _fields_ = [
        ("control_word", ctypes.c_uint16),
        ("_status_to_rdp", ctypes.c_uint8 * 22),
        ("mxcsr", ctypes.c_uint32),
        ("_rest", ctypes.c_uint8 * 484),
    ]
    control_word: int
    mxcsr: int


class SignalInfo(ctypes.Structure):
    """The head of siginfo_t of <signal.h>, which is 128 bytes long.

    Its origin is the process that has sent it, or the address that a memory error is about.
    """

    _fields_ = [
        ("number", ctypes.c_int),
        ("error", ctypes.c_int),
        ("code", ctypes.c_int),
        ("_padding", ctypes.c_int),
        ("_origin", ctypes.c_uint64),
        ("_rest", ctypes.c_uint8 * 104),
    ]
    number: int
    _origin: int

    @property
    def sender(self) -> int:
        """The process that has sent it."""
        return self._origin & 0xFFFFFFFF

    @property
    def address(self) -> int:
        """The address that an instruction has failed at (SIGSEGV)."""
        return self._origin


def _call(request: int, pid: int, data: "int | ctypes.Structure" = 0) -> None:
    pointer = data if isinstance(data, int) else ctypes.addressof(data)
    if _ptrace(request, pid, None, pointer) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace request {request:#x}: {os.strerror(error)}")


def trace_me() -> None:
    """Let the parent trace this process; the next execve(2) stops it with SIGTRAP."""
    _call(_TRACEME, 0)


def set_options(pid: int, options: int) -> None:
    """Set `O_...` options on a stopped tracee."""
    _call(_SETOPTIONS, pid, options)


def resume(pid: int, number: int = 0) -> None:
    """Let a stopped tracee run on, delivering the signal `number` to it unless 0."""
    _call(_CONT, pid, number)


def resume_to_system_call(pid: int, number: int = 0) -> None:
    """Likewise, but stop it where it enters or leaves a system call."""
    _call(_SYSCALL, pid, number)


def single_step(pid: int) -> None:
    """Run one instruction of a stopped tracee; it then stops with SIGTRAP."""
    _call(_SINGLESTEP, pid)


def get_registers(pid: int) -> Registers:
    """The general registers of a stopped tracee."""
    registers = Registers()
    _call(_GETREGS, pid, registers)
    return registers


def set_registers(pid: int, registers: Registers) -> None:
    """Set the general registers of a stopped tracee."""
    _call(_SETREGS, pid, registers)


def get_floating_point_registers(pid: int) -> FloatingPointRegisters:
    """The x87 and SSE control registers of a stopped tracee."""
    registers = FloatingPointRegisters()
    _call(_GETFPREGS, pid, registers)
    return registers


def get_event_message(pid: int) -> int:
    """What an event stop tells (PTRACE_GETEVENTMSG): the wait status at an exit."""
    message = ctypes.c_ulong()
    _call(_GETEVENTMSG, pid, ctypes.addressof(message))
    return message.value


def get_signal_info(pid: int) -> SignalInfo:
    """What stopped a tracee that is in a signal-delivery-stop."""
    info = SignalInfo()
    _call(_GETSIGINFO, pid, info)
    return info
