"""nginx, and fcgiwrap, which runs the programs for it."""

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from grp import getgrgid
from pathlib import Path

from servers.server import (
    DOCUMENTED_FOLDER,
    HOST,
    PREFIX,
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

PROGRAM, PACKAGE = "nginx", "nginx-light"
WRAPPER, WRAPPER_PACKAGE = "fcgiwrap", "fcgiwrap"

_DOCUMENTED_SOCKET = "/run/fcgiwrap.socket"
_DOCUMENTED_POOL, _DOCUMENTED_PATH = "/run/shop/shop.sock", "/shop"
_WRAPPERS = 8  # so many programs run at the same time

_FRAME = """\
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {error_log} warn;
{identity}
events {{
}}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {temporary}/body;
    fastcgi_temp_path {temporary}/fastcgi;
    proxy_temp_path {temporary}/proxy;
    scgi_temp_path {temporary}/scgi;
    uwsgi_temp_path {temporary}/uwsgi;
    # The only way to write a dollar sign in a value.
    geo $dollar {{
        default "$";
    }}
    server {{
        listen {host}:{port};
        server_name localhost;
{documented}
    }}
}}
"""


@contextmanager
def serving(cgi_bin: Path, *, environment: Mapping[str, str] = {}) -> Iterator[Server]:
    """Serve the programs in `cgi_bin` as long as the block runs, with `environment` in theirs.

    Where the server's user cannot reach the folder, it serves a copy.

    Raises ServerError where it does not start.
    """
    program, wrapper = require(PROGRAM, PACKAGE), require(WRAPPER, WRAPPER_PACKAGE)
    with site(cgi_bin) as here:
        file = here.home / "nginx.conf"
        file.write_text(_configuration(here, environment))
        command = [program, "-c", str(file), "-p", str(here.home), "-e", str(here.error_log)]
        with (
            _listening(_socket(here), here) as listener,
            running(
                [wrapper, "-c", str(_WRAPPERS)],
                here,
                stdin=listener.fileno(),
                identity=here.identity,
            ) as wrapping,
            running(command, here) as process,
        ):
            await_start(process, here)
            yield here.server("nginx", wrapping)


@contextmanager
def pooling(program: Path, *options: str) -> Iterator[Server]:
    """Serve a program from its own pool, started with `options`, as long as the block runs.

    Raises ServerError where nginx does not start.
    """
    nginx = require(PROGRAM, PACKAGE)
    with site(program.parent) as here:
        path = here.folder("pool") / "socket"
        replacements = {
            _DOCUMENTED_POOL: str(path),
            _DOCUMENTED_PATH: f"{PREFIX}/{program.name}",
        }
        file = here.home / "nginx.conf"
        file.write_text(_framed(here, documented("nginx-fastcgi.conf", replacements)))
        pool = [str(here.cgi_bin / program.name), "--fastcgi", str(path), *options]
        command = [nginx, "-c", str(file), "-p", str(here.home), "-e", str(here.error_log)]
        with (
            running(pool, here, identity=here.identity) as managing,
            running(command, here) as process,
        ):
            await_start(process, here)
            _await_socket(path, here)
            yield here.server("nginx", managing)


def _await_socket(path: Path, here: Site) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.is_socket():
        if time.monotonic() > deadline:
            log = here.error_log.read_text(errors="replace")
            raise ServerError(f"the pool does not start:\n{log}")
        time.sleep(0.01)


@contextmanager
def _listening(path: Path, here: Site) -> Iterator[socket.socket]:
    """A socket as Debian's fcgiwrap gets it from systemd: open already, and its user's alone."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        if here.identity:
            os.chown(path, here.identity.uid, here.identity.gid)
        listener.listen(512)
        yield listener


def _socket(here: Site) -> Path:
    return here.home / "fcgiwrap.socket"


def _configuration(here: Site, environment: Mapping[str, str]) -> str:
    replacements = {DOCUMENTED_FOLDER: str(here.cgi_bin), _DOCUMENTED_SOCKET: str(_socket(here))}
    location = documented("nginx.conf", replacements)
    variables = "".join(
        f"    fastcgi_param {name} {_quoted(value)};\n" for name, value in environment.items()
    )
    return _framed(here, re.sub(r"\}\s*\Z", lambda end: variables + end[0], location))


def _framed(here: Site, location: str) -> str:
    return _FRAME.format(
        home=here.home,
        error_log=here.error_log,
        identity=_identity(here),
        temporary=here.folder("temporary"),
        host=HOST,
        port=here.port,
        documented=location,
    )


def _identity(here: Site) -> str:
    if here.identity is None:
        return ""
    return f"user {here.identity.user} {getgrgid(here.identity.gid).gr_name};"


def _quoted(value: str) -> str:
    """As it is written in the configuration, where a variable may stand in any text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}")
    return f'"{escaped}"'
