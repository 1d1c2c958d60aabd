"""A program that is started by itself, because it takes sys.executable for a Python interpreter.

`subprocess.run([sys.executable, "-c", code])` starts the program again, which would answer the
request again, and start itself again. What comes from a client never decides here: a server may
pass a query without a "=" as arguments (RFC 3875 4.4), but a server is not the program itself.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_FAILED = 2  # the exit status
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")


def guard() -> None:
    """Have `subprocess`, if it is there, refuse to start the program as it was started itself.

    A child without arguments and with the same environment cannot know that it is one, and would
    do as its parent does.
    """
    starts = sys.modules.get("_posixsubprocess")
    if starts is not None:
        starts.fork_exec = _guarded(starts.fork_exec)  # type: ignore[attr-defined]
        if "subprocess" in sys.modules:
            sys.modules["subprocess"]._fork_exec = starts.fork_exec  # type: ignore[attr-defined]


def _guarded(fork_exec: Callable[..., int]) -> Callable[..., int]:
    def run(arguments: Sequence[Any], programs: Sequence[Any], *others: Any) -> int:
        environment = others[3]  # None for that of this process
        program = os.fsdecode(programs[0])
        if len(arguments) == 1 and environment is None and program == sys.executable:
            reason = "sys.executable is this program, not a Python interpreter"
            raise OSError(errno.ENOEXEC, reason, program)
        return fork_exec(arguments, programs, *others)

    return run


def refuse_to_interpret() -> None:
    """End a process that is to be an interpreter; sys.argv becomes what it is in a script.

    Its first argument behind the program is the program again in `[sys.executable, __file__]`, and
    is left out. It is an option of the interpreter's or another file in what would need one.
    """
    first = sys.argv[1]
    if os.path.abspath(first) == sys.executable:
        del sys.argv[1]
    elif (_is_option(first) or os.path.exists(first)) and _is_its_own_child():
        python = next(filter(os.path.exists, _PYTHONS), "python3")
        told = " ".join(map(ascii, sys.argv[1:]))
        sys.stderr.write(
            f"nativecgi: {ascii(sys.argv[0])[1:-1]} was started by a request of its own, in place "
            f"of a Python interpreter, with {told}: sys.executable is this program. Name an "
            f"interpreter, such as {python}; multiprocessing works with its method 'fork'\n"
        )
        sys.stderr.flush()
        os._exit(_FAILED)


def _is_option(argument: str) -> bool:
    """Whether it is one of Python's options, which have a single dash, such as -c."""
    return argument.startswith("-") and not argument.startswith("--")


def _is_its_own_child() -> bool:
    """Whether a process that has led to this one has the same program.

    By its name, which anyone may know of a process (proc(5)); a file that may be executed and not
    read has its processes tell nothing else.
    """
    own, *others = _lineage()
    return own in others


def _lineage() -> Iterator[str]:
    """The names of this process, its parent, and so on."""
    pid = os.getpid()
    while pid:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, _end, fields = file.read().rpartition(")")
        except OSError:
            name, fields = "", "? 0"
        yield name.partition("(")[2]
        pid = int(fields.split()[1])
