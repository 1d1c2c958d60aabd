"""os.environ of a new process, which is made when something asks for it.

A handler finds in `request.env` what it needs of the environment; few ask os.environ.
"""

import os

# NAME=value each, as os.fsdecode gives them.
_variables: list[str] = []


class _Unread:
    """A process's variables as os.environ keeps them, until it has them in a place of its own."""

    def __get__(self, _environ: "_Environ | None", _owner: type) -> dict[bytes, bytes]:
        data: dict[bytes, bytes] = {}
        for variable in _variables:
            name, separator, value = os.fsencode(variable).partition(b"=")
            # The first of a name is the one that counts, as for getenv(3).
            if separator and name not in data:
                data[name] = value
        for environ in (os.environ, os.environb):
            environ.__dict__["_data"] = data
        return data


class _Environ(os._Environ):  # type: ignore[type-arg]
    # No data descriptor: an attribute of the object itself comes before it.
    _data = _Unread()


def give_up() -> None:
    """Empty os.environ and os.environb, until they are renewed."""
    global _variables
    _variables = []
    for environ in (os.environ, os.environb):
        environ.__dict__.pop("_data", None)
        environ.__class__ = _Environ


def renew(variables: list[str]) -> None:
    """Have os.environ and os.environb read these, NAME=value, once something asks for them.

    They have been given up before.
    """
    _variables.extend(variables)
