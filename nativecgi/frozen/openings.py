"""Where a program opened what is still open at its freeze point, for the freezer's refusal.

The freezer runs a program that it has refused for open descriptors once more, with FREEZE_EXPLAIN
in its environment. Then each event of the interpreter's audit (PEP 578) is an occasion to look
which descriptors have come. No image is made of such a run, since an audit hook stays for good.
"""

import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import NamedTuple

VARIABLE = "FREEZE_EXPLAIN"

_STANDARD_STREAMS = 3
_SHOWN = 3  # lines of the program, the last of them the one that opened
_HERE = __name__.partition(".")[0]

_LATER = "in the handler, or in a function under @after_thaw"
_LOG = "Give the log's handler delay=True: it then opens its file with the first record."
_DATABASE = f"Connect {_LATER}; what is needed before, close in a function under @before_freeze."
# By the module of the standard library that has opened it, or else by the event: what to write.
_ADVICE = {
    "logging": _LOG,
    "logging.handlers": _LOG,
    "tempfile": f"Make temporary files {_LATER}.",
    "multiprocessing.shared_memory": f"Make shared memory {_LATER}.",
    "sqlite3.connect": _DATABASE,
    "sqlite3.connect/handle": _DATABASE,
    "socket.__new__": f"Connect {_LATER}.",
    "mmap.__new__": f"Map it {_LATER}.",
    "open": f"Read it under `with open(...)`, which closes it, or open it {_LATER}.",
}


class _Line(NamedTuple):
    module: str
    path: str
    number: int
    function: str

    def is_own(self) -> bool:
        """Whether it is neither of the standard library nor of this one."""
        return self.module.partition(".")[0] not in {*sys.stdlib_module_names, _HERE}

    def text(self) -> str:
        """As in a traceback."""
        source = linecache.getline(self.path, self.number).strip()
        head = f'  File "{self.path}", line {self.number}, in {self.function}\n'
        return f"{head}    {source}\n" if source else head


class _Event(NamedTuple):
    name: str
    lines: list[_Line]  # the innermost first
    target: str | None  # how what it opens may begin, as in /proc/self/fd; none if it opens nothing

    def text(self, descriptor: int) -> str:
        """What it has to do with a descriptor, and what to do about that."""
        own = [line for line in self.lines if line.is_own()][:_SHOWN]
        keys = [*(line.module for line in self.lines), self.name]
        advice = next((_ADVICE[key] for key in keys if key in _ADVICE), f"Open it {_LATER}.")
        places = "".join(line.text() for line in reversed(own))
        return f"descriptor {descriptor} was opened here:\n{places}  {advice}\n"


# What each descriptor is, and the event at which it came; none where it was there before.
_open: dict[int, tuple[str, _Event | None]] = {}
_last: list[_Event] = []


def watch() -> None:
    """Note from now on where descriptors are opened."""
    _look(None, None)
    is_looking = False

    def note(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal is_looking
        if not is_looking:  # looking has events as well
            is_looking = True
            now = _Event(name, list(_lines(sys._getframe(1))), _target(name, arguments))
            _look(_last[0] if _last else now, now)
            _last[:] = [now]
            is_looking = False

    sys.addaudithook(note)


def _target(name: str, arguments: tuple[object, ...]) -> str | None:
    match name, arguments:
        case (("open" | "sqlite3.connect"), (str() | bytes() as path, *_rest)):
            with suppress(ValueError):  # a NUL in it: it will not be opened
                return os.path.realpath(os.fsdecode(path))
        case "socket.__new__", _:
            return "socket:"
        case "mmap.__new__", _:  # it keeps a copy of the descriptor
            return ""
    return None


def show_openings() -> None:
    """Print where each descriptor that is open was opened, if that has been watched."""
    # What is asked for stays in memory that is free again: so nothing is, without a watch.
    found = _descriptors() if _open else {}
    for descriptor, (_target, event) in sorted(_open.items()):
        if descriptor >= _STANDARD_STREAMS and descriptor in found:
            text = _unseen(descriptor) if event is None else event.text(descriptor)
            sys.stderr.write(text)


def _unseen(descriptor: int) -> str:
    """What is known about a descriptor that was open before the watch began, as in a script."""
    logging = sys.modules.get("logging")
    for reference in getattr(logging, "_handlerList", ()):
        handler = reference()
        file = getattr(handler, "stream", None)
        with suppress(AttributeError, OSError, ValueError):  # it is no file, or closed
            if file is not None and file.fileno() == descriptor:
                return f"descriptor {descriptor} is open for a log, {handler!r}\n  {_LOG}\n"
    return (
        f"descriptor {descriptor} was open before nativecgi was imported: import it first to be "
        "told where\n"
    )


def _look(before: _Event | None, now: _Event | None) -> None:
    """Note the descriptors that have come between two events.

    An event comes right before what it tells of. What is opened without one, as by a library in C,
    was opened on the way to the next.
    """
    found = _descriptors()
    for descriptor, target in found.items():
        if descriptor not in _open or _open[descriptor][0] != target:
            opens = before and before.target is not None and target.startswith(before.target)
            _open[descriptor] = target, before if opens else now
    for descriptor in _open.keys() - found.keys():
        del _open[descriptor]


def _descriptors() -> dict[int, str]:
    """What is open, by descriptor number."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # it was for the list
    return found


def _lines(frame: FrameType | None) -> Iterator[_Line]:
    while frame is not None:
        code = frame.f_code
        module = str(frame.f_globals.get("__name__"))
        yield _Line(module, code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
