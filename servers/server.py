"""What the servers share: how they are found, configured, started and stopped.

Each runs as processes of the caller's, on the loopback interface, with a configuration of its own
in a temporary folder, its home. What a user has to configure is in docs/servers/, and read from
there; the rest, in the module of each server, only makes it run here.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

HOST = "127.0.0.1"
# Where users' own programs are, and the first part of their addresses' paths.
DOCUMENTED_FOLDER = "/usr/lib/cgi-bin"
PREFIX = "/cgi-bin"

_CONFIGURATIONS = Path(__file__).resolve().parent.parent / "docs" / "servers"
# Whom a server and its programs run as when it is started by root.
_USERS = ("www-data", "nobody")
_READABLE = 0o555  # for all, and executable or searchable
SECONDS = 10.0  # to start, and to stop


class ServerError(Exception):
    """A server is missing or does not start."""


class Server(Struct, frozen=True):
    """A running server."""

    url: str  # of the folder: append "/hello" to call the program hello
    error_log: Path  # where the programs' standard error goes too; gone with the server
    name: str
    pid: int  # of the process whose descendants the programs are


class Identity(Struct, frozen=True):
    """Whom to run as instead of root."""

    user: str
    uid: int
    gid: int


class Site(Struct, frozen=True):
    """What a server is started with."""

    home: Path
    cgi_bin: Path
    error_log: Path
    port: int
    identity: Identity | None  # none where the caller is not root

    def server(self, name: str, process: "subprocess.Popen[bytes]") -> Server:
        """The server of this name that runs here, its programs below `process`."""
        return Server(f"http://{HOST}:{self.port}{PREFIX}", self.error_log, name, process.pid)

    def folder(self, name: str) -> Path:
        """A folder in the home, which the server may write to."""
        path = self.home / name
        path.mkdir()
        if self.identity:
            os.chown(path, self.identity.uid, self.identity.gid)
        return path


def executable(name: str) -> str | None:
    """Where a server's program is, if it is: on Debian often not in a user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def require(name: str, package: str) -> str:
    """As `executable`; raises ServerError, with the name of Debian's package, where it is not."""
    path = executable(name)
    if path is None:
        raise ServerError(f"there is no {name}: apt-get install {package}")
    return path


@contextmanager
def site(cgi_bin: Path) -> Iterator[Site]:
    """A home for a server of the programs in `cgi_bin`, or of a copy that its user can reach."""
    with tempfile.TemporaryDirectory(prefix="server-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # it is made for its owner alone
        error_log = home / "error.log"
        error_log.touch()
        identity = _identity()
        if identity:
            os.chown(error_log, identity.uid, identity.gid)
        reachable = _reachable(cgi_bin.resolve(), home, identity)
        yield Site(home, reachable, error_log, _free_port(), identity)


def documented(name: str, replacements: Mapping[str, str]) -> str:
    """The documentation's configuration `name`, each key of `replacements` replaced."""
    text = (_CONFIGURATIONS / name).read_text()
    for old, new in replacements.items():
        if old not in text:
            raise ServerError(f"docs/servers/{name} does not mention {old}")
        text = text.replace(old, new)
    return text


@contextmanager
def running(
    command: Sequence[str],
    site: Site,
    *,
    environment: Mapping[str, str] = {},
    stdin: int = subprocess.DEVNULL,
    identity: Identity | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command as long as the block does; both its outputs go to the error log.

    At the end it and all that it has started are ended, but for what left its process group.
    """
    with site.error_log.open("ab") as log:
        # In a session of its own it gets no signals but ours: a terminal's change of size
        # (SIGWINCH) would stop Apache.
        process = subprocess.Popen(
            command,
            env={"PATH": os.defpath, **environment},
            cwd=site.home,
            stdin=stdin,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )
    try:
        yield process
    finally:
        _stop(process)


def await_start(process: "subprocess.Popen[bytes]", site: Site) -> None:
    """Wait until the server accepts connections; raises ServerError where it does not."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, site.port), timeout=1):
            return
        time.sleep(0.01)
    assert isinstance(process.args, list)
    log = site.error_log.read_text(errors="replace")
    raise ServerError(f"{Path(process.args[0]).name} does not start:\n{log}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # Its programs are told too: Apache would wait ten seconds for one that does not end.
    _signal(process.pid, signal.SIGTERM)
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    while any(_is_running(folder, process.pid) for folder in Path("/proc").glob("[0-9]*")):
        _signal(process.pid, signal.SIGKILL)
        time.sleep(0.005)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(group, number)


def _is_running(folder: Path, group: int) -> bool:
    """Whether a process, by its folder in /proc, is in the group, and not just its entry there."""
    try:
        state, _parent, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:  # it has ended
        return False
    return int(its_group) == group and state not in "ZX"


def _identity() -> Identity | None:
    """Whom to run as where we are root, which no server should run programs as."""
    if os.geteuid() != 0:
        return None
    for user in _USERS:
        with suppress(KeyError):
            entry = pwd.getpwnam(user)
            return Identity(user, entry.pw_uid, entry.pw_gid)
    raise ServerError(f"root cannot run a server without one of the users {', '.join(_USERS)}")


def is_reachable(folder: Path) -> bool:
    """Whether the user that servers run as may enter a folder."""
    return _identity() is None or _is_open(folder.resolve())


def _reachable(cgi_bin: Path, home: Path, identity: Identity | None) -> Path:
    """The folder, or where others may not enter it, a copy that they may."""
    if identity is None or _is_open(cgi_bin):
        return cgi_bin
    copy = shutil.copytree(cgi_bin, home / "cgi-bin")
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | _READABLE)
    return copy


def _is_open(folder: Path) -> bool:
    return all(_is_readable(each) for each in (folder, *folder.parents))


def _is_readable(path: Path) -> bool:
    return path.stat().st_mode & _READABLE == _READABLE


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
