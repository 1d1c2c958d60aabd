"""Runs its arguments as a command that cannot lift its limit on the stack, not even as root.

Exits with 77 where root's right to do so cannot be given up.
"""

import ctypes
import os
import resource
import sys

_PR_CAPBSET_DROP, _CAP_SYS_RESOURCE = 24, 24

if os.geteuid() == 0 and ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_SYS_RESOURCE, 0, 0, 0):
    sys.exit(77)
resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
os.execv(sys.argv[1], sys.argv[1:])
