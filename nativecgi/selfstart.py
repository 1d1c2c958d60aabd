"""A program that is started by itself, because it takes sys.executable for a Python interpreter.

`subprocess.run([sys.executable, "-c", code])` starts the program again, which would answer the
request again, and start itself again. What comes from a client never decides here: a server may
pass a query without a "=" as arguments (RFC 3875 4.4), but a server is not the program itself.
"""

import os
import sys
from collections.abc import Iterator

_FAILED = 2  # the exit status
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")


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
