"""Fields that set cookies (RFC 6265)."""

import re
import time
from typing import Literal

from nativecgi.message.dates import format_date
from nativecgi.message.headers import lower_name
from nativecgi.message.request import Request

# RFC 6265 4.1.1: cookie-octet, of which a value consists.
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
# Control characters and ";" would end an attribute's value.
_ATTRIBUTE = re.compile(r"[ -:<-~]*")

# Names for which a browser has rules (RFC 6265bis 4.1.3), in letters of either case.
_OF_THE_HOST = "__host-"
_PREFIXES = ("__secure-", _OF_THE_HOST)
_SAME_SITE = ("Lax", "Strict", "None")


def set_cookie(
    request: Request,
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    path: str = "/",
    domain: str = "",
    secure: bool | None = None,
    http_only: bool = True,
    same_site: Literal["Lax", "Strict", "None"] = "Lax",
) -> tuple[str, str]:
    """A field that sets a cookie: `text("Hello", headers=[set_cookie(request, "seen", "1")])`.

    The cookie lasts for `max_age` seconds, or, without that, until the browser is closed. Scripts
    in the page cannot read it (`http_only`), and forms and scripts of other sites do not send it
    (`same_site`). If `secure` is None, the cookie is only for https if the request came over https,
    or if its name begins with __Host- or __Secure-.

    Raises ValueError if a value has characters that a cookie cannot have: encode those first
    (urllib.parse.quote). Also raises it for what every browser refuses, such as a path for a name
    that begins with __Host-.
    """
    lower_name(name)
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{value!r} cannot be the value of a cookie: encode it first")
    if not (_ATTRIBUTE.fullmatch(path) and _ATTRIBUTE.fullmatch(domain)):
        raise ValueError(f"a cookie cannot be for the path {path!r} or the domain {domain!r}")
    prefix = next((it for it in _PREFIXES if name.lower().startswith(it)), "")
    if secure is None:
        secure = bool(prefix) or request.scheme == "https"
    if prefix and not secure:
        raise ValueError(f"browsers refuse a cookie of the name {name!r} that is not Secure")
    if prefix == _OF_THE_HOST and (domain or path != "/"):
        raise ValueError(f"browsers refuse {name!r} with a domain, or with another path than /")
    if same_site not in _SAME_SITE:
        raise ValueError(f"SameSite is one of {', '.join(_SAME_SITE)}, not {same_site!r}")
    if same_site == "None" and not secure:
        raise ValueError("browsers refuse a cookie of SameSite=None that is not Secure")
    attributes = [f"{name}={value}"]
    if max_age is not None:
        # Older browsers know of Expires alone.
        expires = "Thu, 01 Jan 1970 00:00:00 GMT" if max_age <= 0 else _in(max_age)
        attributes += [f"Max-Age={max_age:d}", f"Expires={expires}"]
    if domain:
        attributes.append(f"Domain={domain}")
    attributes.append(f"Path={path}")
    if secure:
        attributes.append("Secure")
    if http_only:
        attributes.append("HttpOnly")
    attributes.append(f"SameSite={same_site}")
    return "Set-Cookie", "; ".join(attributes)


def delete_cookie(
    request: Request,
    name: str,
    *,
    path: str = "/",
    domain: str = "",
    secure: bool | None = None,
    same_site: Literal["Lax", "Strict", "None"] = "Lax",
) -> tuple[str, str]:
    """A field that makes the browser forget a cookie; pass what it was set with."""
    return set_cookie(
        request,
        name,
        "",
        max_age=0,
        path=path,
        domain=domain,
        secure=secure,
        same_site=same_site,
    )


def _in(seconds: int) -> str:
    return format_date(time.time() + seconds)
