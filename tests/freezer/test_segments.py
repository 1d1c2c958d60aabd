"""segments: memory is cut and joined for the file, and stays what it was."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.segments import ZERO_RUN, common_permissions, grouped, merged, split
from nativecgi_build.freezer.snapshot import Region, Reservation

Piece = Region | Reservation

RUN = ZERO_RUN // PAGE
# Pages between regions, permissions, and runs of pages: how many, and the byte in all of them.
LAYOUTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["r--", "r-x", "rw-", "rwx"]),
        st.lists(
            st.tuples(st.sampled_from([1, 2, RUN - 1, RUN]), st.sampled_from([0, 0, 1])),
            min_size=1,
            max_size=3,
        ),
    ),
    max_size=4,
)


@st.composite
def memories(draw: st.DrawFn) -> list[Region]:
    """Regions of some process, in any order."""
    regions = []
    address = 0x400000
    for gap, permissions, runs in draw(LAYOUTS):
        data = b"".join(bytes([byte]) * (PAGE * count) for count, byte in runs)
        address += gap * PAGE
        regions.append(Region(address, permissions, data))
        address += len(data)
    return draw(st.permutations(regions))


def pieces(memory: Iterable[Region]) -> list[Piece]:
    """What the image holds and what the thaw maps, by address."""
    found: list[Piece] = []
    for region in merged(memory):
        kept, zeros = split(region)
        found += [*kept, *zeros]
    return sorted(found, key=lambda piece: piece.address)


def content(piece: Piece) -> bytes:
    return piece.data if isinstance(piece, Region) else bytes(piece.size)


def flat(memory: Iterable[Piece]) -> list[tuple[int, bytes]]:
    """The memory as stretches without a hole, whatever the permissions."""
    stretches: list[tuple[int, bytearray]] = []
    for piece in sorted(memory, key=lambda piece: piece.address):
        if stretches and stretches[-1][0] + len(stretches[-1][1]) == piece.address:
            stretches[-1][1].extend(content(piece))
        else:
            stretches.append((piece.address, bytearray(content(piece))))
    return [(address, bytes(data)) for address, data in stretches]


def permissions(memory: Iterable[Piece]) -> Iterator[tuple[int, str]]:
    """Every page's."""
    for piece in memory:
        for page in range(0, len(content(piece)), PAGE):
            yield piece.address + page, piece.permissions


@given(memories())
def test_the_pieces_and_the_zeros_are_the_memory_again(memory: list[Region]) -> None:
    assert flat(pieces(memory)) == flat(memory)


@given(memories())
def test_no_page_loses_a_right_or_becomes_writable(memory: list[Region]) -> None:
    before = dict(permissions(memory))
    for page, after in permissions(pieces(memory)):
        assert ("w" in after) == ("w" in before[page])
        assert {*before[page]} - {"-"} <= {*after}


@given(memories())
def test_nothing_is_writable_and_executable_unless_it_was(memory: list[Region]) -> None:
    before = dict(permissions(memory))
    for page, after in permissions(pieces(memory)):
        assert not {"w", "x"} <= {*after} or before[page] == after


@given(memories())
def test_all_are_whole_pages(memory: list[Region]) -> None:
    for piece in pieces(memory):
        assert piece.address % PAGE == 0
        assert content(piece)
        assert len(content(piece)) % PAGE == 0


@given(memories())
def test_merged_regions_come_in_order_of_address(memory: list[Region]) -> None:
    addresses = [region.address for region in merged(memory)]
    assert addresses == sorted(addresses)


@given(memories())
def test_long_runs_of_zeros_are_not_in_the_file(memory: list[Region]) -> None:
    for piece in pieces(memory):
        if isinstance(piece, Region) and "x" not in piece.permissions:
            assert piece.data.find(bytes(ZERO_RUN)) < 0


def page(byte: int, count: int = 1) -> bytes:
    return bytes([byte]) * (PAGE * count)


def test_what_cannot_be_written_becomes_one_segment() -> None:
    library = [
        Region(0x10000, "r--", page(1)),
        Region(0x11000, "r-x", page(2)),
        Region(0x12000, "r--", page(3)),
    ]
    assert list(merged(library)) == [Region(0x10000, "r-x", page(1) + page(2) + page(3))]


def test_writable_memory_is_joined_to_writable_memory_only() -> None:
    memory = [
        Region(0x10000, "r-x", page(1)),
        Region(0x11000, "rw-", page(2)),
        Region(0x12000, "rw-", page(3)),
    ]
    assert list(merged(memory)) == [memory[0], Region(0x11000, "rw-", page(2) + page(3))]


def test_regions_with_a_hole_between_them_stay_apart() -> None:
    memory = [Region(0x10000, "rw-", page(1)), Region(0x12000, "rw-", page(1))]
    assert list(merged(memory)) == memory


@pytest.mark.parametrize(("count", "is_kept"), [(RUN - 1, True), (RUN, False)])
def test_a_run_of_zeros_is_left_out_from_its_size_on(count: int, is_kept: bool) -> None:
    region = Region(0x10000, "rw-", page(1) + page(0, count) + page(2))
    kept, zeros = split(region)
    if is_kept:
        assert (kept, zeros) == ([region], [])
    else:
        assert [piece.data for piece in kept] == [page(1), page(2)]
        assert zeros == [Reservation(0x11000, "rw-", count * PAGE)]


def test_code_is_not_cut() -> None:
    region = Region(0x10000, "r-x", page(1) + page(0, RUN) + page(2))
    assert split(region) == ([region], [])


def test_memory_of_zeros_alone_needs_no_file() -> None:
    assert split(Region(0x10000, "rw-", page(0, RUN))) == (
        [],
        [Reservation(0x10000, "rw-", ZERO_RUN)],
    )


# Groups, where there are more pieces than an ELF file has segments.


@given(memories(), st.integers(0, 8))
def test_groups_are_the_regions_in_order_of_address(memory: list[Region], count: int) -> None:
    regions = [region for group in grouped(memory, count) for region in group]
    assert regions == sorted(memory, key=lambda region: region.address)


@given(memories(), st.integers(0, 8))
def test_a_group_has_no_hole(memory: list[Region], count: int) -> None:
    for group in grouped(memory, count):
        assert len(flat(group)) == 1


@given(memories(), st.integers(0, 8))
def test_there_are_no_more_groups_than_wanted_but_for_holes(
    memory: list[Region], count: int
) -> None:
    groups = grouped(memory, count)
    assert len(groups) == max(min(count, len(memory)), len(flat(memory)))


@given(memories(), st.integers(0, 8))
def test_a_group_is_mapped_with_what_its_memory_shares(memory: list[Region], count: int) -> None:
    for group in grouped(memory, count):
        common = common_permissions(group)
        assert "w" not in common or all(region.permissions == common for region in group)
        assert "x" not in common or any("x" in region.permissions for region in group)
