"""A warm-up leaves nothing of its requests to those that follow, nor what cannot be frozen."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from nativecgi import Request, Response
from nativecgi.frozen import rehearsal
from nativecgi.frozen.rehearsal import prepare
from nativecgi.testing import Client
from tests import pythons

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/broken", "the warm-up of '/broken' was answered with 500"),
        ("/forever", "'stays'"),  # the name of a thread
    ],
)
def test_a_warm_up_that_fails_or_leaves_a_thread_ends_the_build(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"],
    programs: Path,
    python: Path,
    tmp_path: Path,
    path: str,
    reason: str,
) -> None:
    command = (python, programs / "warmed_up.py", path)
    result = freeze(*command, output=tmp_path / "image", options=OPTIONS)
    assert result.returncode
    assert reason in result.stderr


def test_a_failing_request_without_a_path_is_told_all_the_same() -> None:
    post = Request({"REQUEST_METHOD": "POST"}, io.BytesIO(b"x"))
    with pytest.raises(RuntimeError, match="the warm-up of '' was answered with 500"):
        prepare(lambda _request: Response(status=500), [post])


def test_an_answer_is_closed_in_the_context_it_was_made_in() -> None:
    """As Flask's stream_with_context needs it, or a generator that sets a context variable."""
    variable: ContextVar[str] = ContextVar("variable")
    closed = []

    def pieces() -> Iterator[bytes]:
        token = variable.set("set")
        try:
            yield b"one"
            yield b"two"
        finally:
            variable.reset(token)
            closed.append(True)

    class Closing:
        def __init__(self, body: Iterator[bytes]) -> None:
            self.body, self.first = body, next(body)

        def __iter__(self) -> Iterator[bytes]:
            return chain([self.first], self.body)

        def close(self) -> None:
            self.body.close()  # type: ignore[attr-defined]

    prepare(lambda _request: Response(Closing(pieces())), ["/"])
    assert closed == [True]


def test_a_request_as_it_is_can_be_the_trial_s() -> None:
    prepare(lambda _request: Response(), [Request({"PATH_INFO": "/a b", "HTTP_HOST": "x.example"})])
    assert rehearsal.trial == {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b",
        "REQUEST_URI": "/cgi-bin/warmup/a%20b",
        "HTTP_HOST": "x.example",
    }


def test_a_request_with_a_field_proxy_is_one_without_it() -> None:
    """As in a process, whose handler must not see what a client says of a proxy."""
    seen: list[str | None] = []

    def handle(request: Request) -> Response:
        seen.append(request.env.get("HTTP_PROXY"))
        return Response()

    prepare(handle, [Request({"HTTP_PROXY": "http://192.0.2.1"})])()
    assert seen == [None, None]


def test_all_other_requests_of_a_warm_up_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "trial", {})
    monkeypatch.setattr(rehearsal, "others", [])
    post = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "text/plain"}
    prepare(lambda _request: Response(), [Request(post, io.BytesIO(b"a")), "/first", "/second"])
    assert rehearsal.trial["PATH_INFO"] == "/first"
    first, second = rehearsal.others
    assert first.environment["REQUEST_METHOD"] == "POST"
    assert (first.environment["CONTENT_LENGTH"], first.body, second.body) == ("1", b"a", b"")
    assert second.environment["PATH_INFO"] == "/second"
