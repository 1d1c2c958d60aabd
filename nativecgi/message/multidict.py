"""A mapping whose names can have several values, as in a query string."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

Value = TypeVar("Value")


class MultiDict(Mapping[str, Value]):
    """A read-only mapping from names to values, in which a name may have several values.

    It iterates over names in order of appearance, and a name gives its first value.
    """

    __slots__ = ("_lists",)

    def __init__(self, pairs: Iterable[tuple[str, Value]] = ()) -> None:
        self._lists: dict[str, list[Value]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> Value:
        """The name's first value; raises KeyError where it has none."""
        return self._lists[name][0]

    def __iter__(self) -> Iterator[str]:
        """Each name once."""
        return iter(self._lists)

    def __len__(self) -> int:
        """How many different names there are."""
        return len(self._lists)

    def __eq__(self, other: object) -> bool:
        """Whether all values are the same; a plain mapping has one of each name."""
        if isinstance(other, MultiDict):
            return self._lists == other._lists
        if isinstance(other, Mapping):
            return self._lists == {name: [value] for name, value in other.items()}
        return NotImplemented

    def __repr__(self) -> str:
        """All values."""
        return f"{type(self).__name__}({self._lists})"

    def getlist(self, name: str) -> list[Value]:
        """All values of a name, in order; an empty list if the name does not occur."""
        return list(self._lists.get(name, ()))

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """All names and values, including repeated names: name by name, with each one's values in
        order.
        """
        for name, values in self._lists.items():
            for value in values:
                yield name, value
