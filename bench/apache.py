"""A real Apache for a folder of CGI programs: event MPM and mod_cgid, on the loopback interface.

It is one process of the caller's with a configuration of its own, and leaves nothing behind.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from bench.errors import BenchError

_HOST = "127.0.0.1"
_MODULES = Path("/usr/lib/apache2/modules")
_LOADED = ("mpm_event", "unixd", "authz_core", "alias", "cgid")
# Whom Apache runs as when it is started by root, which it refuses to run as.
_USERS = ("www-data", "nobody")
_READABLE = 0o555  # for all, and executable or searchable
_SECONDS = 10.0  # to start, and to stop

_CONFIGURATION = """\
ServerName localhost
ServerRoot "{home}"
DefaultRuntimeDir "{home}"
PidFile "{home}/apache.pid"
ErrorLog "{error_log}"
LogLevel warn
Listen {host}:{port}
{modules}
{identity}
MaxKeepAliveRequests 0
ScriptSock "{home}/cgid.sock"
ScriptAlias "/cgi-bin/" "{cgi_bin}/"
<Directory "{cgi_bin}">
    Options ExecCGI
    Require all granted
</Directory>
{directives}
"""


class ApacheError(BenchError):
    """Apache is missing or does not start."""


class Server(Struct, frozen=True):
    """A running Apache."""

    url: str  # of the folder: append "/hello" to call the program hello
    error_log: Path  # where the programs' standard error goes too; gone with the server


def executable() -> str | None:
    """Where apache2 is, if it is: on Debian often not in a user's PATH."""
    return shutil.which("apache2", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def serving(
    cgi_bin: Path, *, modules: Sequence[str] = (), directives: Sequence[str] = ()
) -> Iterator[Server]:
    """Serve the programs in `cgi_bin` as long as the block runs.

    `modules` names more modules to load, such as "env"; `directives` are more lines of
    configuration. Where the server's user cannot reach the folder, it serves a copy.

    Raises ApacheError where it does not start.
    """
    program = executable()
    if program is None:
        raise ApacheError("there is no apache2: apt-get install apache2-bin")
    with tempfile.TemporaryDirectory(prefix="apache-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # it is made for its owner alone
        server = _configure(home, _reachable(cgi_bin.resolve(), home), modules, directives)
        command = [program, "-f", str(home / "apache.conf"), "-DFOREGROUND"]
        with server.error_log.open("ab") as log:
            # In a session of its own it gets no signals but ours: a terminal's change of size
            # (SIGWINCH) would stop it.
            process = subprocess.Popen(
                command,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _await(process, server)
            yield server
        finally:
            _stop(process)


def _configure(
    home: Path, cgi_bin: Path, modules: Sequence[str], directives: Sequence[str]
) -> Server:
    error_log, port = home / "error.log", _free_port()
    configuration = _CONFIGURATION.format(
        home=home,
        error_log=error_log,
        host=_HOST,
        port=port,
        modules="\n".join(_load_lines((*_LOADED, *modules))),
        identity="\n".join(_identity()),
        cgi_bin=cgi_bin,
        directives="\n".join(directives),
    )
    (home / "apache.conf").write_text(configuration)
    return Server(f"http://{_HOST}:{port}/cgi-bin", error_log)


def _load_lines(names: Sequence[str]) -> Iterator[str]:
    """LoadModule lines; what is no file is taken to be in the program, as Debian's unixd is."""
    for name in names:
        file = _MODULES / f"mod_{name}.so"
        if file.exists():
            yield f'LoadModule {name}_module "{file}"'


def _identity() -> Iterator[str]:
    """Whom to run as: ourselves, unless that is root."""
    if os.geteuid() != 0:
        return
    for user in _USERS:
        with suppress(KeyError):
            group = pwd.getpwnam(user).pw_gid
            yield f"User {user}"
            yield f"Group #{group}"
            return
    raise ApacheError(f"root cannot run Apache without one of the users {', '.join(_USERS)}")


def _reachable(cgi_bin: Path, home: Path) -> Path:
    """The folder, or where others may not enter it, a copy that they may."""
    folders = (cgi_bin, *cgi_bin.parents)
    if os.geteuid() != 0 or all(_is_readable(folder) for folder in folders):
        return cgi_bin
    copy = shutil.copytree(cgi_bin, home / "cgi-bin")
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | _READABLE)
    return copy


def _is_readable(path: Path) -> bool:
    return path.stat().st_mode & _READABLE == _READABLE


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _await(process: "subprocess.Popen[bytes]", server: Server) -> None:
    """Wait until the server accepts connections."""
    port = urlsplit(server.url).port
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((_HOST, port), timeout=1):
            return
        time.sleep(0.01)
    raise ApacheError(f"apache2 does not start:\n{server.error_log.read_text(errors='replace')}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
