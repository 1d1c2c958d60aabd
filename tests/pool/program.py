"""A program that a pool serves. Its protocol: a connection has a line, and gets an answer.

Each test has a copy of it, in which VERSION may be another.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from nativecgi.pool.worker import VARIABLE, serve

VERSION = "old"


def answer(connection: socket.socket) -> None:
    command, *words = connection.makefile().readline().split()
    connection.sendall(f"{result(command, words)}\n".encode())


def result(command: str, words: list[str]) -> object:
    match command:
        case "pid":
            return os.getpid()
        case "version":
            return VERSION
        case "variable":
            return os.environ.get(words[0])
        case "sleep":
            time.sleep(float(words[0]))
            return os.getpid()
        case "await":  # a child, whose number goes to a file
            child = subprocess.Popen(["sleep", words[0]])
            Path(words[1]).write_text(str(child.pid))
            return child.wait()
        case "descriptors":  # of a child
            listed = ["ls", "/proc/self/fd"]
            return " ".join(subprocess.check_output(listed, text=True, close_fds=False).split())
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "quit":
            os._exit(0)
        case "fail":
            raise ValueError("as it was told")
    return "?"


if __name__ == "__main__":
    if "START_FAILS" in os.environ and VARIABLE in os.environ:
        sys.exit(3)
    if VARIABLE in os.environ:
        serve(os.environ[VARIABLE], answer)

    from nativecgi.pool.command import Command, Commands, of_plain_python
    from nativecgi.pool.options import parse
    from nativecgi.pool.pool import manage

    commands = of_plain_python()
    if "MISSING" in os.environ:  # the file that the manager starts anew from
        commands = Commands(worker=commands.worker, manager=Command("/nowhere/program", ("p",)))
    manage(parse(sys.argv[1:], os.environ), commands)
