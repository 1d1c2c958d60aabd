"""elf: the headers say to another reader (pyelftools) what they were made of."""

from io import BytesIO

from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer import elf
from nativecgi_build.freezer.elf import Section, Segment

PAGE = 4096
PAGES = st.integers(1, 2**30).map(PAGE.__mul__)
SEGMENTS = st.lists(
    st.builds(
        Segment,
        address=PAGES,
        permissions=st.sampled_from(["---", "r--", "r-x", "rw-", "rwx"]),
        offset=PAGES,
        size=PAGES,
    ),
    max_size=20,
    unique_by=lambda segment: segment.address,
)
ENTRIES = st.integers(0, 2**47)
FLAGS = {"r": 4, "w": 2, "x": 1, "-": 0}


def read(entry: int, segments: list[Segment]) -> ELFFile:
    return ELFFile(BytesIO(elf.headers(entry, segments)))


@given(ENTRIES, SEGMENTS)
def test_every_segment_is_found_again(entry: int, segments: list[Segment]) -> None:
    found = {
        (s["p_vaddr"], s["p_offset"], s["p_filesz"], s["p_flags"])
        for s in read(entry, segments).iter_segments("PT_LOAD")
    }
    assert found == {
        (s.address, s.offset, s.size, sum(FLAGS[letter] for letter in s.permissions))
        for s in segments
    }


@given(ENTRIES, SEGMENTS)
def test_segments_come_in_order_of_address(entry: int, segments: list[Segment]) -> None:
    addresses = [s["p_vaddr"] for s in read(entry, segments).iter_segments("PT_LOAD")]
    assert addresses == sorted(addresses)


@given(ENTRIES, SEGMENTS)
def test_segments_are_as_long_in_memory_as_in_the_file(entry: int, segments: list[Segment]) -> None:
    for segment in read(entry, segments).iter_segments("PT_LOAD"):
        assert segment["p_filesz"] == segment["p_memsz"]
        assert segment["p_vaddr"] % segment["p_align"] == segment["p_offset"] % segment["p_align"]


@given(ENTRIES, SEGMENTS)
def test_the_initial_stack_is_not_executable(entry: int, segments: list[Segment]) -> None:
    (stack,) = read(entry, segments).iter_segments("PT_GNU_STACK")
    assert stack["p_flags"] == FLAGS["r"] | FLAGS["w"]


@given(ENTRIES, SEGMENTS)
def test_no_dynamic_linker_is_asked_for(entry: int, segments: list[Segment]) -> None:
    file = read(entry, segments)
    assert {s["p_type"] for s in file.iter_segments()} <= {"PT_LOAD", "PT_GNU_STACK"}


@given(ENTRIES, SEGMENTS)
def test_it_is_an_executable_at_fixed_addresses_for_x86_64(
    entry: int, segments: list[Segment]
) -> None:
    file = read(entry, segments)
    assert (file.elfclass, file.little_endian) == (64, True)
    assert (file["e_type"], file["e_machine"], file["e_entry"]) == ("ET_EXEC", "EM_X86_64", entry)


@given(ENTRIES, SEGMENTS)
def test_the_headers_have_the_size_that_is_reckoned_with(
    entry: int, segments: list[Segment]
) -> None:
    size = elf.HEADER_SIZE + (len(segments) + 1) * elf.PROGRAM_HEADER_SIZE
    assert len(elf.headers(entry, segments)) == size


# Files that have sections.

KINDS = {
    elf.SHT_PROGBITS: "SHT_PROGBITS",
    elf.SHT_STRTAB: "SHT_STRTAB",
    elf.SHT_NOBITS: "SHT_NOBITS",
}
IN_MEMORY = st.builds(
    Section,
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
    kind=st.just(elf.SHT_NOBITS),
    permissions=st.sampled_from(["r--", "r-x", "rw-"]),
    address=PAGES,
    size=PAGES,
)
IN_THE_FILE = st.builds(
    Section,
    name=st.text("abc._", max_size=10),
    kind=st.sampled_from([elf.SHT_PROGBITS, elf.SHT_STRTAB]),
    data=st.binary(max_size=100),
)
SECTIONS = st.lists(IN_MEMORY | IN_THE_FILE, max_size=20)
SECTION_FLAGS = {"r": 2, "w": 1, "x": 4, "-": 0}


@given(ENTRIES, SECTIONS)
def test_every_section_is_found_again(entry: int, sections: list[Section]) -> None:
    file = ELFFile(BytesIO(elf.with_sections(entry, sections)))
    none, *found, names = file.iter_sections()
    assert (none["sh_type"], names.name) == ("SHT_NULL", ".shstrtab")
    assert [(s.name, s["sh_type"], s["sh_flags"], s["sh_addr"], s["sh_size"]) for s in found] == [
        (
            s.name,
            KINDS[s.kind],
            sum(SECTION_FLAGS[letter] for letter in s.permissions),
            s.address,
            s.size or len(s.data),
        )
        for s in sections
    ]


@given(ENTRIES, SECTIONS)
def test_a_section_s_data_is_found_again(entry: int, sections: list[Section]) -> None:
    file = ELFFile(BytesIO(elf.with_sections(entry, sections)))
    for number, section in enumerate(sections, 1):
        if section.kind != elf.SHT_NOBITS:
            assert file.get_section(number).data() == section.data


@given(ENTRIES, SECTIONS)
def test_a_file_with_sections_is_for_x86_64_and_has_nothing_to_run(
    entry: int, sections: list[Section]
) -> None:
    file = ELFFile(BytesIO(elf.with_sections(entry, sections)))
    assert (file["e_type"], file["e_machine"], file["e_entry"]) == ("ET_EXEC", "EM_X86_64", entry)
    assert file.num_segments() == 0
