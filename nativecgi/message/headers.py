"""Header fields: a request's, looked up in any case; a response's, checked."""

from collections.abc import Iterable, Iterator, Mapping

# What Response and its constructors take: a mapping, or pairs where names repeat.
HeaderFields = Mapping[str, str] | Iterable[tuple[str, str]]

# RFC 9110 5.6.2: tchar, of which a field name consists.
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

# The names that most answers have: looked up, they need not be checked.
_LOWER = {"Content-Type": "content-type", "Content-Length": "content-length"}

_PREFIX = "HTTP_"
# The two header fields that have a meta-variable of their own (RFC 3875 4.1.2, 4.1.3).
_UNPREFIXED = ("CONTENT_TYPE", "CONTENT_LENGTH")


class Headers(Mapping[str, str]):
    """A request's header fields, by case-insensitive name, read from the meta-variables.

    CGI spells `User-Agent` HTTP_USER_AGENT (RFC 3875 4.1.18), so the original spelling is gone:
    iterating gives `User-Agent` for it, whatever the client wrote.
    """

    __slots__ = ("_env",)

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __getitem__(self, name: str) -> str:
        """The value of a field; the server has joined repeated ones with commas."""
        variable = _variable(name)
        value = self._env.get(variable)
        # A server may set these two, empty, for every request (RFC 3875 4.1).
        if value is None or (not value and variable in _UNPREFIXED):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        """The fields' names."""
        for variable in self._env:
            if variable.startswith(_PREFIX):
                # No server sets such names as HTTP_User, but they could not be looked up.
                if variable[len(_PREFIX) :] not in _UNPREFIXED and variable.isupper():
                    yield _field_name(variable[len(_PREFIX) :])
            elif variable in _UNPREFIXED and self._env[variable]:
                yield _field_name(variable)

    def __len__(self) -> int:
        """How many fields there are."""
        return sum(1 for _name in self)

    def __repr__(self) -> str:
        """All fields."""
        return f"Headers({dict(self)})"


def pairs(fields: HeaderFields) -> list[tuple[str, str]]:
    """A response's fields as a new list of pairs."""
    if type(fields) is list:  # most are; the other questions take longer
        return fields.copy()
    if isinstance(fields, tuple) and fields and isinstance(fields[0], str):
        raise TypeError(f"header fields are a mapping or a list of pairs: [{fields!r}]")
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def lower_name(name: str) -> str:
    """A field's name in lower case; raises ValueError if it is not a token (RFC 9110 5.1)."""
    if known := _LOWER.get(name):
        return known
    is_plain = name.isascii() and name.replace("-", "").isalnum()
    if not is_plain and not (name and _TOKEN.issuperset(name)):
        raise ValueError(f"{name!r} is not a header field's name")
    return name.lower()


def _variable(name: str) -> str:
    variable = name.upper().replace("-", "_")
    return variable if variable in _UNPREFIXED else _PREFIX + variable


def _field_name(variable: str) -> str:
    return "-".join(word.capitalize() for word in variable.split("_"))
