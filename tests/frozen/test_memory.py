"""Filling the allocator's pools, in processes of their own: it takes memory for good."""

import subprocess
import sys

PROGRAM = """
import sys
from nativecgi.frozen.memory import fill_pools
scattered = [bytes(67) for _block in range(20000)]
del scattered[::37]
if sys.argv[1] == "filled":
    fill_pools()
blocks = [bytes(67) for _block in range(40)]
print(len({id(block) // 4096 for block in blocks}))
"""


def pages_of_forty_blocks(pools: str) -> int:
    command = [sys.executable, "-c", PROGRAM, pools]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_blocks_allocated_after_it_lie_together() -> None:
    """Forty blocks of 112 bytes need two pages, or three where they begin late in one."""
    assert pages_of_forty_blocks("filled") <= 3


def test_no_block_is_left_free_in_a_pool_that_was_there() -> None:
    program = """
from nativecgi.frozen import memory
memory.fill_pools()
taken = len(memory.fillers)
print(taken, *(free for size, free in memory._free_blocks() if free * size < 8192))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    taken, *free = map(int, result.stdout.split())
    assert taken > 1000
    # As its last one, a size may have a pool that has just been begun, of 16 KiB.
    assert sum(free) < 100
    assert result.stderr == b"", "the allocator's report is no output of the program"
