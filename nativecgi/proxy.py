"""Requests that come through a reverse proxy."""

import re
from collections.abc import Mapping

from nativecgi.request import HOST, Request
from nativecgi.response import Handler, Response

# An IPv4 or IPv6 address; whether it is one in truth is the proxy's matter.
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+")


def behind_proxy(handler: Handler, hops: int = 1) -> Handler:
    """Take a request's scheme, host and client from what `hops` proxies have added.

    They are in the fields X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For, to each of
    which a proxy adds what it saw, behind what it was sent. So the last `hops` values are the
    proxies' own, and all before them the client's, who may write what it likes. Use this only
    where every request comes through that many proxies, each of which adds to all three, in one
    line, or replaces them where it is the only one; and put it around all other middleware.

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
    address = _hop(env, "HTTP_X_FORWARDED_FOR", hops)
    if _ADDRESS.fullmatch(address):
        changed |= {"REMOTE_ADDR": address, "REMOTE_HOST": address}
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
