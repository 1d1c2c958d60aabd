"""The image heap: what a process touches lies together, and memory behaves as ever."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer import cc, heap
from nativecgi_build.freezer.heap import Block
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.snapshot import Region
from nativecgi_build.freezer.watch import Touched

TRIAL = ("--trial=PROBE=write",)
SLACK = 64  # pages: what the C library needs for itself


@pytest.fixture(scope="module")
def image(compiled: Callable[..., Path], frozen: Callable[..., Path]) -> Path:
    """The program heap.c, frozen and tried."""
    return frozen(compiled("heap.c"), options=TRIAL)


def answer(image: Path, probe: str) -> str:
    """What a probe prints, if all else is well."""
    result = subprocess.run(
        [image], env={"PROBE": probe}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


def blocks_of(image: Path) -> dict[str, list[tuple[int, int]]]:
    """Address and size of blocks that "write" writes to, and that it reads."""
    blocks: dict[str, list[tuple[int, int]]] = {"written": [], "read": []}
    for line in answer(image, "addresses").splitlines():
        kind, address, size = line.split()
        if int(size) <= PAGE:
            blocks[kind].append((int(address, 16), int(size)))
    return blocks


def is_together(blocks: list[tuple[int, int]]) -> bool:
    first, (last, length) = min(blocks)[0], max(blocks)
    return last + length - first < sum(size + 16 for _address, size in blocks) + PAGE


# What a request touches lies together.


def test_blocks_that_are_touched_lie_together(image: Path) -> None:
    blocks = blocks_of(image)
    assert all(map(is_together, blocks.values()))
    assert max(blocks["written"]) < min(blocks["read"])


def test_a_program_that_does_not_do_the_same_twice_is_frozen_all_the_same(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    image = frozen(compiled("heap.c", "-DAT_RANDOM_TIMES"), options=TRIAL)
    assert answer(image, "move") == ""
    assert answer(image, "churn") == ""


def test_more_environments_are_seen_to(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    also = '--also={"environment": {"PROBE": "write"}}'
    image = frozen(compiled("heap.c"), options=("--trial=PROBE=none", also))
    assert is_together(blocks_of(image)["written"])


# Memory behaves as ever.


@pytest.mark.parametrize("probe", ["move", "churn", "threads"])
def test_blocks_keep_what_is_in_them(image: Path, probe: str) -> None:
    assert answer(image, probe) == ""


def test_a_process_that_lives_long_does_not_grow(image: Path) -> None:
    assert int(answer(image, "grow")) < SLACK


def test_a_block_that_is_freed_is_used_again(image: Path) -> None:
    assert answer(image, "again") == "1"


def test_a_block_of_the_image_is_not_used_again(image: Path) -> None:
    assert answer(image, "old") == "0"


def test_a_block_that_is_freed_twice_ends_the_process(image: Path) -> None:
    assert subprocess.run([image], env={"PROBE": "twice"}, check=False).returncode == -6


# It leaves no traces.


def test_the_program_does_not_see_how_it_was_started(image: Path) -> None:
    assert answer(image, "variable") == "0"


@pytest.mark.parametrize("options", [(), ("-DRECORDS=1048576",)])
def test_a_program_that_is_not_frozen_works_with_it(
    compiled: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "chance.h").write_text("#define CHANCE_BYTES 1, 2, 3\n")
    options = (*options, f'-DCHANCE="{tmp_path}/chance.h"', "-o", str(tmp_path / "heap.so"))
    sources = [Path(heap.__file__).with_name(name) for name in ("heap.c", "again.c")]
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", *cc.LIBRARY, *options, *sources], check=True
    )
    for probe in ("move", "churn", "threads"):
        env = {"PROBE": probe, "LD_PRELOAD": str(tmp_path / "heap.so")}
        subprocess.run([compiled("heap.c")], env=env, check=True, timeout=60)


def test_what_was_in_a_block_that_is_free_is_not_in_the_image(image: Path) -> None:
    assert b"TRACE." not in image.read_bytes()


# The plan.

A = Block(address=0x1000, context=3, size_class=2, ordinal=7)
B = Block(address=0x1020, context=9, size_class=1, ordinal=0)
C = Block(address=0x2000, context=3, size_class=3, ordinal=1)
BLOCKS = [A, B, C]
LARGE = Block(address=0x8000, context=0, size_class=PAGE // 16 + 1, ordinal=0)
START = 0x70000


def test_the_blocks_on_a_page_that_was_touched() -> None:
    assert heap.on_pages(BLOCKS, Touched(read=[0x1000], written=[])) == [A, B]


def test_those_on_pages_that_are_written_to_come_first() -> None:
    assert heap.on_pages(BLOCKS, Touched(read=[0x1000, 0x2000], written=[0x2000])) == [C, A, B]


def test_a_block_on_two_pages_is_on_each_of_them() -> None:
    block = Block(address=0x2FF0, context=0, size_class=2, ordinal=0)
    for page in (0x2000, 0x3000):
        assert block in heap.on_pages([*BLOCKS, block], Touched(read=[page], written=[]))


def test_each_block_gets_a_page() -> None:
    assert heap.apart([B, A]) == {B: 0, A: PAGE}


def test_a_block_that_is_larger_than_a_page_does_not() -> None:
    assert heap.apart([LARGE, A]) == {A: 0}


def test_which_block_it_is_that_is_touched() -> None:
    plan = {A: 0, B: PAGE, C: 2 * PAGE}
    assert heap.at_pages(plan, START, [START + 2 * PAGE, START]) == [C, A]


def test_what_is_written_to_comes_first_and_what_is_read_on_pages_of_its_own() -> None:
    assert heap.together([B], [C, A, B], [], []) == {B: 0, C: PAGE, A: PAGE + 48}


def test_blocks_are_in_the_order_of_their_first_use() -> None:
    assert heap.together([B, A], [A, B], [], []) == {B: 0, A: 16}


def test_large_blocks_on_pages_that_were_touched_come_last() -> None:
    assert heap.together([], [A], [A, LARGE], [LARGE]) == {A: 0, LARGE: PAGE}


def test_a_block_that_is_not_touched_comes_before_all_others() -> None:
    assert heap.together([], [B], [], BLOCKS) == {A: 0, C: 32, B: PAGE}


def test_a_block_whose_size_is_not_known_stays_where_it_is() -> None:
    block = Block(0x20000, context=0, size_class=0, ordinal=0)
    assert heap.on_pages([block], Touched(read=[0x20000], written=[])) == []
    assert heap.together([], [], [], [block]) == {}


@given(st.lists(st.integers(1, 600), max_size=60), st.data())
def test_planned_blocks_do_not_overlap(sizes: list[int], data: st.DataObject) -> None:
    blocks = [Block(0, 0, size, index) for index, size in enumerate(sizes)]
    small = [block for block in blocks if block.size <= PAGE]
    read = data.draw(st.lists(st.sampled_from(small), unique=True)) if small else []
    written = [block for block in read if data.draw(st.booleans())]
    plan = heap.together(written, read, blocks[::2], blocks)
    end = 0
    for block, offset in plan.items():
        assert (offset >= end, offset % 16) == (True, 0)
        end = offset + block.size
    assert plan.keys() == {*blocks}


def test_how_many_pages_blocks_take_together() -> None:
    assert (heap.page_count([]), heap.page_count([A, LARGE])) == (0, 2)


def test_only_memory_that_has_blocks_is_watched() -> None:
    memory = [
        Region(0x1000, "rw-", bytes(PAGE)),
        Region(0x2000, "r--", bytes(PAGE)),
        Region(0x5000, "rw-", bytes(PAGE)),
    ]
    assert heap.areas(BLOCKS, memory) == [(0x1000, 0x2000)]
