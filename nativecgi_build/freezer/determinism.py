"""What a traced program gets to hear in the kernel's place of chance, time and identities.

The program makes its system calls as ever; where an answer would be another one at the next
build, it is changed before the program goes on. So is what the time stamp counter tells.
"""

import errno
import os
import signal
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from nativecgi_build.freezer import linux, ptrace
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.ptrace import Registers
from nativecgi_build.freezer.tracee import SYSCALL_INSTRUCTION, Tracee

# The process and thread id that the program believes to have. No process has it: ids are below
# 2^22 (PID_MAX_LIMIT), so what it does with it and is not in _IDS_IN fails and hits nobody.
IDENTITY = 2**22

# Where no time is given (SOURCE_DATE_EPOCH): 1980, with which formats like ZIP can begin.
THEN = 315532800
# Each look at a clock takes a millisecond, so that who waits for a time reaches it.
_TICK_NS = 1_000_000
# clockid_t of the clocks that tell the time of day: REALTIME, REALTIME_COARSE, TAI.
_CLOCKS_OF_DAY = (0, 5, 11)

# The arguments that are process or thread ids, by the number of the system call.
_IDS_IN = {
    linux.SYS_KILL: ("rdi",),
    linux.SYS_TKILL: ("rdi",),
    linux.SYS_TGKILL: ("rdi", "rsi"),
    linux.SYS_GETPGID: ("rdi",),
    linux.SYS_GETSID: ("rdi",),
    linux.SYS_PRLIMIT64: ("rdi",),
    linux.SYS_SCHED_SETAFFINITY: ("rdi",),
    linux.SYS_SCHED_GETAFFINITY: ("rdi",),
}
# Those that make a process or a thread, which is not traced.
_BIRTHS = (linux.SYS_CLONE, linux.SYS_FORK, linux.SYS_VFORK, linux.SYS_CLONE3)

_RANDOM_DEVICES = ("/dev/random", "/dev/urandom")

_STAT_SIZE = 144
_S_IFMT, _S_IFDIR, _S_IFREG = 0o170000, 0o040000, 0o100000
_BLOCK = 512
_FOLDER_SIZE = 4096

_DIRENT = struct.Struct("<QQHB")  # linux_dirent64 without the name: inode, offset, length, type

_SYSINFO = struct.Struct("<Q24xQ64xI4x")  # uptime, loads, total memory, the rest of it, its unit
_MEMORY = 1 << 30

_NODE_NAME, _NODE_NAME_SIZE = 65, 65  # in struct utsname

_RDTSC, _RDTSCP = b"\x0f\x31", b"\x0f\x01\xf9"
_PR_SET_TSC, _PR_TSC_ENABLE = 26, 1  # <sys/prctl.h>


class _Call(Struct):
    """A system call that has been made."""

    tracee: Tracee
    asked: Registers  # as it was entered
    result: int


class Determinism:
    """The answers for one process, the same for each that asks the same and has the same seed."""

    def __init__(self, chance: Chance, now: int = THEN) -> None:
        self._chance = chance
        self._now = now
        self._looks = 0
        self._files: dict[tuple[int, int], int] = {}  # numbers of inodes, in order of appearance
        # Where the kernel makes up files, and their times, as somebody looks.
        self._made_up = {
            path.stat().st_dev for path in map(Path, ("/proc", "/sys")) if path.exists()
        }
        self._asked: Registers | None = None  # as the system call was entered that goes on
        self._counter_is_hidden = True

    def give(self, tracee: Tracee, status: int) -> bool:
        """Answer what a stop (waitpid(2)) asks; returns whether it asks anything."""
        if not os.WIFSTOPPED(status):
            return False
        number = status >> 8
        if number == ptrace.SYSTEM_CALL_STOP:
            if self._asked is None:
                self._asked = self._enter(tracee)
            else:
                self._leave(tracee, self._asked)
                self._asked = None
            return True
        return number == signal.SIGSEGV and self._tell_counter(tracee)

    def _enter(self, tracee: Tracee) -> Registers:
        """See to what the kernel is asked; returns the registers with which it was."""
        asked = ptrace.get_registers(tracee.pid)
        changed = {
            name: tracee.pid
            for name in _IDS_IN.get(asked.orig_rax, ())
            if getattr(asked, name) == IDENTITY
        }
        if asked.orig_rax in _BIRTHS and self._counter_is_hidden:
            # A child would have no counter and nobody to answer for it: have another call made.
            changed = {"orig_rax": linux.SYS_PRCTL, "rdi": _PR_SET_TSC, "rsi": _PR_TSC_ENABLE}
        if changed:
            registers = ptrace.get_registers(tracee.pid)
            for name, value in changed.items():
                setattr(registers, name, value)
            ptrace.set_registers(tracee.pid, registers)
        return asked

    def _leave(self, tracee: Tracee, asked: Registers) -> None:
        """Change the answer and put back what was changed in the question."""
        number = asked.orig_rax
        registers = ptrace.get_registers(tracee.pid)
        if number in _BIRTHS and self._counter_is_hidden:
            self._counter_is_hidden = False
            asked.rax, asked.orig_rax = number, 2**64 - 1
            asked.rip -= len(SYSCALL_INSTRUCTION)  # now the call that was meant
            ptrace.set_registers(tracee.pid, asked)
            return
        for name in _IDS_IN.get(number, ()):
            setattr(registers, name, getattr(asked, name))
        if number in _ANSWERS and registers.rax < 2**64 - 4095:  # otherwise it has failed
            call = _Call(tracee, asked, registers.rax)
            _ANSWERS[number](self, call)
            registers.rax = call.result
        if number in _IDS_IN or number in _ANSWERS:
            ptrace.set_registers(tracee.pid, registers)

    def _tell_counter(self, tracee: Tracee) -> bool:
        """Run the instruction that reads the counter in its place, if it is one."""
        registers = ptrace.get_registers(tracee.pid)
        try:
            code = tracee.read(registers.rip, len(_RDTSCP))
        except OSError:
            return False
        if code == _RDTSCP:
            registers.rcx, registers.rip = 0, registers.rip + len(_RDTSCP)
        elif code.startswith(_RDTSC):
            registers.rip += len(_RDTSC)
        else:
            return False
        ticks = self._nanoseconds()
        registers.rax, registers.rdx = ticks & 0xFFFFFFFF, ticks >> 32
        ptrace.set_registers(tracee.pid, registers)
        return True

    def _nanoseconds(self) -> int:
        """How long the program believes to run."""
        self._looks += 1
        return self._looks * _TICK_NS

    # The answers, each in the place of one that the kernel has given.

    def _random(self, call: _Call) -> None:
        call.tracee.write(call.asked.rdi, self._chance.bytes(call.result))

    def _read(self, call: _Call) -> None:
        descriptor = f"/proc/{call.tracee.pid}/fd/{call.asked.rdi}"
        if call.result and os.readlink(descriptor) in _RANDOM_DEVICES:
            call.tracee.write(call.asked.rsi, self._chance.bytes(call.result))

    def _clock_gettime(self, call: _Call) -> None:
        seconds, nanoseconds = divmod(self._nanoseconds(), 10**9)
        if call.asked.rdi in _CLOCKS_OF_DAY:
            seconds += self._now
        call.tracee.write(call.asked.rsi, struct.pack("<QQ", seconds, nanoseconds))

    def _gettimeofday(self, call: _Call) -> None:
        seconds, nanoseconds = divmod(self._nanoseconds(), 10**9)
        if call.asked.rdi:
            call.tracee.write(
                call.asked.rdi, struct.pack("<QQ", self._now + seconds, nanoseconds // 1000)
            )

    def _time(self, call: _Call) -> None:
        call.result = self._now + self._nanoseconds() // 10**9
        if call.asked.rdi:
            call.tracee.write(call.asked.rdi, call.result.to_bytes(8, "little"))

    def _usage(self, call: _Call) -> None:
        call.tracee.write(call.asked.rsi, bytes(144))  # struct rusage

    def _times(self, call: _Call) -> None:
        if call.asked.rdi:
            call.tracee.write(call.asked.rdi, bytes(32))  # struct tms
        call.result = self._nanoseconds() // 10**7

    def _identity(self, call: _Call) -> None:
        if call.result == call.tracee.pid:
            call.result = IDENTITY

    def _parent(self, call: _Call) -> None:
        call.result = 1

    def _stat_path(self, call: _Call) -> None:
        self._stat(call.tracee, call.asked.rsi)

    def _stat_at(self, call: _Call) -> None:
        self._stat(call.tracee, call.asked.rdx)

    def _stat(self, tracee: Tracee, address: int) -> None:
        """Leave of struct stat what a copy of the file has as well.

        The dynamic linker and others know a file again by its inode: each has a number of its own.
        """
        data = bytearray(tracee.read(address, _STAT_SIZE))
        device, inode, _links, mode = struct.unpack_from("<QQQI", data)
        (size,), (changed,) = struct.unpack_from("<Q", data, 48), struct.unpack_from("<Q", data, 88)
        if mode & _S_IFMT == _S_IFDIR:
            size = _FOLDER_SIZE
        # A file's time decides on whether what is compiled from it is current.
        if mode & _S_IFMT != _S_IFREG or device in self._made_up:
            changed = self._now
        number = self._files.setdefault((device, inode), len(self._files) + 1)
        struct.pack_into("<QQ", data, 0, 1, number)
        struct.pack_into("<QQQ", data, 48, size, _FOLDER_SIZE, -(-size // _BLOCK))
        # Of access, of its data, of its inode; each is seconds and nanoseconds.
        struct.pack_into("<QQQQQQ", data, 72, self._now, 0, changed, 0, self._now, 0)
        tracee.write(address, bytes(data))

    def _statx(self, call: _Call) -> None:
        """It is new enough for everybody to know what to do without: to call one of the others."""
        call.result = 2**64 - errno.ENOSYS

    def _list(self, call: _Call) -> None:
        """Sort the names of a folder, as many as the program takes at a time."""
        data, entries, offset = call.tracee.read(call.asked.rsi, call.result), [], 0
        while offset < call.result:
            _inode, _offset, length, kind = _DIRENT.unpack_from(data, offset)
            name = data[offset + _DIRENT.size : offset + length].split(b"\0")[0]
            entries.append((name, kind, length))
            offset += length
        call.tracee.write(
            call.asked.rsi,
            b"".join(
                (_DIRENT.pack(1, index, length, kind) + name).ljust(length, b"\0")
                for index, (name, kind, length) in enumerate(sorted(entries), start=1)
            ),
        )

    def _sysinfo(self, call: _Call) -> None:
        call.tracee.write(call.asked.rdi, _SYSINFO.pack(1, _MEMORY, 1))

    def _uname(self, call: _Call) -> None:
        name = b"localhost".ljust(_NODE_NAME_SIZE, b"\0")
        call.tracee.write(call.asked.rdi + _NODE_NAME, name)


_Answer = Callable[[Determinism, _Call], None]

_ANSWERS: Mapping[int, _Answer] = {
    linux.SYS_READ: Determinism._read,
    linux.SYS_STAT: Determinism._stat_path,
    linux.SYS_FSTAT: Determinism._stat_path,
    linux.SYS_LSTAT: Determinism._stat_path,
    linux.SYS_NEWFSTATAT: Determinism._stat_at,
    linux.SYS_STATX: Determinism._statx,
    linux.SYS_GETDENTS64: Determinism._list,
    linux.SYS_GETPID: Determinism._identity,
    linux.SYS_GETTID: Determinism._identity,
    linux.SYS_GETPGRP: Determinism._identity,
    linux.SYS_GETPGID: Determinism._identity,
    linux.SYS_GETSID: Determinism._identity,
    linux.SYS_GETPPID: Determinism._parent,
    linux.SYS_GETTIMEOFDAY: Determinism._gettimeofday,
    linux.SYS_TIME: Determinism._time,
    linux.SYS_CLOCK_GETTIME: Determinism._clock_gettime,
    linux.SYS_GETRUSAGE: Determinism._usage,
    linux.SYS_TIMES: Determinism._times,
    linux.SYS_SYSINFO: Determinism._sysinfo,
    linux.SYS_UNAME: Determinism._uname,
    linux.SYS_GETRANDOM: Determinism._random,
}
