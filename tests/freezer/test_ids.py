"""What tells a library that it is in another process: no process has the frozen one's id."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 20
Frozen = Callable[..., Path]
Freeze = Callable[..., "subprocess.CompletedProcess[str]"]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces")
# A container's process 1 is a shell, and its ids are in order.
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")


@pytest.fixture(scope="module")
def image(
    compiled: Callable[..., Path], freeze: Freeze, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Frozen in a container, so that another's processes can have the same id."""
    path = tmp_path_factory.mktemp("same_id") / "image"
    prefix = (*CONTAINER, '"$@"; status=$?; exit $status', "sh")
    done = freeze(compiled("same_id.c"), output=path, prefix=prefix)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def alike(image: Path) -> list[str]:
    """The command that runs it where it gets the id that it had."""
    alone = subprocess.run([image], capture_output=True, text=True, check=True)
    frozen = int(alone.stdout.split()[0])
    script = "true & wait; " * (frozen - 2) + '"$0"; exit $?'
    return [*CONTAINER, script, str(image)]


@contextmanager
def running(
    command: list[str], way: str, stdout: Path | None = None
) -> Iterator["tuple[subprocess.Popen[str], list[int]]"]:
    """The process, and the ids that it shows: those it had, has, and its parent has."""
    env = {"PATH": os.defpath, "WAY": way}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = stdout.read_text() if stdout else process.stdout.readline()
        yield process, [int(number) for number in text.split()]


@only_root
def test_a_process_that_would_have_the_id_gets_another(alike: list[str]) -> None:
    with running(alike, "") as (process, (frozen, own, parent)):
        assert own != frozen
        assert parent == frozen, "or the test has tested nothing"
    assert process.returncode == 0


def test_other_processes_are_what_they_are(compiled: Callable[..., Path], frozen: Frozen) -> None:
    with running([str(frozen(compiled("same_id.c")))], "") as (process, (before, own, parent)):
        assert own == process.pid != before
        assert parent == os.getpid()


@only_root
@pytest.mark.parametrize(("way", "status"), [("exit", 7), ("kill", 128 + signal.SIGKILL)])
def test_it_ends_as_its_child_does(alike: list[str], way: str, status: int) -> None:
    with running(alike, way) as (process, _ids):
        process.communicate(timeout=SECONDS)
    assert process.returncode == status


@only_root
def test_what_its_child_closes_is_closed(alike: list[str], tmp_path: Path) -> None:
    """A server waits for the end of the output, not for the process's."""
    output = tmp_path / "output"
    os.mkfifo(output)
    # Of all the processes in between none has it open.
    script = alike[-2].replace('"$0"', f'(exec "$0" >{output})')
    with running([*alike[:-2], script, alike[-1]], "close", stdout=output) as (process, ids):
        assert len(ids) == 3
        assert process.poll() is None, "it is still there"
        process.kill()


@only_root
def test_where_it_is_told_to_end_its_child_ends(alike: list[str]) -> None:
    script = alike[-2].replace('"$0"; ', '"$0" | { read ids; kill ${ids%% *}; cat; echo $ids; }; ')
    with running([*alike[:-2], script, alike[-1]], "wait") as (process, ids):
        process.communicate(timeout=SECONDS)
    assert ids[0] == ids[2], "it was the child that had the output open"
    assert process.returncode == 0


def test_memory_that_a_fork_wipes_is_wiped(compiled: Callable[..., Path], frozen: Frozen) -> None:
    """Libraries look there whether they are in another process."""
    image = frozen(compiled("same_id.c"))
    done = subprocess.run([image], env={"WAY": "wiped"}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", str(ord("x")), "0", str(ord("y"))]
