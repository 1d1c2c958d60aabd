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
    subprocess = sys.modules.get("subprocess")
    if subprocess is not None:
        subprocess._fork_exec = _guarded(subprocess._fork_exec)  # type: ignore[attr-defined]
        # From Python 3.13 on it is used where it can be.
        os.posix_spawn = _guarded_spawn(os.posix_spawn)


def _guarded(fork_exec: Callable[..., int]) -> Callable[..., int]:
    def run(arguments: Sequence[Any], programs: Sequence[Any], *others: Any) -> int:
        if others[3] is None:  # the environment is that of this process
            _refuse_itself(programs[0], arguments)
        return fork_exec(arguments, programs, *others)

    return run


def _guarded_spawn(posix_spawn: Callable[..., int]) -> Callable[..., int]:
    def run(program: Any, arguments: Sequence[Any], environment: Any, **others: Any) -> int:
        if environment is None or environment is os.environ:
            _refuse_itself(program, arguments)
        return posix_spawn(program, arguments, environment, **others)

    return run


def _refuse_itself(program: Any, arguments: Sequence[Any]) -> None:
    if len(arguments) == 1 and os.fsdecode(program) == sys.executable:
        reason = "sys.executable is this program, not a Python interpreter"
        raise OSError(errno.ENOEXEC, reason, program)


def refuse_to_interpret() -> None:
    """End a process that should be an interpreter; otherwise make sys.argv that of a script.

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
