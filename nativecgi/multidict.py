"""A mapping whose names can have several values, as in a query string."""

from collections.abc import Iterable, Iterator, Mapping


class MultiDict(Mapping[str, str]):
    """Read-only; iterates over names in order of appearance, a name's first value is its value."""

    __slots__ = ("_lists",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
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
        return super().__eq__(other)

    def __repr__(self) -> str:
        """All values."""
        return f"MultiDict({self._lists})"

    def getlist(self, name: str) -> list[str]:
        """All values of a name, in order; none where it does not occur."""
        return list(self._lists.get(name, ()))
