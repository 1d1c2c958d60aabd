"""What a process touches of its memory is seen, and the process does not notice."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from nativecgi_build.freezer import procfs
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.watch import Touched, Trial, merged, watched

SECONDS = 30
PAGES = 8


@pytest.fixture(scope="module")
def see(
    compiled: Callable[..., Path],
    frozen: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Touched]:
    """Has the program pages.c touch its pages in some way; their numbers, as they were seen."""
    program = compiled("pages.c", "-no-pie", "-fno-pie", "-g")
    image = frozen(program)
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        symbols = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    start = symbols["pages"]
    told = tmp_path_factory.mktemp("told") / "told"

    def watch(probe: str, seconds: float = SECONDS, input: bytes = b"") -> Touched:
        told.write_text("")
        environment = {"PROBE": probe, "TOLD": str(told)}
        seen = watched(image, Trial(environment, input), seconds, [(start, start + PAGES * PAGE)])
        if probe != "hang":
            assert told.read_text() == "well"
        return Touched(
            *([(p - start) // PAGE for p in pages] for pages in (seen.read, seen.written))
        )

    return watch


def test_pages_are_in_the_order_in_which_they_were_needed(see: Callable[..., Touched]) -> None:
    assert see("some") == Touched(read=[5, 2, 7], written=[7])


def test_a_page_that_nobody_needs_is_not_seen(see: Callable[..., Touched]) -> None:
    assert see("none") == Touched(read=[], written=[])


def test_an_operand_on_two_pages_is_on_both(see: Callable[..., Touched]) -> None:
    assert see("across") == Touched(read=[3, 4], written=[3, 4])


def test_the_kernel_gets_what_a_system_call_is_given(see: Callable[..., Touched]) -> None:
    assert see("read") == Touched(read=[1], written=[1])


def test_it_reads_what_it_is_given(see: Callable[..., Touched]) -> None:
    assert see("input", input=b"hello") == Touched(read=[5], written=[5])


def test_a_call_for_which_a_structure_points_to_pages_succeeds(see: Callable[..., Touched]) -> None:
    assert see("gather").read == []


def test_the_program_s_own_faults_are_its_own(see: Callable[..., Touched]) -> None:
    assert see("fault") == Touched(read=[6], written=[])


def test_a_program_that_does_not_end_is_left_after_its_time(see: Callable[..., Touched]) -> None:
    assert see("hang", 0.5) == Touched(read=[2], written=[])


def test_a_process_that_is_left_has_ended(see: Callable[..., Touched]) -> None:
    before = procfs.children(os.getpid())
    for _ in range(10):
        see("hang", 0.1)
    assert procfs.children(os.getpid()) == before


def test_what_several_have_touched_is_in_the_order_of_the_first() -> None:
    both = merged([Touched(read=[2, 1], written=[1]), Touched(read=[3, 1], written=[3, 1])])
    assert both == Touched(read=[2, 1, 3], written=[1, 3])
