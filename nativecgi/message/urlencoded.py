"""Names and values as a form, or a query string, has them (WHATWG URL 5.1)."""

import re
from collections.abc import Iterator

# A long text is decoded block by block, each up to a "%": what re, or urllib.parse, needs meanwhile
# is fifty times as long.
_BLOCKS = re.compile(rb".{1,65536}[^%]*", re.DOTALL)
_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")


def parse_urlencoded(text: bytes) -> Iterator[tuple[str, str]]:
    """All names and values, empty ones too, in order; bytes that are no UTF-8 as surrogates."""
    for pair in filter(None, text.split(b"&")):
        name, _separator, value = pair.partition(b"=")
        yield _decoded(name), _decoded(value)


def _decoded(text: bytes) -> str:
    blocks = _BLOCKS.findall(text.replace(b"+", b" "))
    plain = b"".join(_ESCAPES.sub(_unescaped, block) for block in blocks)
    return plain.decode("utf-8", "surrogateescape")


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[0].replace(b"%", b"").decode())
