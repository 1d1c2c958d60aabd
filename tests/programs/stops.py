"""A program in plain Python: it stops itself, and says who it is when it goes on."""

import os
import signal
import sys

os.kill(os.getpid(), signal.SIGSTOP)
sys.stdout.write(f"{os.getpid()} goes on\n")
