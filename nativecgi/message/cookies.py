"""The cookies of a request (RFC 6265)."""

from nativecgi.message.multidict import MultiDict


def parse_cookies(field: str) -> MultiDict[str]:
    """The cookies in a Cookie field; anything else in it is ignored (RFC 6265 5.4)."""
    pairs = []
    for item in field.split(";"):
        name, separator, value = item.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if separator and name:
            pairs.append((name, _unquoted(value)))
    return MultiDict(pairs)


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if is_quoted else value
