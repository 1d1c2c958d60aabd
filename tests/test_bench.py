"""What the benchmark makes of its measurements; what it measures is for no test to judge."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import chart, pagecache, report, startup
from bench.chart import Dot
from bench.programs import Program
from bench.startup import Sample, Timing

SVG = "{http://www.w3.org/2000/svg}"
DOTS = [Dot("one & <two>", 0.2), Dot("ours", 2.0, is_ours=True), Dot("three", 20.0)]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk, which /tmp need not be on."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture
def binary(compiled: Callable[..., Path]) -> Program:
    return Program("binary", compiled("answers.S", "-nostdlib", "-static", "-no-pie"))


@pytest.fixture
def script(tmp_path: Path) -> Program:
    path = tmp_path / "script"
    path.write_text("#!/bin/sh\nprintf 'Status: 200 OK\\n\\nHello world'\n")
    path.chmod(0o755)
    return Program("script", path)


def is_in_memory(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False


# --- the states of the page cache ---


def test_a_binary_has_two_copies_meanwhile(binary: Program, disk: Path) -> None:
    with pagecache.copied([binary], disk / "copies") as copies:
        written = copies[binary].written
        assert written is not None
        for copy in (copies[binary].evicted, written):
            assert copy.path.read_bytes() == binary.path.read_bytes()
            assert os.access(copy.path, os.X_OK)
            assert copy.path.name == binary.path.name
    assert list(disk.iterdir()) == []


def test_copies_have_paths_of_one_length(binary: Program, disk: Path) -> None:
    with pagecache.copied([binary], disk / "copies") as copies:
        written = copies[binary].written
        assert written is not None
        assert len(str(copies[binary].evicted.path)) == len(str(written.path))


def test_a_script_is_not_copied(script: Program, disk: Path) -> None:
    with pagecache.copied([script], disk / "copies") as copies:
        assert copies[script] == pagecache.Copies(script, None)


def test_a_program_of_several_files_is_not_copied(binary: Program, disk: Path) -> None:
    program = Program("several", binary.path, folder=binary.path.parent)
    with pagecache.copied([program], disk / "copies") as copies:
        assert copies[program] == pagecache.Copies(program, None)


def test_what_is_evicted_is_not_in_memory(binary: Program, disk: Path) -> None:
    with pagecache.copied([binary], disk / "copies") as copies:
        evicted, written = copies[binary].evicted, copies[binary].written
        assert written is not None
        pagecache.evict(evicted)
        if is_in_memory(evicted.path):
            pytest.skip("the file system of /var/tmp is in memory itself")
        assert is_in_memory(written.path)


# --- start-up ---


def test_each_program_is_timed_in_the_states_that_it_has(
    binary: Program, script: Program, disk: Path
) -> None:
    timings = startup.time_all([binary, script], rounds=2, warm_up=1, folder=disk / "copies")
    of_binary, of_script = timings[binary], timings[script]
    assert of_binary.fresh is not None
    assert of_binary.first is not None
    assert (of_script.fresh, of_script.first) == (None, None)


def test_samples_are_summarised_each_state_apart() -> None:
    samples = [Sample(float(number), faults=number) for number in range(1, 102)]
    fresh, first = [Sample(3.0, faults=900)] * 5, [Sample(70.0, faults=900)] * 5
    assert startup.summary(samples, first, fresh) == Timing(
        minimum=1.0, median=51.0, p95=96.0, faults=51, first=70.0, fresh=3.0
    )


def test_a_state_that_was_not_measured_is_a_dash_in_the_table(script: Program) -> None:
    table = report.startup_table({script: startup.summary([Sample(1.5, faults=9)])})
    assert dict(zip(table.head, table.rows[0], strict=True)) == {
        **{"program": "script", "min ms": "1.50", "median ms": "1.50", "p95 ms": "1.50"},
        **{"x Go": "-", "x C": "-", "fresh ms": "-", "first ms": "-"},
    }


def test_a_section_of_the_page_is_replaced_and_no_other() -> None:
    page = "# Benchmarks\n\n## A\n\nold\n\n## B\n\nkept\n\n## How it is measured\n\nso\n"
    table = report.Table("A", ("x", "y"), [("1", "2")])
    assert report.updated(page, table) == (
        "# Benchmarks\n\n## A\n\n| x | y |\n| --- | ---: |\n| 1 | 2 |\n\n"
        "## B\n\nkept\n\n## How it is measured\n\nso\n"
    )


# --- the chart ---


@pytest.fixture
def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg("Times", DOTS))


def positions(drawn: ElementTree.Element) -> list[float]:
    return [float(dot.get("cx", "")) for dot in drawn.iter(f"{SVG}circle")]


def test_a_chart_says_to_who_cannot_see_it_what_it_shows(drawn: ElementTree.Element) -> None:
    labels = (drawn.get("aria-labelledby") or "").split()
    title, description = (drawn.find(f"*[@id='{label}']") for label in labels)
    assert drawn.get("role") == "img"
    assert title is not None
    assert title.text == "Times"
    assert description is not None
    assert description.text == (
        "Milliseconds, on a logarithmic scale. one & <two>: 0.20 ms; ours: 2.00 ms; three: 20.0 ms."
    )


def test_the_same_ratio_is_the_same_distance(drawn: ElementTree.Element) -> None:
    first, second, third = positions(drawn)
    assert first < second < third
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_the_scale_has_all_powers_of_ten_around_the_times(drawn: ElementTree.Element) -> None:
    labels = [text.text for text in drawn.iter(f"{SVG}text") if text.get("text-anchor") == "middle"]
    assert labels == ["0.1 ms", "1 ms", "10 ms", "100 ms"]


@pytest.mark.parametrize("value", [0.1, 1.0, 9.99, 1000.0])
def test_a_dot_is_within_the_scale(value: float) -> None:
    (x,) = positions(ElementTree.fromstring(chart.svg("Times", [Dot("it", value)])))
    assert chart.LEFT <= x <= chart.RIGHT


def test_only_ours_are_highlighted(drawn: ElementTree.Element) -> None:
    highlighted = {
        text.text for text in drawn.iter(f"{SVG}text") if "ours" in text.get("class", "")
    }
    assert highlighted == {"ours", "2.00 ms"}


def test_a_chart_has_colours_for_the_dark(drawn: ElementTree.Element) -> None:
    style = drawn.find(f"{SVG}style")
    assert style is not None
    assert "@media (prefers-color-scheme: dark)" in (style.text or "")


def test_the_chart_of_start_up_is_sorted(binary: Program, script: Program) -> None:
    timings = {
        script: startup.summary([Sample(2.0, faults=1)]),
        binary: startup.summary([Sample(1.0, faults=1)]),
    }
    drawn = ElementTree.fromstring(report.startup_chart(timings))
    names = [text.text for text in drawn.iter(f"{SVG}text") if text.get("class") == "name"]
    assert names == ["binary", "script"]
    assert positions(drawn) == sorted(positions(drawn))


def test_the_readme_shows_the_chart() -> None:
    root = Path(chart.__file__).parent.parent
    assert "](docs/benchmarks.svg)" in (root / "README.md").read_text()
    ElementTree.parse(root / "docs" / "benchmarks.svg")
