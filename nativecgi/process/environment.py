"""The variables of a process, and os.environ: taken apart no sooner than they are asked for.

A request looks for a dozen of them, and takes none apart that it does not look for.
"""

import os
from collections.abc import Iterator, MutableMapping
from typing import TypeVar, overload

T = TypeVar("T")


class Environment(MutableMapping[str, str]):
    """The variables in a block: NAME=value each, with a NUL before the first and after each.

    The first of a name is the one that counts, as for getenv(3). What is no variable, for want of
    a "=", is left out.
    """

    __slots__ = ("_block", "_variables")

    def __init__(self, block: str) -> None:
        self._block = block
        self._variables: dict[str, str] | None = None  # once all of them are wanted

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str | T, /) -> str | T: ...

    def get(self, name: str, default: str | T | None = None, /) -> str | T | None:
        """The value of a variable."""
        if self._variables is not None:
            return self._variables.get(name, default)
        start = self._block.find(f"\0{name}=")
        # A name with a "=" or NUL in it is none, but could be found.
        if start < 0 or "=" in name or "\0" in name or not name:
            return default
        start += len(name) + 2
        return self._block[start : self._block.index("\0", start)]

    def __getitem__(self, name: str) -> str:
        """The value of a variable; raises KeyError."""
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        """Whether there is a variable of that name."""
        return isinstance(name, str) and self.get(name) is not None

    def __setitem__(self, name: str, value: str) -> None:
        """Set a variable, here and nowhere else."""
        self._all()[name] = value

    def __delitem__(self, name: str) -> None:
        """Remove a variable, here and nowhere else."""
        del self._all()[name]

    def __iter__(self) -> Iterator[str]:
        """All names."""
        return iter(self._all())

    def __len__(self) -> int:
        """How many variables there are."""
        return len(self._all())

    def __repr__(self) -> str:
        """All variables."""
        return f"Environment({self._all()})"

    def _all(self) -> dict[str, str]:
        if self._variables is None:
            self._variables = {}
            for variable in self._block.split("\0"):
                name, separator, value = variable.partition("=")
                if separator and name:
                    self._variables.setdefault(name, value)
        return self._variables


# What os.environ is to be made from.
_unread = Environment("\0")


class _Unread:
    """A process's variables as os.environ keeps them, until it stores them itself."""

    def __get__(self, _environ: "_Environ | None", _owner: type) -> dict[bytes, bytes]:
        data = {os.fsencode(name): os.fsencode(value) for name, value in _unread.items()}
        for environ in (os.environ, os.environb):
            environ.__dict__["_data"] = data
        return data


class _Environ(os._Environ):  # type: ignore[type-arg]
    # No data descriptor: an attribute of the object itself comes before it.
    _data = _Unread()


def give_up() -> None:
    """Empty os.environ and os.environb, until they are renewed."""
    renew("\0")
    for environ in (os.environ, os.environb):
        environ.__dict__.pop("_data", None)
        environ.__class__ = _Environ


def renew(block: str) -> Environment:
    """The variables in a block, which os.environ and os.environb read once they are asked.

    They have been given up before. What is set in the one is not in the others.
    """
    global _unread
    _unread = Environment(block)
    return Environment(block)
