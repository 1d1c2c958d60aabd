"""What the kernel keeps of a process besides its memory, and a thaw does not set.

A thawed process has these from whoever starts it, such as a web server. What a program has
changed on the way to its freeze point would be lost.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

from nativecgi_build.freezer import linux, procfs
from nativecgi_build.freezer.tracee import Tracee

# Of /proc/PID/status, whose lines each kernel adds to.
_STATUS = {
    "Umask": "the umask",
    "Name": "the name (PR_SET_NAME)",
    "Uid": "the user",
    "Gid": "the group",
    "Groups": "the list of groups",
    "NoNewPrivs": "no_new_privs (PR_SET_NO_NEW_PRIVS)",
    "Seccomp": "the mode of seccomp(2)",
    "Seccomp_filters": "the number of filters of seccomp(2)",
    "CapInh": "the set of inheritable capabilities",
    "CapPrm": "the set of permitted capabilities",
    "CapEff": "the set of effective capabilities",
    "CapBnd": "the bounding set of capabilities",
    "CapAmb": "the set of ambient capabilities",
    "Speculation_Store_Bypass": "the speculation (PR_SET_SPECULATION_CTRL)",
    "SpeculationIndirectBranch": "the speculation (PR_SET_SPECULATION_CTRL) of branches",
}
_FILES = {
    "oom_score_adj": "oom_score_adj",
    "coredump_filter": "coredump_filter",
    "personality": "the personality(2)",
}
_LINKS = {"cwd": "the working folder", "root": "the root folder"}
# Options of prctl(2) that return what they ask for, and those that write it to memory.
_RETURNED = {
    3: "dumpable (PR_SET_DUMPABLE)",
    7: "keepcaps (PR_SET_KEEPCAPS)",
    27: "the securebits (PR_SET_SECUREBITS)",
    30: "the timer slack (PR_SET_TIMERSLACK)",
    42: "thp_disable (PR_SET_THP_DISABLE)",
}
_WRITTEN = {
    2: "the signal for the parent's death (PR_SET_PDEATHSIG)",
    37: "child_subreaper (PR_SET_CHILD_SUBREAPER)",
}
_IOPRIO_WHO_PROCESS = 1
_PROCESSORS = "the set of processors (sched_setaffinity(2))"


def attributes(tracee: Tracee, instruction: int, scratch: int) -> dict[str, str]:
    """What a stopped process has of these, by their names.

    `instruction` and `scratch` are as in checks.py. What this kernel does not tell is left out.
    """
    pid = tracee.pid
    status = procfs.status(pid)
    found = {name: status[line] for line, name in _STATUS.items() if line in status}
    found |= {
        **_limits(pid),
        **_namespaces(pid),
        **_streams(pid),
        _PROCESSORS: _processors(pid),
        "the nice value": str(os.getpriority(os.PRIO_PROCESS, pid)),
        "the scheduling policy": str(os.sched_getscheduler(pid)),
        "the real-time priority": str(os.sched_getparam(pid).sched_priority),
        "the session": str(os.getsid(pid)),
        "the process group": str(os.getpgid(pid)),
    }
    for name, what in _FILES.items():
        with suppress(OSError):
            found[what] = procfs.content(pid, name)
    for name, what in _LINKS.items():
        with suppress(OSError):
            found[what] = os.readlink(f"/proc/{pid}/{name}")
    with suppress(OSError):
        priority = tracee.call(instruction, linux.SYS_IOPRIO_GET, _IOPRIO_WHO_PROCESS, 0)
        found["the I/O priority"] = str(priority)
    for option, what in _RETURNED.items():
        with suppress(OSError):
            found[what] = str(tracee.call(instruction, linux.SYS_PRCTL, option))
    for option, what in _WRITTEN.items():
        with suppress(OSError):
            tracee.call(instruction, linux.SYS_PRCTL, option, scratch)
            found[what] = str(tracee.read_integer(scratch, 4))
    return found


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """What differs from the start, each with what to do about it."""
    for name, value in now.items():
        # An administrator may have changed the processors of all: then it is not the program.
        is_given = name == _PROCESSORS and value == _processors(os.getpid())
        if name in before and value != before[name] and not is_given:
            yield (
                f"{name} is {value or 'empty'}, and was {before[name] or 'empty'} at the start: a "
                "process would have it as whoever starts it; set it after the freeze point"
            )


def _limits(pid: int) -> dict[str, str]:
    lines = procfs.limits(pid)
    return {f"the limit {name!r} (setrlimit(2))": value for name, value in lines.items()}


def _namespaces(pid: int) -> dict[str, str]:
    folder, found = f"/proc/{pid}/ns", {}
    for name in sorted(os.listdir(folder)):
        with suppress(OSError):
            found[f"the namespace {name} (namespaces(7))"] = os.readlink(f"{folder}/{name}")
    return found


def _streams(pid: int) -> dict[str, str]:
    """The standard streams: a new process has its own, whatever the program has put there."""
    found = {str(it.number): it.target for it in procfs.descriptors(pid)}
    return {f"descriptor {number}": found.get(number, "closed") for number in "012"}


def _processors(pid: int) -> str:
    return ",".join(map(str, sorted(os.sched_getaffinity(pid))))
