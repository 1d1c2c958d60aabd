"""Runs its arguments as a command that may make an ordinary program's system calls and no others.

The first argument is what another one does: "kill", as under systemd's SystemCallFilter=, or
"refuse" (EPERM). Exits with 77 where such a filter (seccomp(2)) cannot be set.
"""

import ctypes
import errno
import os
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_RETURN_ALLOW, _RETURN_KILL, _RETURN_ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000

# All are in systemd's @system-service, by their numbers on x86-64.
_ALLOWED = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8,
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16,
    "pread64": 17, "readv": 19, "writev": 20, "access": 21, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35, "getpid": 39, "sendfile": 40,
    "clone": 56, "execve": 59, "exit": 60, "uname": 63, "fcntl": 72, "getcwd": 79,
    "readlink": 89, "gettimeofday": 96, "getuid": 102, "getgid": 104, "geteuid": 107,
    "getegid": 108, "sigaltstack": 131, "arch_prctl": 158, "gettid": 186, "futex": 202,
    "time": 201, "sched_getaffinity": 204, "set_tid_address": 218, "clock_gettime": 228,
    "clock_nanosleep": 230, "exit_group": 231, "openat": 257, "newfstatat": 262,
    "set_robust_list": 273, "dup3": 292, "pipe2": 293, "prlimit64": 302, "getrandom": 318,
    "statx": 332, "rseq": 334, "clone3": 435,
}  # fmt: skip

# struct sock_filter: code, jump if true, jump if false, operand (linux/bpf_common.h).
_LOAD_NUMBER = (0x20, 0, 0, 0)
other = {"kill": _RETURN_KILL, "refuse": _RETURN_ERROR | errno.EPERM}[sys.argv[1]]
numbers = sorted(_ALLOWED.values())
tests = [(0x15, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
rows = [_LOAD_NUMBER, *tests, (0x06, 0, 0, other), (0x06, 0, 0, _RETURN_ALLOW)]
buffer = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *row) for row in rows))
# struct sock_fprog: the number of instructions, their address.
program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(rows), ctypes.addressof(buffer)))
prctl = ctypes.CDLL(None).prctl
if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program):
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
