"""The exceptions that have led to an exception."""

from collections.abc import Iterator


def related(failure: BaseException | None) -> Iterator[BaseException]:
    """An exception, its causes and contexts, and those in groups: each once.

    They may be a circle: `raise error from error` makes one.
    """
    ahead = [failure]
    seen: set[int] = set()
    while ahead:
        found = ahead.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        ahead += [found.__context__, found.__cause__]
        if isinstance(found, BaseExceptionGroup):
            ahead += reversed(found.exceptions)
