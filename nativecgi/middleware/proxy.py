"""Requests that come through a reverse proxy."""

import re
from collections.abc import Callable, Mapping

from nativecgi.message.request import HOST, Request
from nativecgi.message.response import Handler, Response

# An address as RFC 7239 6 writes a node: IPv6 in brackets, and with a port. Proxies also write
# IPv6 without brackets, which then has no port.
_NODE = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9]{1,5})?")


def behind_proxy(handler: Handler, hops: int = 1) -> Handler:
    """Take a request's scheme, host and client from what `hops` proxies have added.

    Proxies add what they saw to the fields X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For,
    after what they were sent. So the last `hops` values come from the proxies, and all values
    before them from the client, which can send anything. Use this only if every request comes
    through that many proxies, and if each of them adds to all three fields, in one line, or, if it
    is the only one, replaces them. Put it around all other middleware.

    A port after the client's address is removed. If a proxy does not know the address, or hides it
    ("unknown"), `remote_addr` is empty, and not the proxy's.

    Raises ValueError if `hops` is less than 1.
    """
    from ipaddress import ip_address  # not in programs that no proxy stands before

    if hops < 1:
        raise ValueError("there is at least one proxy")

    def address(node: str) -> str:
        """The address of a node in its usual form; empty where there is none."""
        match = _NODE.fullmatch(node)
        text = (match[1] or match[2] or "") if match else node
        try:
            # A zone ("%eth0") is of the proxy's own network.
            return "" if "%" in text else str(ip_address(text))
        except ValueError:
            return ""

    def handle(request: Request) -> Response:
        env = {**request.env, **_forwarded(request.env, hops, address)}
        return handler(Request(env, request.body, request.program_limits))

    return handle


def _forwarded(env: Mapping[str, str], hops: int, address: Callable[[str], str]) -> dict[str, str]:
    """The meta-variables that take the place of the server's own."""
    changed: dict[str, str] = {}
    if node := _hop(env, "HTTP_X_FORWARDED_FOR", hops):
        changed |= {"REMOTE_ADDR": address(node), "REMOTE_HOST": address(node), "REMOTE_PORT": ""}
    scheme = _hop(env, "HTTP_X_FORWARDED_PROTO", hops).lower()
    if scheme in ("http", "https"):
        changed |= {"REQUEST_SCHEME": scheme, "HTTPS": "on" if scheme == "https" else ""}
    host = _hop(env, "HTTP_X_FORWARDED_HOST", hops)
    if HOST.fullmatch(host):
        changed["HTTP_HOST"] = host
    return changed


def _hop(env: Mapping[str, str], variable: str, hops: int) -> str:
    """What the outermost of the proxies added; empty where not all have added something."""
    values = [value.strip() for value in env.get(variable, "").split(",")]
    return values[-hops] if len(values) >= hops else ""
