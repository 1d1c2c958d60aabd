"""thaw: the stub is code for any address, with every word filled in by its name."""

import platform
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from nativecgi_build.freezer import Unsupported, capture, require_support, thaw
from nativecgi_build.freezer.snapshot import Canary, Letterbox, Reservation, Snapshot, SystemCall
from nativecgi_build.freezer.thaw import Stub

ADDRESS = 0x10_0000_0000
SNAPSHOT = Snapshot(
    registers={
        name: 0x1000 + number
        for number, name in enumerate([*capture._REGISTERS, "mxcsr", "control_word"])
    },
    memory=[],
    reservations=[],
    calls=[],
    interrupt_action=b"interrupt action".ljust(32),
    environ_address=0x2000,
    curbrk_address=0x2001,
    tid_address=0x2002,
    id=0x2003,
    letterbox=Letterbox(0x3000, 4096),
    canary=Canary(0x4000, (0x5000, 0x5008)),
)


@pytest.fixture(scope="module")
def stub() -> Stub:
    return thaw.assemble()


def word(code: bytes, stub: Stub, name: str) -> int:
    (value,) = struct.unpack_from("<Q", code, stub.words[name])
    assert isinstance(value, int)
    return value


def test_the_object_has_no_relocations(tmp_path: Path) -> None:
    source = Path(thaw.__file__).with_name("thaw.S")
    subprocess.run(["cc", "-c", "-o", tmp_path / "thaw.o", source], check=True)
    with (tmp_path / "thaw.o").open("rb") as file:
        sections = list(ELFFile(file).iter_sections())
    assert ".text" in [section.name for section in sections]
    assert not [section.name for section in sections if isinstance(section, RelocationSection)]


def test_it_is_entered_at_its_first_byte(stub: Stub) -> None:
    assert stub.words["_start"] == 0


def test_every_register_has_its_word(stub: Stub) -> None:
    code = thaw.link(stub, ADDRESS, SNAPSHOT, [])
    for name, value in SNAPSHOT.registers.items():
        assert word(code, stub, f"saved_{name}") == value


def test_every_address_has_its_word(stub: Stub) -> None:
    code = thaw.link(stub, ADDRESS, SNAPSHOT, [])
    assert word(code, stub, "environ_address") == SNAPSHOT.environ_address
    assert word(code, stub, "curbrk_address") == SNAPSHOT.curbrk_address
    assert word(code, stub, "tid_address") == SNAPSHOT.tid_address
    assert word(code, stub, "frozen_id") == SNAPSHOT.id


def test_the_canarys_copies_are_listed(stub: Stub) -> None:
    code = thaw.link(stub, ADDRESS, SNAPSHOT, [])
    assert word(code, stub, "canary_address") == 0x4000
    assert word(code, stub, "copy_count") == 2
    copies = word(code, stub, "copies") - ADDRESS
    assert struct.unpack_from("<2Q", code, copies) == SNAPSHOT.canary.copies


def test_the_letterbox_holds_what_is_left_behind_its_head(stub: Stub) -> None:
    code = thaw.link(stub, ADDRESS, SNAPSHOT, [])
    assert word(code, stub, "letterbox") == 0x3000
    assert word(code, stub, "letterbox_capacity") == 4096 - 24


def test_a_structure_is_passed_by_its_address(stub: Stub) -> None:
    code = thaw.link(stub, ADDRESS, SNAPSHOT, [SystemCall(131, (b"a stack", 0))])
    number, argument, *_rest = struct.unpack_from("<8Q", code, stub.words["calls"])
    assert number == 131
    assert argument % 8 == 0
    assert code[argument - ADDRESS :].startswith(b"a stack")
    interrupt_action = word(code, stub, "interrupt_action")
    assert code[interrupt_action - ADDRESS :].startswith(b"interrupt action")


def test_the_calls_come_in_order_each_with_what_it_must_return(stub: Stub) -> None:
    calls = [SystemCall(9, (1, 2, 3, 4, 5, 6), expected=1), SystemCall(158, (0x1002, 7))]
    code = thaw.link(stub, ADDRESS, SNAPSHOT, calls)
    rows = struct.unpack_from("<16Q", code, stub.words["calls"])
    assert word(code, stub, "call_count") == 2
    assert rows == (9, 1, 2, 3, 4, 5, 6, 1, 158, 0x1002, 7, 0, 0, 0, 0, 0)


def test_memory_is_mapped_at_its_address_or_not_at_all() -> None:
    call = thaw.mapping_call(Reservation(0x5000, "rw-", 0x2000))
    address, size, protection, flags, *_nowhere = call.arguments
    assert isinstance(flags, int)
    assert (call.number, address, size, protection) == (9, 0x5000, 0x2000, 1 | 2)
    assert flags & 0x10, "MAP_FIXED"
    assert call.expected == 0x5000


def test_without_a_compiler_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="apt-get install gcc"):
        thaw.assemble()


def test_another_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_support()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(Unsupported, match="aarch64"):
        require_support()
