"""Debian 12 and 13 from nothing: a user who installs the wheel, and a clone of this repository.

Everything is installed there by what is tested. It takes root, the network, and hours.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.portability import debian
from tests.readme import build_wheel, start_commands, start_output

pytestmark = pytest.mark.portability

RELEASES = ("bookworm", "trixie")
USER = "python3,python3-venv,python3-pip,python3-dev,gcc,libc6-dev,ca-certificates"
CLONE = "make,git,ca-certificates,curl"
# Where this machine gets packages from is where those systems get them from, too.
KEPT = ("PIP_", "SSL_CERT_", "UV_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

# In namespaces of its own: whatever is mounted and started is gone with the last process.
ENTER = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
shift_root=$1; account=$2; shift 2
exec chroot --userspec="$account" "$shift_root" "$@"
"""


@pytest.fixture(params=RELEASES)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Shell]]:
    """A release's minimal system with the packages named, in a copy of the test's own."""
    roots: list[Path] = []

    def make(packages: str) -> Shell:
        base = debian.root(request.param, packages)
        here = tmp_path / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(here)], check=True)
        roots.append(here)
        for file in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
            shutil.copy(file, here / file[1:])
        run_in(here, "root", ["useradd", "--create-home", "ann"])

        def shell(script: str, account: str = "ann") -> "subprocess.CompletedProcess[str]":
            return run_in(here, account, ["bash", "-euc", f"cd ~; {script}"])

        shell.folder = here  # type: ignore[attr-defined]
        return shell

    yield make
    for folder in roots:
        shutil.rmtree(folder)


def run_in(root: Path, account: str, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    home = "/root" if account == "root" else f"/home/{account}"
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    entering = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]
    return subprocess.run(
        [*entering, str(root), f"{account}:{account}", *command],
        env={
            **kept,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home,
            "LANG": "C.UTF-8",
            "CI": "true",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * 3600,
        check=False,
    )


def test_a_user_with_python_and_a_compiler_gets_a_program_of_the_wheel(
    system: Callable[[str], Shell], tmp_path: Path
) -> None:
    shell = system(USER)
    home = shell.folder / "home" / "ann"  # type: ignore[attr-defined]
    wheel = build_wheel(tmp_path)
    shutil.copy(wheel, home)
    commands = start_commands().replace("pip install nativecgi\n", f"pip install {wheel.name}\n")
    result = shell(f"python3 -m venv venv; . venv/bin/activate; {commands}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.replace("\r\n", "\n").rstrip("\n").endswith(start_output().rstrip("\n"))


def test_a_clone_is_served_and_tested_by_one_command_each(
    system: Callable[[str], Shell], tmp_path: Path
) -> None:
    shell = system(CLONE)
    here = shell.folder  # type: ignore[attr-defined]
    clone = here / "root" / "nativecgi"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    serve = (
        "cd nativecgi; make serve >served 2>&1 & "
        "while ! grep -q ^Serving served; do sleep 1; kill -0 $!; done; "
        "curl --fail --silent http://127.0.0.1:8000/cgi-bin/hello; kill $!"
    )
    served = shell(serve, "root")
    assert served.stdout.endswith("Hello world"), served.stdout + served.stderr
    tested = shell("cd nativecgi; make test", "root")
    assert tested.returncode == 0, tested.stdout[-5000:] + tested.stderr[-5000:]
