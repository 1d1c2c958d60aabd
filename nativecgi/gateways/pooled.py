"""A program as a pool of processes: what makes one its manager, and what a worker answers with.

The pool itself knows no protocol (nativecgi/pool). This module is imported before a freeze, for
workers to have it; what only a manager needs is imported when there is one.
"""

import socket
import sys
from collections.abc import Mapping
from typing import NoReturn

from nativecgi.gateways.fastcgi import serve as fastcgi
from nativecgi.message.limits import Limits
from nativecgi.message.response import Handler
from nativecgi.pool import worker
from nativecgi.process.hooks import run_after_thaw
from nativecgi.process.streams import print_to_log

# What the pool tells its processes, and no request.
_ITS_OWN = (worker.VARIABLE, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET")
_OPTION, _VARIABLE = "--fastcgi", "NATIVECGI_FASTCGI"
_HELP = ("--help", "-h")
_STDIN = 0


def is_asked_for(env: Mapping[str, str]) -> bool:
    """Whether this process, which has no request in its environment, is to be of a pool.

    A listening socket may come from systemd, or as standard input (FastCGI 1.0 2.2).
    """
    arguments = sys.argv[1:]
    first = arguments[0].partition("=")[0] if arguments else ""
    return (
        worker.VARIABLE in env
        or first in (_OPTION, *_HELP)
        or _VARIABLE in env
        or "LISTEN_FDS" in env
        or (not arguments and _is_listening(_STDIN))
    )


def serve(handler: Handler, env: Mapping[str, str], limits: Limits | None) -> NoReturn:
    """Be the manager of a pool, or one of its workers, and end the process."""
    if worker.VARIABLE in env:
        _work(handler, env, limits)
    from nativecgi.pool import command, options, pool

    arguments = sys.argv[1:]
    names = {argument.partition("=")[0] for argument in arguments}
    is_named = _VARIABLE in env or not names.isdisjoint((_OPTION, *_HELP))
    told = arguments if is_named else [_OPTION, *arguments]
    pool.manage(options.parse(told, env), command.commands())


def _work(handler: Handler, env: Mapping[str, str], limits: Limits | None) -> NoReturn:
    spec = env[worker.VARIABLE]
    own = {name: value for name, value in env.items() if name not in _ITS_OWN}
    is_only = worker.parse(spec).isolation == "request"
    print_to_log()
    if not is_only:
        run_after_thaw()
    begin = run_after_thaw if is_only else _nothing
    worker.serve(
        spec,
        lambda connection: fastcgi.serve(connection, handler, own, limits, begin, is_only=is_only),
    )


def _nothing() -> None:
    """Is done before a request of a process that goes on."""


def _is_listening(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=descriptor) as found:
            is_listening = bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            found.detach()
            return is_listening
    except OSError:
        return False
