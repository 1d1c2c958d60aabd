"""The development server with the built programs."""

import html
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nativecgi_build.build.finding import find_apps
from nativecgi_build.devserver import about
from tests.checkout import SETTINGS


@pytest.fixture(scope="module")
def url(cgi_bin: Path) -> Iterator[str]:
    # The folder is named as make names it: by a relative path.
    command = [sys.executable, "-m", "nativecgi_build", "serve", cgi_bin.name, "--port", "0"]
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


WEBSOCKETS = {"websocket", "websocket_chat"}


def test_the_index_tells_what_every_program_does(url: str, cgi_bin: Path) -> None:
    page = html.unescape(get(url))
    for app in find_apps([], SETTINGS):
        assert f"<strong>{app.name}</strong>" in page
        assert about.about(app.name, SETTINGS).summary in page


def test_all_that_the_index_links_to_answers(url: str, cgi_bin: Path) -> None:
    names = "|".join(app.name for app in find_apps([], SETTINGS))
    links = re.findall(f'href="(/cgi-bin/(?:{names})(?![^/?"]).*?)"', get(url))
    assert "/cgi-bin/hello" in links
    assert not [link for link in links if re.search(r"/(calculator|websocket)\b", link)]
    for link in links:
        if re.search("/(guestbook|hitcounter)", link):
            continue  # they need a file of their own, which is the server's configuration to name
        with urllib.request.urlopen(url + html.unescape(link[1:]), timeout=10) as answer:
            assert answer.status == 200


def test_all_commands_that_the_index_shows_work(url: str, cgi_bin: Path) -> None:
    commands = [html.unescape(it) for it in re.findall("<pre>(.*?)</pre>", get(url))]
    curls = [command for command in commands if command.startswith("curl ")]
    assert len(curls) == len(commands) - len(WEBSOCKETS)
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    answers = [
        subprocess.check_output(["curl", "--fail", "--silent", *shlex.split(command)[1:]])
        for command in curls
    ]
    assert b'{"result":42}' in answers


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
    command = [sys.executable, "-m", "nativecgi_build", "serve", str(tmp_path), "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "there is no program" in result.stderr
    assert "nativecgi build" in result.stderr
