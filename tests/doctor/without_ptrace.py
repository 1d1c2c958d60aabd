"""Runs its arguments as a command for which ptrace(2) fails, as in many containers.

Exits with 77 where such a filter (seccomp(2)) cannot be set.
"""

import ctypes
import errno
import os
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_RETURN_ALLOW, _RETURN_ERROR, _PTRACE = 0x7FFF_0000, 0x0005_0000, 101

# struct sock_filter: code, jump if true, jump if false, operand (linux/bpf_common.h).
rows = [
    (0x20, 0, 0, 0),  # load the call's number
    (0x15, 0, 1, _PTRACE),
    (0x06, 0, 0, _RETURN_ERROR | errno.EPERM),
    (0x06, 0, 0, _RETURN_ALLOW),
]
buffer = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *row) for row in rows))
program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(rows), ctypes.addressof(buffer)))
prctl = ctypes.CDLL(None).prctl
if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
