"""As somebody with few rights: Apache's user, its suexec, and a filter of system calls."""

import pwd
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.portability.running import APPS, REQUEST, assert_answers, output, run

SUEXEC = Path("/usr/lib/apache2/suexec-pristine")
UMASK = 0o022

# What suexec leaves of an environment besides HTTP_ and SSL_ variables (safe_env_lst in suexec.c),
# as far as Apache sets it for a request, with the path that it sets itself.
SAFE = {
    "CONTEXT_DOCUMENT_ROOT": "/var/www/cgi-bin/",
    "CONTEXT_PREFIX": "/cgi-bin/",
    "DOCUMENT_ROOT": "/var/www",
    "HTTP_ACCEPT": "*/*",
    "HTTP_HOST": "localhost",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "QUERY_STRING": "",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "REQUEST_SCHEME": "http",
    "REQUEST_URI": "/cgi-bin/app",
    "SCRIPT_FILENAME": "/var/www/cgi-bin/app",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_ADMIN": "webmaster@localhost",
    "SERVER_SIGNATURE": "",
    "SERVER_SOFTWARE": "Apache/2.4",
    "UNIQUE_ID": "ZxNx4H8AAQEAAAXnAUMAAAAA",
    **REQUEST,
}


@pytest.fixture
def www_data(as_root: None) -> str:
    try:
        return pwd.getpwnam("www-data").pw_name
    except KeyError:
        pytest.skip("there is no user www-data")


@pytest.mark.parametrize("name", APPS)
def test_an_app_answers_as_www_data_with_what_suexec_leaves(
    name: str, cgi_bin: Path, www_data: str, public_folder: Path
) -> None:
    shutil.copy(cgi_bin / name, public_folder)
    program = f"./{name}"  # suexec runs it by its name, in its folder
    variables, part = APPS[name]
    answer = output(
        [program],
        {**SAFE, **variables},
        cwd=public_folder,
        user=www_data,
        group=www_data,
        extra_groups=[],
        umask=UMASK,
    )
    assert answer.startswith("Status: 200 OK\n")
    assert part in answer


# suexec trusts /var/www alone and writes to /var/log/apache2, so it gets a /var of its own.
SITE = """
mount -t tmpfs none /var
mkdir -p /var/log/apache2 /var/www/cgi-bin
cd /var/www/cgi-bin
cp "$1" app
chown -R nobody:nogroup .
shift
"""


def test_an_app_answers_under_suexec_itself(
    cgi_bin: Path, www_data: str, in_own_mounts: Callable[[str], list[str]]
) -> None:
    if not SUEXEC.exists():
        pytest.skip(f"there is no {SUEXEC}: run make test")
    as_www_data = ["setpriv", f"--reuid={www_data}", f"--regid={www_data}", "--clear-groups"]
    suexec = [*as_www_data, str(SUEXEC), "nobody", "nogroup", "app"]
    command = [*in_own_mounts(SITE), str(cgi_bin / "hello"), *suexec]
    assert_answers("hello", command)


# A filter of system calls.


@pytest.fixture(params=["kill", "refuse"])
def filtered(request: pytest.FixtureRequest, programs: Path) -> list[str]:
    """A command line that does so to a program which makes an unusual system call."""
    command = [sys.executable, str(programs / "under_seccomp.py"), request.param]
    if run([*command, "/bin/true"]).returncode == 77:
        pytest.skip("no filter of system calls can be set here")
    return command


def test_every_library_makes_ordinary_system_calls(
    portable: Path, expected: str, filtered: list[str]
) -> None:
    assert output([*filtered, portable]) == expected


@pytest.mark.parametrize("name", APPS)
def test_an_app_makes_ordinary_system_calls(
    name: str, cgi_bin: Path, filtered: list[str], tmp_path: Path
) -> None:
    assert_answers(name, [*filtered, cgi_bin / name], cwd=tmp_path)


def test_other_system_calls_are_not_made(filtered: list[str], tmp_path: Path) -> None:
    """The filter does filter."""
    result = run([*filtered, "/bin/mkdir", tmp_path / "folder"])
    assert result.returncode == (-signal.SIGSYS if "kill" in filtered else 1)
    assert not (tmp_path / "folder").exists()
