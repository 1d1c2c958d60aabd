"""Whether the constants of the module `time` are those of a process's time zone (zone.c)."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.extensions import extension

Renew = Callable[..., bool]

# Rules as tzset(3) has them, which need no files.
HERE = "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.fixture(scope="module")
def renew(tmp_path_factory: pytest.TempPathFactory) -> Renew:
    found: Renew = extension("zone", tmp_path_factory.mktemp("extension")).renew
    return found


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the time zone, without anybody having looked for it."""
    yield lambda zone: monkeypatch.setenv("TZ", zone)
    monkeypatch.undo()
    time.tzset()


def constants() -> tuple[object, ...]:
    return time.timezone, time.altzone, time.daylight, time.tzname


@pytest.mark.parametrize(
    "zone", ["UTC", HERE, "AEST-10AEDT,M10.1.0,M4.1.0/3", "XYZ-3", "<+0530>-5:30"]
)
def test_they_are_once_they_have_been_made_in_it(
    renew: Renew, move: Callable[[str], None], zone: str
) -> None:
    move(zone)
    time.tzset()
    assert renew(*constants()) is True


@pytest.mark.parametrize(
    "zone",
    [
        pytest.param("CET-2CEST,M3.5.0,M10.5.0/3", id="another time"),
        pytest.param("CET-1CEST-4,M3.5.0,M10.5.0/3", id="another summer time"),
        pytest.param("CET-1", id="no summer time"),
        pytest.param("MEZ-1CEST,M3.5.0,M10.5.0/3", id="another name"),
        pytest.param("CET-1MESZ,M3.5.0,M10.5.0/3", id="another name of its summer time"),
    ],
)
def test_they_are_not_in_another(renew: Renew, move: Callable[[str], None], zone: str) -> None:
    move(HERE)
    time.tzset()
    move(zone)
    assert renew(*constants()) is False


def test_the_c_library_has_the_zone_then(renew: Renew, move: Callable[[str], None]) -> None:
    move("XYZ-3")
    renew(*constants())
    assert time.localtime(0).tm_hour == 3


@pytest.mark.parametrize(
    "given",
    [
        (2**70, 0, 0, ("UTC", "UTC")),
        (None, 0, 0, ("UTC", "UTC")),
        (0, 0, 0, ()),
        (0, 0, 0, "UTC"),
        (0, 0, 0, ("UTC", None)),
    ],
)
def test_what_a_program_has_made_of_them_is_not(
    renew: Renew, move: Callable[[str], None], given: tuple[object, ...]
) -> None:
    move("UTC")
    assert renew(*given) is False


def test_there_are_four(renew: Renew) -> None:
    with pytest.raises(TypeError):
        renew()
