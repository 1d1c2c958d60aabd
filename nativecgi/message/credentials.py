"""A client's name and password (RFC 7617, the Basic authentication scheme)."""

import binascii

from msgspec import Struct


class BasicCredentials(Struct, frozen=True):
    """The name and password that a client claims to have."""

    username: str
    password: str


def parse_basic(field: str) -> BasicCredentials | None:
    """The credentials in an Authorization field, or None if it has none of this scheme."""
    scheme, _space, token = field.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = binascii.a2b_base64(token.strip(), strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    # RFC 7617 2.1: UTF-8 is what we ask for; os.fsencode gives the bytes of what is not.
    username, colon, password = decoded.decode("utf-8", "surrogateescape").partition(":")
    return BasicCredentials(username, password) if colon else None
