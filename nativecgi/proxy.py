"""Requests that come through a reverse proxy."""

import re
from collections.abc import Mapping

from nativecgi.request import Request
from nativecgi.response import Handler, Response

# RFC 9110 7.2 and RFC 3986 3.2.2: a name, an IPv4 address or an IPv6 address in brackets, a port.
_HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


def behind_proxy(handler: Handler, hops: int = 1) -> Handler:
    """Take a request's scheme, host and client from what `hops` proxies have added.

    They are in the fields X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For, to each of
    which a proxy adds what it saw, behind what it was sent. So the last `hops` values are the
    proxies' own, and all before them the client's, who may write what it likes. Use this only
    where every request comes through that many proxies, each of which sets all three.

    Raises ValueError where `hops` is less than 1.
    """
    if hops < 1:
        raise ValueError("there is at least one proxy")

    def handle(request: Request) -> Response:
        env = {**request.env, **_forwarded(request.env, hops)}
        return handler(Request(env, request.body, request.program_limits))

    return handle


def _forwarded(env: Mapping[str, str], hops: int) -> dict[str, str]:
    """The meta-variables that take the place of the server's own."""
    changed: dict[str, str] = {}
    if address := _hop(env, "HTTP_X_FORWARDED_FOR", hops):
        changed |= {"REMOTE_ADDR": address, "REMOTE_HOST": address}
    scheme = _hop(env, "HTTP_X_FORWARDED_PROTO", hops).lower()
    if scheme in ("http", "https"):
        changed |= {"REQUEST_SCHEME": scheme, "HTTPS": "on" if scheme == "https" else ""}
    host = _hop(env, "HTTP_X_FORWARDED_HOST", hops)
    if _HOST.fullmatch(host):
        changed["HTTP_HOST"] = host
    return changed


def _hop(env: Mapping[str, str], variable: str, hops: int) -> str:
    """What the outermost of the proxies added; empty where not all have added something."""
    values = [value.strip() for value in env.get(variable, "").split(",")]
    return values[-hops] if len(values) >= hops else ""
