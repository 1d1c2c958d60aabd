"""With a seed the same program gives the same bytes; without one no two builds are alike."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from nativecgi_build.freezer import procfs
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.determinism import IDENTITY, THEN
from nativecgi_build.freezer.linux import PAGE
from tests.asleep import wait_until_asleep
from tests.conftest import ROOT

Completed = subprocess.CompletedProcess
Freeze = Callable[..., "Completed[str]"]
SEED = ("--reproducible", "a seed")
SECONDS = 20
# By how much the path of the next image is longer.
LONGER = 60


@pytest.fixture
def image_of(freeze: Freeze, tmp_path: Path) -> Callable[..., Path]:
    """Freezes, each time anew, in a folder of its own."""

    def freeze_again(*command: "str | Path", **settings: Any) -> Path:
        folder = tmp_path / "out".ljust(LONGER * (len(list(tmp_path.iterdir())) + 1), "-")
        folder.mkdir()
        result = freeze(*command, output=folder / "image", **settings)
        assert result.returncode == 0, result.stderr
        return folder / "image"

    return freeze_again


def digest(image: Path) -> str:
    return hashlib.sha256(image.read_bytes()).hexdigest()


def addresses(image: Path) -> list[int]:
    with image.open("rb") as file:
        return [segment["p_vaddr"] for segment in ELFFile(file).iter_segments("PT_LOAD")]


# The same bytes.


@pytest.mark.parametrize("program", ["hello.c", "probe.c", "letterbox.c"])
def test_the_same_seed_gives_the_same_bytes(
    image_of: Callable[..., Path], compiled: Callable[..., Path], program: str
) -> None:
    images = [image_of(compiled(program), options=SEED) for _time in range(3)]
    assert len(set(map(digest, images))) == 1


def test_a_program_at_a_fixed_address_gives_the_same_bytes(
    image_of: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    program = compiled("hello.c", "-no-pie")
    assert digest(image_of(program, options=SEED)) == digest(image_of(program, options=SEED))


# A program of the size of those that are built, which draws random values as it starts. What it
# would leave beside its modules for a faster start is part of what it is made from.
PYTHON = (
    *SEED,
    *("-e", f"PYTHONPATH={ROOT}", "-e", "PYTHONDONTWRITEBYTECODE=1"),
    *("--trial", "PROBE=chance", "--trial", "REPORT=/dev/null"),
)


def test_a_python_program_gives_the_same_bytes(
    image_of: Callable[..., Path], programs: Path
) -> None:
    command = (sys.executable, programs / "probe.py")
    images = [
        image_of(*command, options=PYTHON),
        image_of(*command, options=PYTHON, env={"BUILDER": "another"}, umask=0o77),
    ]
    assert digest(images[0]) == digest(images[1])


def test_a_program_with_a_hole_in_it_gives_the_same_bytes(
    image_of: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    program = compiled("hello.c", "-Wl,-Tdata=0x1000000")
    images = [image_of(program, options=SEED) for _time in range(2)]
    assert digest(images[0]) == digest(images[1])


def test_signals_that_are_glibcs_own_make_no_difference(
    image_of: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    """What posix_spawn(3) starts may ignore them, and so may what that starts."""
    ignore = (
        "import ctypes, os, sys\n"
        "ignored = ctypes.create_string_buffer((1).to_bytes(32, 'little'), 32)\n"
        "for number in (32, 33):\n"
        "    assert ctypes.CDLL(None).syscall(13, number, ignored, None, 8) == 0\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    images = [
        image_of(compiled("hello.c"), options=SEED, prefix=prefix)
        for prefix in ((), (sys.executable, "-c", ignore))
    ]
    assert digest(images[0]) == digest(images[1])


def test_a_copy_at_the_same_place_gives_the_same_bytes(
    image_of: Callable[..., Path], tmp_path: Path
) -> None:
    """With other inodes, other times of folders and another order of their names."""
    original, place = tmp_path / "original", tmp_path / "place"
    original.mkdir()
    (original / "program.py").write_text(
        "import os, signal, sys\n"
        "names = {entry.name: entry.stat() for entry in os.scandir(sys.path[0])}\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    for name in "abcdefgh":
        (original / name).touch()
    images = []
    for reverse in (False, True):
        place.mkdir()
        for path in sorted(original.iterdir(), reverse=reverse):
            shutil.copy2(path, place)
        images.append(image_of(sys.executable, place / "program.py", options=SEED))
        shutil.rmtree(place)
    assert digest(images[0]) == digest(images[1])


def test_pages_that_are_written_to_by_chance_are_the_same(
    image_of: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    options = (*SEED, "--trial", "A=b")
    images = [image_of(compiled("scatter.c"), options=options) for _time in range(2)]
    assert digest(images[0]) == digest(images[1])


def test_the_image_s_path_is_none_of_the_trial_s_matters(
    image_of: Callable[..., Path], compiled: Callable[..., Path], tmp_path: Path
) -> None:
    """The letterbox, glibc's first block, begins at 0x2a0 of one page and ends in the next."""
    first = tmp_path / ("x" * LONGER) / ".freezer-12345678" / "draft"
    rest = PAGE - 0x2A0 - len(f"{first} REPORT=/dev/null ") - 24
    options = (*SEED, "--trial", "REPORT=/dev/null", "--trial", "FILL=".ljust(rest - 20, "x"))
    images = [image_of(compiled("letterbox.c"), options=options) for _time in range(2)]
    assert digest(images[0]) == digest(images[1])


def test_another_seed_gives_other_addresses(
    image_of: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    one = addresses(image_of(compiled("hello.c"), options=SEED))
    other = addresses(image_of(compiled("hello.c"), options=("--reproducible", "another")))
    assert not set(one) & set(other)


def test_a_seed_in_a_file_is_the_same_as_one_among_the_arguments(
    image_of: Callable[..., Path], compiled: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "seed").write_text("a seed")
    told = image_of(compiled("hello.c"), options=SEED)
    read = image_of(compiled("hello.c"), options=("--seed-file", str(tmp_path / "seed")))
    piped = image_of(compiled("hello.c"), options=("--seed-file", "/dev/stdin"), stdin="a seed")
    assert told.read_bytes() == read.read_bytes() == piped.read_bytes()


def test_two_seeds_are_one_too_many(
    freeze: Freeze, compiled: Callable[..., Path], tmp_path: Path
) -> None:
    options = (*SEED, "--seed-file", "/dev/null")
    result = freeze(compiled("hello.c"), output=tmp_path / "image", options=options)
    assert result.returncode == 2
    assert "both give the seed" in result.stderr


def test_without_a_seed_each_build_has_its_own_addresses(
    image_of: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    one, other = (addresses(image_of(compiled("hello.c"))) for _time in range(2))
    assert not set(one) & set(other)


@pytest.mark.parametrize("options", [(), SEED], ids=["random", "reproducible"])
def test_the_letterbox_s_token_is_not_in_the_image(
    freeze: Freeze, compiled: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = freeze(compiled("letterbox.c"), output=tmp_path / "image", options=options)
    token = result.stderr.strip()
    assert len(bytes.fromhex(token)) == 16
    image = (tmp_path / "image").read_bytes()
    assert token.encode() not in image
    assert bytes.fromhex(token) not in image


# What the program is told on its way.


@pytest.fixture
def told(freeze: Freeze, compiled: Callable[..., Path], tmp_path: Path) -> Callable[..., list[str]]:
    """What a program has heard of chance, time and identities, line by line."""

    def freeze_and_tell(*options: str, **env: str) -> list[str]:
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("one", "two", "three"):
            (folder / name).write_text(name)
            os.utime(folder / name, (THEN, THEN))
        image = tmp_path / "image"
        result = freeze(compiled("told.c"), folder, output=image, options=options, env=env)
        assert result.returncode == 0, result.stderr
        return result.stderr.splitlines()

    return freeze_and_tell


def test_chance_and_time_are_told_alike(told: Callable[..., list[str]]) -> None:
    assert told(*SEED) == told(*SEED)


def test_without_a_seed_it_is_told_the_truth(told: Callable[..., list[str]]) -> None:
    """So that the test above would find what it compares."""
    one, other = set(told()), set(told())
    assert {line.split()[0] for line in one - other} >= set(
        "getrandom urandom realtime monotonic day counter stat pipe ids".split()
    )


def test_other_seeds_tell_of_other_chances(told: Callable[..., list[str]]) -> None:
    one, other = told(*SEED), told("--reproducible", "another")
    assert {line.split()[0] for line in set(one) ^ set(other)} == {"getrandom", "urandom"}


def test_names_are_told_in_order(told: Callable[..., list[str]]) -> None:
    names = [line.removeprefix("entry ") for line in told(*SEED) if line.startswith("entry ")]
    assert names == [".", "..", "one", "three", "two"]


def test_the_host_is_any(told: Callable[..., list[str]]) -> None:
    assert "node localhost" in told(*SEED)


def test_the_time_is_source_date_epoch_s(told: Callable[..., list[str]]) -> None:
    assert f"time {THEN}" in told(*SEED)
    assert "time 1700000000" in told(*SEED, SOURCE_DATE_EPOCH="1700000000")


def test_a_source_date_epoch_that_is_none_is_refused(
    freeze: Freeze, compiled: Callable[..., Path], tmp_path: Path
) -> None:
    settings = {"output": tmp_path / "image", "env": {"SOURCE_DATE_EPOCH": "today"}}
    result = freeze(compiled("hello.c"), **settings, options=SEED)
    assert result.returncode == 1
    assert "SOURCE_DATE_EPOCH is no number of seconds" in result.stderr
    assert not list(tmp_path.iterdir())


def test_it_has_an_identity_to_which_its_signals_go(told: Callable[..., list[str]]) -> None:
    lines = told(*SEED)
    assert f"ids {IDENTITY} {IDENTITY} 1 {IDENTITY} {IDENTITY}" in lines
    assert f"own group {IDENTITY}" in lines
    assert {"kill 1", "raise 1"} <= set(lines)


def test_what_would_tell_more_of_files_is_not_there(told: Callable[..., list[str]]) -> None:
    assert "statx -1" in told(*SEED)
    assert "statx 0" in told()


def test_its_children_have_their_own_identity_and_counter(told: Callable[..., list[str]]) -> None:
    assert "child 0" in told(*SEED)


# The image works as any.


@pytest.mark.parametrize(
    ("probe", "answer"),
    [
        ("threads", "0 1 4 9"),
        ("allocate", "whole"),
        ("free_old", "small x\nfreed"),
        ("use_reserved", "usable"),
        ("move_break", "moved"),
        ("recursion", str((4 << 20) // 4096)),
        ("handler", "handled"),
        ("alternate_stack", "alternate"),
        ("child_sees", "hello after"),
    ],
)
def test_a_frozen_program_goes_on(
    frozen: Callable[..., Path], compiled: Callable[..., Path], probe: str, answer: str
) -> None:
    env = {"PROBE": probe, "PATH": os.defpath, "GREETING": "hello"}
    image = frozen(compiled("probe.c"), options=SEED)
    result = subprocess.run(
        [image], env=env, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert (result.stdout.strip(), result.stderr) == (answer, "")


def test_it_has_no_more_memory_than_any(
    frozen: Callable[..., Path], compiled: Callable[..., Path]
) -> None:
    """What was taken to move it by has been given back."""
    sizes = []
    for options in ((), SEED):
        image = frozen(compiled("probe.c"), options=options)
        with subprocess.Popen([image], env={"PROBE": "wait"}) as process:
            wait_until_asleep(process.pid)
            sizes.append(sum(mapping.size for mapping in procfs.mappings(process.pid)))
            process.kill()
    assert abs(sizes[1] - sizes[0]) < 1 << 20


@pytest.fixture
def probe(frozen: Callable[..., Path], programs: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs the frozen Python program and returns its id and what its probe found."""
    image = frozen(sys.executable, programs / "probe.py", options=PYTHON)

    def run(name: str) -> tuple[int, Any]:
        report = tmp_path / "report"
        env = {"PROBE": name, "REPORT": str(report), "PATH": os.defpath}
        with subprocess.Popen([image], env=env) as process:
            assert process.wait(SECONDS) == 0
        return process.pid, json.loads(report.read_text())

    return run


def test_random_values_differ_between_processes(probe: Callable[..., Any]) -> None:
    (_pid, (number, name)), (_pid, (other_number, other_name)) = probe("chance"), probe("chance")
    assert number != other_number
    assert name != other_name


def test_the_time_is_now(probe: Callable[..., Any]) -> None:
    before = time.time()
    _pid, now = probe("clock")
    assert before <= now <= time.time()


def test_a_process_has_its_own_id(probe: Callable[..., Any]) -> None:
    pid, (told_pid, _folder) = probe("place")
    assert told_pid == pid


# Chance.


def test_a_seed_s_values_are_always_the_same_and_each_is_another() -> None:
    one, other = Chance(b"seed"), Chance(b"seed")
    values = [one.bytes(16) for _time in range(100)]
    assert values == [other.bytes(16) for _time in range(100)]
    assert len(set(values)) == 100


def test_without_a_seed_values_are_new() -> None:
    assert Chance().bytes(16) != Chance().bytes(16)


def test_numbers_are_below_their_limit_and_reach_all() -> None:
    chance = Chance(b"seed")
    assert {chance.below(5) for _time in range(200)} == set(range(5))
