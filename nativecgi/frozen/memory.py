"""Arranges the memory of a program that is about to be frozen."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial

# A line of the allocator's report: a number, the size of block, pools, blocks in use and free ones.
_ROW = re.compile(rb"^ *\d+ +(\d+) +\d+ +\d+ +(\d+)$", re.MULTILINE)
# A pool's size, and where in it the blocks begin (POOL_SIZE and POOL_OVERHEAD).
_POOL, _POOL_HEAD = 16 * 1024, 48
_STDERR = 2
_ENOUGH = 1024 * 1024  # bytes; the allocator's report has a few thousand
_SMALLEST = 16  # of the allocator's sizes of block, in bytes
_BYTES_HEAD = bytes.__basicsize__


def _closure() -> Callable[[], object]:
    """A function with a cell, of which Nuitka has lists of its own."""
    kept = object()
    return lambda: kept


# The interpreter keeps so many objects of some types that have been freed, to be used again. They
# lie where start-up has left them.
_LISTED = 100
_FREE_LISTED: tuple[Callable[[], object], ...] = (
    _closure,
    lambda: slice(_LISTED),
    lambda: [_LISTED],
    lambda: {_LISTED: _LISTED},
    *(partial(tuple, range(length)) for length in range(1, 7)),
)

# What they are taken by.
fillers: list[object] = []


def fill_pools() -> None:
    """Take the free blocks that start-up has left here and there in memory.

    CPython's small-object allocator (Objects/obmalloc.c) has pools of blocks of one size. What a
    process allocates is then in new pools, at their beginning, and it writes to fewer pages. The
    blocks are never given back: they are in the image, and no process touches them.
    """
    sizes = dict(_free_blocks())
    for size, free in sizes.items():
        make = _maker(size)
        fillers.extend(make() for _block in range(free))
    for make in _FREE_LISTED:
        fillers.extend(make() for _object in range(_LISTED))
    # What was needed to find that out is free again: a few blocks of each size.
    for size in sizes:
        _begin_pool(size)


def _begin_pool(size: int) -> None:
    """Take blocks up to the first of a pool."""
    make = _maker(size)
    for _block in range(2 * _POOL // size):
        fillers.append(filler := make())
        if id(filler) % _POOL == _POOL_HEAD:
            return


def _free_blocks() -> Iterator[tuple[int, int]]:
    """The sizes of blocks that have pools, and how many of each are free in these."""
    for row in _ROW.finditer(_allocator_report()):
        yield int(row[1]), int(row[2])


def _allocator_report() -> bytes:
    """What sys._debugmallocstats writes to standard error, of which C knows the descriptor only."""
    kept, report = os.dup(_STDERR), os.memfd_create("report")
    os.dup2(report, _STDERR)
    try:
        sys._debugmallocstats()
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
    text = os.pread(report, _ENOUGH, 0)
    os.close(report)
    return text


def _maker(size: int) -> Callable[[], object]:
    """Makes objects that take a block of that size."""
    if size == _SMALLEST:
        return object
    if size <= _BYTES_HEAD:
        return lambda: float("1.5")
    return lambda: bytes(size - _BYTES_HEAD)
