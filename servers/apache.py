"""Apache: event MPM and mod_cgid, or prefork MPM and mod_cgi."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from servers.server import (
    DOCUMENTED_FOLDER,
    HOST,
    SECONDS,
    Server,
    ServerError,
    Site,
    await_start,
    documented,
    require,
    running,
    site,
)

PROGRAM, PACKAGE = "apache2", "apache2-bin"

_MODULES = Path("/usr/lib/apache2/modules")
_LOADED = ("unixd", "authz_core", "alias", "env", "filter", "deflate")
# How processes and threads serve, and what starts programs: the usual, and the older way.
EVENT, PREFORK = ("mpm_event", "cgid"), ("mpm_prefork", "cgi")

_SOCKET = "cgid.sock"

_FRAME = """\
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
<IfModule cgid_module>
ScriptSock "{home}/{socket}"
</IfModule>
# As in Debian's configuration: what compresses could hold back a part of an answer.
AddOutputFilterByType DEFLATE text/html text/plain
<VirtualHost *:*>
{environment}
{documented}
{directives}
</VirtualHost>
"""


@contextmanager
def serving(
    cgi_bin: Path,
    *,
    environment: Mapping[str, str] = {},
    modules: Sequence[str] = (),
    directives: Sequence[str] = (),
    way: Sequence[str] = EVENT,
) -> Iterator[Server]:
    """Serve the programs in `cgi_bin` as long as the block runs, with `environment` in theirs.

    `modules` names more modules to load, such as "headers"; `directives` are more lines of
    configuration; `way` is EVENT or PREFORK. Where the server's user cannot reach the folder, it
    serves a copy.

    Raises ServerError where it does not start.
    """
    program = require(PROGRAM, PACKAGE)
    with site(cgi_bin) as here:
        file = here.home / "apache.conf"
        file.write_text(_configuration(here, environment, (*way, *modules), directives))
        command = [program, "-f", str(file), "-DFOREGROUND"]
        with running(command, here, environment=environment) as process:
            await_start(process, here)
            if EVENT[1] in way:
                _await_daemon(here)
            yield here.server("apache", process)


def _await_daemon(here: Site) -> None:
    """Wait for mod_cgid's process, which may start later than connections are accepted.

    Until its socket is there, whose name Apache ends with a number, requests are answered with 503.
    """
    deadline = time.monotonic() + SECONDS
    while not any(here.home.glob(f"{_SOCKET}*")):
        if time.monotonic() > deadline:
            raise ServerError(f"mod_cgid does not start:\n{here.error_log.read_text()}")
        time.sleep(0.01)


def _configuration(
    here: Site, environment: Mapping[str, str], modules: Sequence[str], directives: Sequence[str]
) -> str:
    return _FRAME.format(
        home=here.home,
        socket=_SOCKET,
        error_log=here.error_log,
        host=HOST,
        port=here.port,
        modules="\n".join(_load_lines((*_LOADED, *modules))),
        identity="\n".join(_identity(here)),
        # Unlike SetEnv, it takes a value as it is.
        environment="\n".join(f'PassEnv "{name}"' for name in environment),
        documented=documented("apache.conf", {DOCUMENTED_FOLDER: str(here.cgi_bin)}),
        directives="\n".join(directives),
    )


def _load_lines(names: Sequence[str]) -> Iterator[str]:
    """LoadModule lines; what is no file is taken to be in the program, as Debian's unixd is."""
    for name in names:
        file = _MODULES / f"mod_{name}.so"
        if file.exists():
            yield f'LoadModule {name}_module "{file}"'


def _identity(here: Site) -> Iterator[str]:
    if here.identity:
        yield f"User {here.identity.user}"
        yield f"Group #{here.identity.gid}"
