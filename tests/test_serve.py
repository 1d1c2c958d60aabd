"""The development server with the built programs."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import build


@pytest.fixture(scope="module")
def url(cgi_bin: Path) -> Iterator[str]:
    # The folder is named as make names it: by a relative path.
    command = [sys.executable, str(build.ROOT / "serve.py"), "0", "--folder", cgi_bin.name]
    server = subprocess.Popen(
        command,
        cwd=cgi_bin.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        assert server.stdout is not None
        first = server.stdout.readline()
        yield first.removeprefix("Serving ").split(" ")[0]
        server.terminate()


def get(url: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(url, body, timeout=10) as response:
        text: str = response.read().decode()
        return text


def test_the_index_links_to_every_program(url: str, cgi_bin: Path) -> None:
    page = get(url)
    for name in ("hello", "calculator", "httpbin", "hitcounter"):
        assert f'href="/cgi-bin/{name}"' in page


def test_a_program_answers(url: str) -> None:
    assert get(f"{url}cgi-bin/hello") == "Hello world"


def test_a_path_behind_a_program_is_its_own(url: str) -> None:
    assert get(f"{url}cgi-bin/hello/Zo%C3%AB") == "Hello Zo\u00eb"


def test_a_body_reaches_the_program(url: str) -> None:
    body = b'{"left": 6, "right": 7, "operator": "*"}'
    assert get(f"{url}cgi-bin/calculator", body) == '{"result":42}'


def test_what_is_no_program_is_not_found(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as failure:
        get(f"{url}cgi-bin/nonesuch")
    with failure.value as answer:
        assert answer.code == 404


def test_without_programs_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, str(build.ROOT / "serve.py"), "0", "--folder", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "there is no program" in result.stderr
    assert "make build" in result.stderr
