"""lighttpd, with mod_cgi."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from grp import getgrgid
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

PROGRAM = PACKAGE = "lighttpd"

# `http-parseopts` are those of Debian's lighttpd.conf.
_FRAME = """\
server.modules = ( "mod_alias", "mod_setenv" )
server.document-root = "{home}/html"
server.upload-dirs = ( "{temporary}" )
server.errorlog = "{error_log}"
server.pid-file = "{home}/lighttpd.pid"
server.bind = "{host}"
server.port = {port}
server.http-parseopts = (
    "url-normalize-unreserved" => "enable",
    "url-normalize-required" => "enable",
    "url-ctrls-reject" => "enable",
    "url-path-2f-decode" => "enable",
    "url-path-dotseg-remove" => "enable",
)
{identity}
{documented}
{environment}
"""


@contextmanager
def serving(cgi_bin: Path, *, environment: Mapping[str, str] = {}) -> Iterator[Server]:
    """Serve the programs in `cgi_bin` as long as the block runs, with `environment` in theirs.

    Where the server's user cannot reach the folder, it serves a copy.

    Raises ServerError where it does not start.
    """
    program = require(PROGRAM, PACKAGE)
    with site(cgi_bin) as here:
        file = here.home / "lighttpd.conf"
        here.folder("html")
        file.write_text(_configuration(here, environment))
        command = [program, "-D", "-f", str(file)]
        with running(command, here, environment=environment) as process:
            await_start(process, here)
            yield here.server("lighttpd", process)


def _configuration(here: Site, environment: Mapping[str, str]) -> str:
    # A value may have characters that no string can in the configuration.
    variables = "".join(f'    "{name}" => env.{name},\n' for name in environment)
    return _FRAME.format(
        home=here.home,
        temporary=here.folder("temporary"),
        error_log=here.error_log,
        host=HOST,
        port=here.port,
        identity="\n".join(_identity(here)),
        documented=documented("lighttpd.conf", {DOCUMENTED_FOLDER: str(here.cgi_bin)}),
        environment=f"setenv.set-environment = (\n{variables})" if variables else "",
    )


def _identity(here: Site) -> Iterator[str]:
    if here.identity:
        yield f'server.username = "{here.identity.user}"'
        yield f'server.groupname = "{getgrgid(here.identity.gid).gr_name}"'
