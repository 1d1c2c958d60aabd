"""Arranges the memory of a program that is about to be frozen."""

from collections.abc import Callable, Iterator

# Of CPython's small-object allocator (Objects/obmalloc.c): blocks of one size share a pool.
_ALIGNMENT = 16
_LARGEST = 512
_POOL = 16 * 1024
# So many blocks in a row, each right behind the last or with one between them (that the address
# itself, an integer, may have taken), are those of a pool that was empty.
_RUN = 24
_MOST = 200_000  # blocks of a size; where the addresses show no order, this ends the search
_BYTES_HEAD = bytes.__basicsize__

# What they are taken by.
fillers: list[object] = []


def fill_pools() -> None:
    """Take the free blocks that start-up has left here and there in memory.

    What a process allocates is then in new pools, close together, and it writes to fewer pages.
    The blocks are never given back: half a megabyte of the image, which no process touches.
    """
    for size, make in _makers():
        run, last = 0, 0
        for _block in range(_MOST):
            fillers.append(filler := make())
            run = run + 1 if 0 < id(filler) - last <= 2 * size else 0
            last = id(filler)
            if run >= _RUN and id(filler) % _POOL + 2 * size > _POOL:
                break  # this pool is full: the next block is the first of a new one


def _makers() -> Iterator[tuple[int, Callable[[], object]]]:
    """For each size of block a function that makes an object of it."""
    yield 16, object
    yield 32, lambda: float("1.5")
    for size in range(48, _LARGEST + 1, _ALIGNMENT):
        yield size, lambda size=size: bytes(size - _BYTES_HEAD)  # type: ignore[misc]
