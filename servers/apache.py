"""Apache: event MPM and mod_cgid, or prefork MPM and mod_cgi."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from servers.server import (
    DOCUMENTED_FOLDER,
    HOST,
    Server,
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
ScriptSock "{home}/cgid.sock"
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
            yield here.server("apache", process)


def _configuration(
    here: Site, environment: Mapping[str, str], modules: Sequence[str], directives: Sequence[str]
) -> str:
    return _FRAME.format(
        home=here.home,
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
