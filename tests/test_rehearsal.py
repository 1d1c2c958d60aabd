"""A warm-up leaves nothing of its requests to those that follow, nor what cannot be frozen."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nativecgi.testing import Client
from tests import pythons

ROOT = Path(__file__).parent.parent
PATHS = ("/asgi", "/thread", "/setting", "/")
OPTIONS = ("-e", f"PYTHONPATH={ROOT}")


pytest_generate_tests = pythons.in_each


@pytest.fixture(scope="module")
def warm(frozen: Callable[..., Path], programs: Path, python: Path) -> Client:
    """A program that was frozen after a warm-up of all its ways to answer."""
    return Client(frozen(python, programs / "warmed_up.py", *PATHS, options=OPTIONS))


def found(client: Client, path: str) -> Any:
    answer = client.get(path)
    assert (answer.status, answer.log) == (200, "")
    return json.loads(answer.body)


def test_an_asgi_application_has_a_loop_and_state_of_its_own(warm: Client) -> None:
    report = found(warm, "/asgi")
    assert report["state"] == []
    assert report["seen"] == ""
    assert report["tasks"] == 3, "the request's, its lifespan's and the one that waits for both"


def test_threads_are_started_anew(warm: Client) -> None:
    assert found(warm, "/asgi")["thread"].startswith("asyncio_")
    assert warm.get("/thread").text == "started"


def test_context_variables_are_as_at_import(warm: Client) -> None:
    assert found(warm, "/")["seen"] == ""


def test_nothing_is_reported_of_an_event_loop_that_was_ended(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"],
    programs: Path,
    python: Path,
    tmp_path: Path,
) -> None:
    command = (python, "-X", "dev", programs / "warmed_up.py", "/asgi")
    result = freeze(*command, output=tmp_path / "image", options=OPTIONS)
    assert (result.returncode, result.stderr) == (0, "")


def test_hooks_before_the_freeze_have_run_and_the_environment_is_the_builds(warm: Client) -> None:
    *before, now = found(warm, "/setting")
    assert set(before) == {"of the build"}
    assert now is None


def test_a_warm_up_leaves_a_build_reproducible(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"], programs: Path, tmp_path: Path
) -> None:
    options = ("--reproducible", "a seed", "-e", "PYTHONDONTWRITEBYTECODE=1", *OPTIONS)
    images = [tmp_path / name for name in ("one", "other")]
    for image in images:
        command = (sys.executable, programs / "warmed_up.py", "/", "/setting")
        result = freeze(*command, output=image, options=options)
        assert result.returncode == 0, result.stderr
    assert images[0].read_bytes() == images[1].read_bytes()


def test_a_warm_up_that_fails_ends_the_build(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"],
    programs: Path,
    python: Path,
    tmp_path: Path,
) -> None:
    command = (python, programs / "warmed_up.py", "/broken")
    result = freeze(*command, output=tmp_path / "image", options=OPTIONS)
    assert result.returncode
    assert "the warm-up of '/broken' was answered with 500" in result.stderr


def test_a_thread_that_stays_ends_the_build(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"],
    programs: Path,
    python: Path,
    tmp_path: Path,
) -> None:
    command = (python, programs / "warmed_up.py", "/forever")
    result = freeze(*command, output=tmp_path / "image", options=OPTIONS)
    assert result.returncode
    assert "'stays'" in result.stderr
