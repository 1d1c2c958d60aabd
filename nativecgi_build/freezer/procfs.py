"""What proc(5) tells about a process: its mappings, descriptors, threads, children, signals."""

import ipaddress
import os
import signal
from contextlib import suppress
from pathlib import Path

from msgspec import Struct


class Mapping(Struct, frozen=True):
    """A line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str  # such as "r-xp"; the last letter is p(rivate) or s(hared)
    offset: int
    path: str  # of the mapped file, a name such as "[heap]", or empty

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start

    @property
    def is_shared(self) -> bool:
        """Writes to it reach other processes or a file."""
        return self.permissions[3] == "s"

    @property
    def is_writable(self) -> bool:
        """The process may write to it."""
        return self.permissions[1] == "w"


class Thread(Struct, frozen=True):
    """A task of a process, by its thread id and its name (prctl(2), PR_SET_NAME)."""

    tid: int
    name: str


class Descriptor(Struct, frozen=True):
    """An open file descriptor and what it refers to."""

    number: int
    target: str
    inode: int


class Child(Struct, frozen=True):
    """A child process, which may be a zombie that nobody has waited for."""

    pid: int
    name: str
    is_zombie: bool


def parse_maps(text: str) -> list[Mapping]:
    """Read the text of /proc/PID/maps."""
    mappings = []
    # Not splitlines(): a file's name may hold what Unicode calls a line's end.
    for line in filter(None, text.split("\n")):
        addresses, permissions, offset, _device, _inode, *path = line.split(maxsplit=5)
        start, end = (int(address, 16) for address in addresses.split("-"))
        mappings.append(Mapping(start, end, permissions, int(offset, 16), path[0] if path else ""))
    return mappings


def mappings(pid: int) -> list[Mapping]:
    """All mappings of a process, by address."""
    return parse_maps(os.fsdecode(_proc(pid, "maps").read_bytes()))


def wiped_on_fork(pid: int) -> set[int]:
    """Where the mappings start that a child finds full of zeros (MADV_WIPEONFORK, madvise(2))."""
    return parse_wiped(os.fsdecode(_proc(pid, "smaps").read_bytes()))


def parse_wiped(text: str) -> set[int]:
    """Read the text of /proc/PID/smaps: a line as in maps, then lines of names and values."""
    found, start = set[int](), ""
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if name == "VmFlags" and "wf" in value.split():
            found.add(int(start, 16))
        elif " " in name:  # of maps: two addresses come first
            start = name.partition("-")[0]
    return found


def threads(pid: int) -> list[Thread]:
    """All threads of a process, the main one first."""
    tasks = {int(task.name): task for task in _proc(pid, "task").iterdir()}
    return [
        Thread(tid, (tasks[tid] / "comm").read_text(errors="replace").strip())
        # A thread's id may be below its process's: ids begin anew behind pid_max.
        for tid in sorted(tasks, key=lambda tid: (tid != pid, tid))
    ]


def descriptors(pid: int) -> list[Descriptor]:
    """All open descriptors of a process, in order."""
    entries = sorted(_proc(pid, "fd").iterdir(), key=lambda entry: int(entry.name))
    return [
        Descriptor(int(entry.name), os.readlink(entry), entry.stat().st_ino) for entry in entries
    ]


def locks(pid: int) -> set[int]:
    """The inodes of the files that a process has locked with fcntl(2) or flock(2)."""
    return parse_locks(Path("/proc/locks").read_text(), pid)


def parse_locks(text: str, pid: int) -> set[int]:
    """Read the text of /proc/locks; a lock that somebody waits for has an arrow."""
    lines = [line.split() for line in text.splitlines()]
    held = [fields for fields in lines if "->" not in fields and fields[4] == str(pid)]
    return {int(fields[5].rpartition(":")[2]) for fields in held}


def sockets(pid: int) -> dict[str, str]:
    """What is known about a process's sockets, by their targets in /proc/PID/fd."""
    found: dict[str, str] = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6", "unix"):
        with suppress(FileNotFoundError):  # a kernel without that protocol
            found |= parse_sockets((_proc(pid, "net") / protocol).read_text(), protocol)
    return found


def parse_sockets(text: str, protocol: str) -> dict[str, str]:
    """Read the text of /proc/PID/net/PROTOCOL."""
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split(maxsplit=7) if protocol == "unix" else line.split()
        if protocol == "unix":
            path = fields[7] if len(fields) > 7 else ""
            found[f"socket:[{fields[6]}]"] = f"a unix socket {path}".rstrip()
        else:
            local, remote = map(_address, fields[1:3])
            name = protocol.rstrip("6").upper()
            found[f"socket:[{fields[9]}]"] = f"a {name} socket from {local} to {remote}"
    return found


def _address(text: str) -> str:
    """An address and port: words of four bytes as this machine has them, and a number."""
    host, _, port = text.partition(":")
    packed = bytes.fromhex(host)
    words = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
    address = ipaddress.ip_address(words)
    return f"{f'[{address}]' if address.version == 6 else address}:{int(port, 16)}"


def children(pid: int) -> list[Child]:
    """All children of a process, found among all processes: not every kernel lists them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since the folder was listed
            child = parse_stat(stat)
            if child.parent == pid:
                found.append(Child(int(entry.name), child.name, child.state == "Z"))
    return found


class Stat(Struct, frozen=True):
    """The first fields of /proc/PID/stat."""

    name: str
    state: str
    parent: int


def parse_stat(text: str) -> Stat:
    """Read the text of /proc/PID/stat; the name in it may hold blanks and parentheses."""
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, parent, *_ = rest.split()
    return Stat(name, state, int(parent))


def signal_set(pid: int, field: str) -> set[int]:
    """A set of signals in /proc/PID/status: `field` is SigBlk, SigIgn, SigCgt, SigPnd or ShdPnd."""
    mask = int(status(pid)[field], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def tracer(pid: int) -> int:
    """The process that traces this one; 0 if none does."""
    return int(status(pid)["TracerPid"])


def status(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status, by their names."""
    lines = _proc(pid, "status").read_text(errors="replace").split("\n")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def signal_name(number: int) -> str:
    """Such as SIGINT; Python names but the first and the last of the real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def posix_timers(pid: int) -> int:
    """How many timers timer_create(2) has made; 0 where the kernel does not tell."""
    try:
        timers = _proc(pid, "timers").read_text()
        return sum(line.startswith("ID:") for line in timers.splitlines())
    except FileNotFoundError:  # a kernel without CONFIG_CHECKPOINT_RESTORE
        return 0


def limits(pid: int) -> dict[str, str]:
    """The limits of a process (getrlimit(2)) by their names: soft, hard and unit."""
    return parse_limits(content(pid, "limits"))


def parse_limits(text: str) -> dict[str, str]:
    """Read the text of /proc/PID/limits, which is in columns."""
    _head, *lines = text.splitlines()
    width = 26
    return {line[:width].strip(): " ".join(line[width:].split()) for line in lines}


def content(pid: int, name: str) -> str:
    """The text of a file in /proc/PID."""
    return _proc(pid, name).read_text(errors="replace").strip()


def executable(pid: int) -> Path:
    """The executable file that a process runs."""
    return Path(os.readlink(_proc(pid, "exe")))


def _proc(pid: int, name: str) -> Path:
    return Path("/proc", str(pid), name)
