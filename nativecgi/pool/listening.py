"""The listening socket: opened at an address, or taken over from who has started the process."""

import errno
import os
import re
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress

from msgspec import Struct

FIRST = 3  # the descriptor of the first socket that is passed on (sd_listen_fds(3))

_STDIN = 0
_PRIVATE = 0o177  # the umask that leaves a socket to its owner


class ListeningError(Exception):
    """There is no socket to listen on; the message is one line that says why."""


class _Internet(Struct, frozen=True):
    host: str  # "": all of this machine's addresses
    port: int


def listen(
    address: str | None, mode: str, owner: str | None, env: MutableMapping[str, str]
) -> socket.socket:
    """The socket to accept connections from. It does not block, and is not inherited.

    One that is passed on by the variables in `env`, as systemd does, comes before `address`, and
    the variables are removed. Without an address it may also be standard input, which is what the
    FastCGI specification says; there is /dev/null then. A unix socket gets `mode` and `owner`.

    Raises ListeningError.
    """
    found = _passed_on(env)
    if found is None:
        found = _inherited() if address is None else _opened(address, mode, owner)
    found.setblocking(False)
    return found


# --- a socket that is there already ---


def _passed_on(env: MutableMapping[str, str]) -> socket.socket | None:
    """The socket of the protocol in sd_listen_fds(3), if it is meant for this process."""
    count, pid = env.pop("LISTEN_FDS", ""), env.pop("LISTEN_PID", "")
    env.pop("LISTEN_FDNAMES", None)
    if not count or pid != str(os.getpid()):
        return None
    if count != "1":
        raise ListeningError(f"LISTEN_FDS is {count!a}, but a pool listens on one socket")
    if not _is_listening(FIRST):
        raise ListeningError(f"descriptor {FIRST}, which was passed on, is no listening socket")
    os.set_inheritable(FIRST, False)
    return socket.socket(fileno=FIRST)


def _inherited() -> socket.socket:
    """Standard input, moved to another descriptor."""
    if not _is_listening(_STDIN):
        raise ListeningError("no address is given, and no listening socket is passed on")
    moved = socket.socket(fileno=os.dup(_STDIN))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, _STDIN)
    os.close(null)
    return moved


def _is_listening(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


# --- a new socket ---


def _opened(address: str, mode: str, owner: str | None) -> socket.socket:
    place = _parse(address)
    try:
        if isinstance(place, _Internet):
            return _bound_to_port(place)
        return _bound_to_path(place, int(mode, 8), *_ids(owner))
    except OSError as error:
        raise ListeningError(f"cannot listen on {address!a}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _parse(address: str) -> _Internet | str:
    """What an address says: a host and port, or a path."""
    if "/" in address:
        return address
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]*)):([0-9]{1,5})", address)
    if match and int(match[3]) < 1 << 16:
        return _Internet(match[1] or match[2] or "", int(match[3]))
    if ":" in address or address.isdecimal() or not address:
        raise ListeningError(
            f"{address!a} is no address, which is HOST:PORT, :PORT, [IPv6]:PORT or a path"
        )
    return address


def _bound_to_port(place: _Internet) -> socket.socket:
    if not place.host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", place.port),
            family=socket.AF_INET6,
            backlog=socket.SOMAXCONN,
            dualstack_ipv6=True,
        )
    # As bytes, or Python would load what it needs for international names.
    host = os.fsencode(place.host or "0.0.0.0")
    addresses = socket.getaddrinfo(host, place.port, type=socket.SOCK_STREAM)
    family, _type, _protocol, _name, where = addresses[0]
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(where)
        opened.listen(socket.SOMAXCONN)
    except BaseException:
        opened.close()
        raise
    return opened


def _bound_to_path(path: str, mode: int, user: int, group: int) -> socket.socket:
    """Nobody can connect until the socket has its mode and owner: it does not listen before."""
    _remove_stale(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(_PRIVATE)
    try:
        opened.bind(path)
    except BaseException:
        opened.close()
        raise
    finally:
        os.umask(umask)
    try:
        os.chown(path, user, group, follow_symlinks=False)
        os.chmod(path, mode)
        opened.listen(socket.SOMAXCONN)
    except BaseException:
        os.unlink(path)
        opened.close()
        raise
    return opened


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on. Raises OSError if it is anything else."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return  # bind(2) says what is wrong, if anything
    if not is_socket:
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.setblocking(False)  # a full backlog is an answer, too
        try:
            visitor.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _ids(owner: str | None) -> tuple[int, int]:
    """The ids of "user" or "user:group", -1 where there is none: chown(2) leaves that as it is."""
    if owner is None:
        return -1, -1
    user, _, group = owner.partition(":")
    return _user_id(user), _group_id(group) if group else -1


def _user_id(name: str) -> int:
    import pwd  # few need it

    try:
        return int(name) if _is_number(name) else pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise ListeningError(f"there is no user {name!a}") from error


def _group_id(name: str) -> int:
    import grp

    try:
        return int(name) if _is_number(name) else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ListeningError(f"there is no group {name!a}") from error


def _is_number(name: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", name) is not None
