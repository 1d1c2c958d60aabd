"""No two processes draw the same from a SQLite, wherever in the program it is."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.freezer import sqlite

Compile = Callable[..., Path]
Frozen = Callable[..., Path]
# All of a library, wherever on the command line it is.
ARCHIVE = "-Wl,--whole-archive,-l:libsqlite3.a,--no-whole-archive"
# Of a static library nothing is shown to others, as in extension modules.
HIDDEN = ("-shared", "-fPIC", "-Wl,--exclude-libs,ALL", ARCHIVE)
LINKED = ("-DLINKED", "-Wl,--no-as-needed", "-lsqlite3")
STATIC = ("-DLINKED", ARCHIVE)


def drawn(image: Path) -> list[list[str]]:
    """What five processes draw, of each copy."""
    runs = [subprocess.run([image], capture_output=True, text=True) for _thaw in range(5)]
    assert [run.returncode for run in runs] == [0] * 5, runs
    return [list(draws) for draws in zip(*(run.stdout.split() for run in runs), strict=True)]


def all_differ(image: Path, copies: int = 1) -> bool:
    found = drawn(image)
    assert len(found) == copies
    return all(len(set(draws)) == len(draws) for draws in found)


def test_linked_dynamically(linked: Compile, frozen: Frozen) -> None:
    assert all_differ(frozen(linked("sqlites.c", *LINKED)))


def test_linked_statically(linked: Compile, frozen: Frozen) -> None:
    """Its symbols are in the table that the dynamic linker does not read."""
    assert all_differ(frozen(linked("sqlites.c", *STATIC)))


def test_linked_statically_and_stripped(linked: Compile, frozen: Frozen) -> None:
    assert all_differ(frozen(linked("sqlites.c", *STATIC, "-s")))


def test_in_a_library_with_hidden_symbols(linked: Compile, frozen: Frozen) -> None:
    library = linked("drawing.c", *HIDDEN)
    assert all_differ(frozen(linked("sqlites.c"), library))


def test_in_a_stripped_library_with_hidden_symbols(linked: Compile, frozen: Frozen) -> None:
    library = linked("drawing.c", *HIDDEN, "-s")
    assert all_differ(frozen(linked("sqlites.c"), library))


def test_in_several_copies(linked: Compile, frozen: Frozen) -> None:
    """The program's, one in a library, and that library loaded once more."""
    library = linked("drawing.c", *HIDDEN)
    image = frozen(linked("sqlites.c", *LINKED), library, library)
    assert all_differ(image, copies=3)


def test_in_several_stripped_copies(linked: Compile, frozen: Frozen) -> None:
    library = linked("drawing.c", *HIDDEN, "-s")
    image = frozen(linked("sqlites.c", *STATIC, "-s"), library, library)
    assert all_differ(image, copies=3)


@pytest.fixture
def linked(compiled: Compile) -> Compile:
    """Compiles what needs SQLite to be linked to."""
    return lambda source, *flags: compiled(source, *flags, optional=True)


# What is known of a generator's state.


def chacha(left: int = 7) -> bytes:
    return b"expand 32-byte k" + bytes(range(48)) + bytes(64) + bytes([left])


def test_a_state_of_chacha20_is_found() -> None:
    data = bytes(32) + chacha() + bytes(7)
    assert list(sqlite._chacha_states(data)) == [32]


@pytest.mark.parametrize(
    "data", [b"a" + chacha(), chacha(left=65), b"expand 32-byte k", bytes(500)]
)
def test_what_is_no_state_of_chacha20_is_left_alone(data: bytes) -> None:
    assert list(sqlite._chacha_states(data)) == []


def test_a_state_of_rc4_is_found() -> None:
    data = bytes(5) + bytes([1, 8, 9]) + bytes(reversed(range(256)))
    assert list(sqlite._rc4_states(data)) == [5]


@pytest.mark.parametrize(
    "data", [bytes([0, 8, 9]) + bytes(reversed(range(256))), bytes([1]) * 300, bytes(range(90))]
)
def test_what_is_no_state_of_rc4_is_left_alone(data: bytes) -> None:
    assert list(sqlite._rc4_states(data)) == []


def test_an_unknown_generator_is_refused(
    linked: Compile, freeze: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """Of a later SQLite, whose functions have no symbols: here one with another constant."""
    library, changed = linked("drawing.c", *HIDDEN, "-s"), tmp_path / "changed.so"
    changed.write_bytes(library.read_bytes().replace(b"expand 32-byte k", b"EXPAND 32-byte k"))
    result = freeze(linked("sqlites.c"), changed, output=tmp_path / "image")
    assert result.returncode == 1
    assert f"{changed} contains SQLite of 20" in result.stderr
    assert "Use a SQLite that exports its functions" in result.stderr


def test_an_unused_generator_is_no_matter(
    linked: Compile, freeze: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """It seeds itself in each process."""
    library = linked("drawing.c", *HIDDEN, "-s")
    program, image = linked("sqlites.c", "-DUNUSED"), tmp_path / "image"
    assert freeze(program, library, output=image).returncode == 0
    assert all_differ(image)
