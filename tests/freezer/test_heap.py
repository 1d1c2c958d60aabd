"""The image heap: what a process touches lies together, and memory behaves as ever."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer import cc, heap
from nativecgi_build.freezer.heap import Block, Plan
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.profile import Profile

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


def profile(*, reads: list[int] | None = None, writes: list[int] | None = None) -> Profile:
    return Profile(instructions=0, lines=0, reads=reads or [], writes=writes or [])


# What a request touches lies together.


def test_blocks_that_are_touched_lie_together(image: Path) -> None:
    blocks: dict[str, list[tuple[int, int]]] = {"written": [], "read": []}
    for line in answer(image, "addresses").splitlines():
        kind, address, size = line.split()
        if int(size) <= PAGE:
            blocks[kind].append((int(address, 16), int(size)))
    for places in blocks.values():
        first, (last, length) = min(places)[0], max(places)
        assert last + length - first < sum(size + 16 for _address, size in places) + PAGE
    assert max(blocks["written"]) < min(blocks["read"])


def test_a_program_that_does_not_do_the_same_twice_is_frozen_all_the_same(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    image = frozen(compiled("heap.c", "-DAT_RANDOM_TIMES"), options=TRIAL)
    assert answer(image, "move") == ""
    assert answer(image, "churn") == ""


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
    sources = [Path(heap.__file__).with_name(name) for name in ("heap.c", "twice.c")]
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", *cc.LIBRARY, *options, *sources], check=True
    )
    for probe in ("move", "churn", "threads"):
        env = {"PROBE": probe, "LD_PRELOAD": str(tmp_path / "heap.so")}
        subprocess.run([compiled("heap.c")], env=env, check=True, timeout=60)


# The plan.

A = Block(address=0x1000, context=3, size_class=2, ordinal=7)
B = Block(address=0x1020, context=9, size_class=1, ordinal=0)
C = Block(address=0x2000, context=3, size_class=3, ordinal=1)
BLOCKS = [A, B, C]


def test_what_is_written_to_comes_first_and_what_is_read_on_pages_of_its_own() -> None:
    plan = heap.plan(BLOCKS, profile(reads=[0x1000, 0x2008], writes=[0x1028]))
    assert plan == Plan({B: 0, A: PAGE, C: PAGE + 32}, written=PAGE, size=2 * PAGE)


def test_blocks_are_in_the_order_of_their_first_use() -> None:
    plan = heap.plan(BLOCKS, profile(writes=[0x2000, 0x1000, 0x2010, 0x1020]))
    assert plan.offsets == {C: 0, A: 48, B: 80}


def test_what_is_written_to_is_not_among_what_is_read() -> None:
    plan = heap.plan(BLOCKS, profile(reads=[0x1000], writes=[0x1000]))
    assert plan.offsets == {A: 0}


def test_what_lies_between_blocks_or_is_large_has_no_place() -> None:
    blocks = [*BLOCKS, Block(address=0x8000, context=0, size_class=PAGE // 16 + 1, ordinal=0)]
    blocks += [Block(address=0x20000, context=0, size_class=0, ordinal=0)]
    touched = [0x0FF8, 0x1030, 0x2030, 0x8000, 0x20000, 0x30000]
    assert heap.plan(blocks, profile(reads=touched, writes=touched)).offsets == {}


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 3)), max_size=60),
    st.data(),
)
def test_planned_blocks_do_not_overlap(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    blocks, address = [], 0x1000
    for ordinal, (size, gap) in enumerate(sizes):
        blocks.append(Block(address, 0, size, ordinal))
        address += (size + gap) * 16
    words = st.lists(st.integers(0x1000 // 8, address // 8).map(lambda word: word * 8), max_size=80)
    plan = heap.plan(blocks, profile(reads=data.draw(words), writes=data.draw(words)))
    end = 0
    for block, offset in plan.offsets.items():
        assert (offset >= end, offset % 16) == (True, 0)
        end = offset + block.size
    assert (end <= plan.size, plan.size % PAGE) == (True, 0)
