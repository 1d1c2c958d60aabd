"""The trial: a new image is run once, to see that it works and to learn what it writes to."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer.linux import HUGE_PAGE, PAGE
from nativecgi_build.freezer.snapshot import Touch
from nativecgi_build.freezer.trial import in_order

Completed = subprocess.CompletedProcess
Freeze = Callable[..., "Completed[str]"]


@pytest.fixture
def tried(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> Callable[..., "Completed[str]"]:
    """Freezes the program of probes and lets it do the one that is named as its trial."""

    def freeze_and_try(probe: str, **variables: str) -> "Completed[str]":
        (tmp_path / "out").mkdir()
        trial = [f"--trial={name}={value}" for name, value in variables.items()]
        options = ["--timeout=1", f"--trial=PROBE={probe}", *trial]
        return freeze(compiled("probe.c"), output=tmp_path / "out" / "image", options=options)

    return freeze_and_try


def page_faults(image: Path) -> int:
    """How many faults there are as a process writes to 1 MiB of frozen memory."""
    env = {"PROBE": "write_old"}
    return int(subprocess.run([image], env=env, stdout=subprocess.PIPE, check=True).stdout)


def test_what_the_trial_wrote_to_is_there_at_the_start(
    tried: Callable[..., "Completed[str]"], frozen_probe: Path, tmp_path: Path
) -> None:
    assert tried("write_old").returncode == 0
    assert page_faults(frozen_probe) >= (1 << 20) // PAGE
    assert page_faults(tmp_path / "out" / "image") < 10


def test_the_folder_for_temporary_files_may_be_a_link(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    result = freeze(
        compiled("probe.c"),
        output=tmp_path / "image",
        options=["--trial=PROBE=write_old"],
        env={"TMPDIR": str(tmp_path / "link")},
    )
    assert result.returncode == 0
    assert page_faults(tmp_path / "image") < 10
    assert not list((tmp_path / "folder").iterdir())


def test_the_output_s_path_may_be_relative(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path: Path
) -> None:
    output = Path(os.path.relpath(tmp_path / "image"))
    result = freeze(compiled("probe.c"), output=output, options=["--trial=PROBE=write_old"])
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "image").exists()


@pytest.mark.parametrize("options", [[], ["--reproducible=seed"]], ids=["random", "reproducible"])
def test_an_image_may_go_on_as_another_program(
    freeze: Freeze, tmp_path: Path, options: list[str]
) -> None:
    command = ("/bin/sh", "-c", "kill -STOP $$; exec /bin/echo started")
    result = freeze(*command, output=tmp_path / "image", options=["--trial=A=b", *options])
    assert result.returncode == 0, result.stderr
    result = subprocess.run([tmp_path / "image"], capture_output=True, text=True, check=True)
    assert result.stdout == "started\n"


def test_a_tried_image_works_as_any(tried: Callable[..., "Completed[str]"], tmp_path: Path) -> None:
    assert tried("allocate").returncode == 0
    for probe, answer in [("child_sees", "hi after\n"), ("threads", "0 1 4 9\n")]:
        result = subprocess.run(
            [tmp_path / "out" / "image"],
            env={"PROBE": probe, "GREETING": "hi", "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert result.stdout == answer


def test_the_trial_s_environment_is_not_in_the_image(
    tried: Callable[..., "Completed[str]"], tmp_path: Path
) -> None:
    assert tried("getenv_sees", GREETING="the-trial-s-greeting").returncode == 0
    assert b"the-trial-s-greeting" not in (tmp_path / "out" / "image").read_bytes()


def test_the_trial_runs_in_a_folder_of_its_own(freeze: Freeze, tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", "kill -STOP $$; : >made-by-the-trial")
    result = freeze(*command, output=tmp_path / "image", options=["--trial=A=b"])
    assert result.returncode == 0, result.stderr
    assert not Path("made-by-the-trial").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        ("leave", "status 7"),
        ("unknown", "no such probe"),
        ("endless_recursion", "SIGSEGV"),
        ("wait", "does not end its trial"),
    ],
)
def test_an_image_that_fails_its_trial_is_not_written(
    tried: Callable[..., "Completed[str]"], tmp_path: Path, probe: str, reason: str
) -> None:
    result = tried(probe)
    assert result.returncode == 1
    assert reason in result.stderr
    assert not list((tmp_path / "out").iterdir())


def pages(*numbers: int, is_written: bool = False) -> list[Touch]:
    return [Touch(number * PAGE, is_written) for number in numbers]


IN_HUGE = HUGE_PAGE // PAGE


def test_each_huge_page_is_touched_early_and_in_order() -> None:
    second = [2 * IN_HUGE - 1, IN_HUGE + 7]
    assert in_order(pages(*second, 3, 500)) == pages(3, IN_HUGE + 7)


def test_what_is_written_to_is_not_read_first() -> None:
    read, written = pages(1, IN_HUGE), pages(3, 4, is_written=True)
    assert in_order([*read, *written]) == [written[0], read[1], written[1]]


@given(st.lists(st.builds(Touch, st.integers(0, 5000).map(PAGE.__mul__), st.booleans())))
def test_all_that_is_written_to_is_touched_and_once(touches: list[Touch]) -> None:
    one_each = list({touch.address: touch for touch in touches}.values())
    ordered = in_order(one_each)
    assert len(ordered) == len({touch.address for touch in ordered})
    assert {touch for touch in one_each if touch.is_written} <= set(ordered)
