"""Filling the allocator's pools, in processes of their own: it takes memory for good."""

import subprocess
import sys

from nativecgi import memory

PROGRAM = """
import sys
from nativecgi.memory import fill_pools
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


def test_each_size_of_block_is_filled() -> None:
    program = "from nativecgi import memory; memory.fill_pools(); print(len(memory.fillers))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(result.stdout) >= len(list(memory._makers())) * memory._RUN
