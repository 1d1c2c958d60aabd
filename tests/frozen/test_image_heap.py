"""Python's objects in the image heap: a process that lives long does not grow, whatever it does."""

import subprocess
from pathlib import Path

import pytest

from tests.checkout import ROOT

APP = '''
"""Makes and drops objects of all sizes, very often."""

import json
import os
import threading

from nativecgi import Request, Response, run, text

TIMES = 100_000
kept = {number: [number] for number in range(1000)}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


def work(times: int) -> None:
    for number in range(times):
        kept[number % 1000] = [number, {"number": str(number)}, (number,) * (number % 40)]
        json.loads(json.dumps({"a": [number] * (number % 9), "b": "x" * (number % 700)}))
        bytearray(number % 5000).decode()


def in_threads() -> None:
    threads = [threading.Thread(target=work, args=(TIMES // 10,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_children() -> None:
    for _ in range(10):
        child = os.fork()
        if not child:
            work(TIMES // 100)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("a child has failed")


def handle(request: Request) -> Response:
    do = {"one": lambda: work(TIMES), "threads": in_threads, "children": in_children}
    doing = do[request.parts[0] if request.parts else "children"]
    doing()
    before = resident()
    doing()
    return text(str(resident() - before))


if __name__ == "__main__":
    run(handle)
'''
SLACK = 256  # pages: what threads' own arenas take


@pytest.fixture(scope="module")
def program(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built."""
    folder = tmp_path_factory.mktemp("heap")
    (folder / "lasting.py").write_text(APP)
    command = [str(builder), str(ROOT / "build.py"), "--fast", "-o", str(folder / "out")]
    command.append(str(folder / "lasting.py"))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "out" / "lasting"


@pytest.mark.parametrize("way", ["one", "threads", "children"])
def test_a_process_does_not_grow(program: Path, way: str) -> None:
    env = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{way}"}
    result = subprocess.run([program], env=env, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    head, _, body = result.stdout.partition("\n\n")
    assert head.startswith("Status: 200")
    assert int(body) < SLACK
