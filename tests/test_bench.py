"""What the benchmark makes of its measurements; what it measures is for no test to judge."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import builds, chart, frameworks, pagecache, processes, report, startup, throughput
from bench.chart import Dot
from bench.errors import BenchError
from bench.frameworks import FRAMEWORKS, FROZEN, Built, Framework, Result
from bench.processes import Memory
from bench.programs import Program
from bench.startup import Sample, Timing
from bench.throughput import Load
from servers.server import Server

WRK = """\
Running 3s test @ http://127.0.0.1:8080/cgi-bin/hello
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     7.02ms    2.54ms  41.03ms   84.13%
    Req/Sec     1.15k    52.13     1.24k    73.33%
  Latency Distribution
     50%  500.00us
     75%    7.71ms
     90%    9.50ms
     99%    1.25s
  3443 requests in 3.00s, 0.88MB read
Requests/sec:   1147.28
Transfer/sec:    299.14KB
"""
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


# --- the load ---


def test_what_wrk_says_is_read() -> None:
    assert throughput.parsed(WRK) == Load(rate=1147.28, count=3443, p50=0.5, p99=1250.0)


def test_a_load_without_an_answer_is_an_error() -> None:
    with pytest.raises(BenchError, match="no answer"):
        throughput.parsed(WRK.replace("3443 requests", "0 requests"))


def test_a_load_with_errors_is_an_error() -> None:
    errors = "  Socket errors: connect 0, read 1, write 0, timeout 0\n"
    with pytest.raises(BenchError, match="saw errors"):
        throughput.parsed(WRK.replace("Requests/sec", f"{errors}Requests/sec"))


# --- the memory of processes ---


@contextmanager
def shell(script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell that has said that it is ready, in a process group that is ended with it."""
    command = ["/bin/sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            os.killpg(process.pid, 9)


def state(pid: int) -> str:
    return processes.about(pid, "stat").rpartition(")")[2].split()[0]


def test_the_memory_of_a_server_is_that_of_all_its_processes() -> None:
    with shell("sleep 60 & sleep 60 & echo ready; wait") as process:
        memory = processes.of_server(process.pid)
    assert memory.processes == 3
    assert memory.size > 0


def test_the_memory_of_programs_is_without_the_server(tmp_path: Path) -> None:
    with shell("(sleep 60 & sleep 60 & echo ready; wait) & wait") as process:
        server = Server("http://localhost", tmp_path / "log", "sh", process.pid)
        memory = processes.of_programs(server)
        (daemon,) = processes.children(process.pid)
        states = [state(pid) for pid in (daemon, *processes.children(daemon))]
    assert memory.processes == 2
    assert memory.size > 0
    assert "T" not in states, "stopped for the look alone"


def test_a_process_that_has_ended_takes_no_memory() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert processes.of_server(process.pid) == Memory(processes=0, size=0)


# --- frameworks ---

every_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda each: each.name)


@every_framework
def test_an_application_has_versions_of_all_that_it_requires(framework: Framework) -> None:
    assert len(framework.requirements) > 1
    assert all("==" in each for each in framework.requirements)


@every_framework
def test_an_application_is_the_same_but_for_its_warm_up(framework: Framework) -> None:
    source = framework.source.read_text()
    cold = frameworks.without_warm_up(source)
    compile(cold, framework.app, "exec")
    assert "warmup" not in cold
    assert cold.count("\n") == source.count("\n")


def test_an_application_that_is_not_warmed_up_is_no_comparison() -> None:
    with pytest.raises(BenchError, match="warmup"):
        frameworks.without_warm_up("run(handle)\n")


@pytest.fixture
def built() -> Built:
    frozen, cold, plain = (Program(name, Path(name)) for name in ("frozen", "cold", "plain"))
    return Built(FRAMEWORKS[0], Path("python"), frozen, cold, plain)


def times(*milliseconds: float) -> Iterator[Timing]:
    return (startup.summary([Sample(each, faults=1)]) for each in milliseconds)


def test_frameworks_are_compared_with_go_and_with_plain_python(built: Built) -> None:
    go = Program(builds.GO, Path("go"))
    timings = dict(zip((go, *built.programs), times(2.0, 3.0, 4.5, 150.0), strict=True))
    table = report.frameworks_startup_table([built], timings, rounds=10)
    assert table.rows == [
        (f"{builds.GO}: hello", "2.00", "2.00", "1.00", "-", "-", "-", "-"),
        ("Flask", "3.00", "3.00", "1.50", "4.50", "1.50", "150.0", "50.0"),
    ]
    assert "flask==" in table.note


def test_frameworks_are_compared_without_go_where_there_is_none(built: Built) -> None:
    timings = dict(zip(built.programs, times(3.0, 4.5, 150.0), strict=True))
    table = report.frameworks_startup_table([built], timings, rounds=10)
    assert table.rows == [("Flask", "3.00", "3.00", "-", "4.50", "1.50", "150.0", "50.0")]


def test_the_ways_of_a_framework_are_compared() -> None:
    def result(rate: float, at_rest: Memory) -> Result:
        loads = [Load(rate, 9, 2.0, 8.0), Load(3 * rate, 9, 4.0, 10.0)]
        looks = [Memory(count, count * 2**20) for count in (2, 4, 9)]
        return Result(loads, at_rest, looks)

    ways = {
        FROZEN: result(100.0, Memory(0, 0)),
        "resident": result(500.0, Memory(3, 60 * 2**20)),
    }
    assert report.frameworks_throughput_table({"Flask": ways}).rows == [
        (f"Flask: {FROZEN}", "200", "3.0", "9", "1.00"),
        ("Flask: resident", "1,000", "3.0", "9", "5.00"),
    ]
    assert report.frameworks_memory_table({"Flask": ways}).rows == [
        (f"Flask: {FROZEN}", "0", "0.0", "4", "4.0", "9.0"),
        ("Flask: resident", "3", "60.0", "4", "4.0", "9.0"),
    ]


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
