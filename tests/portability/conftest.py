"""The programs that are taken elsewhere, and where they are told to go."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.portability import debian


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl: run make test")
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split()
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, capture_output=True, check=True)
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate


@pytest.fixture(scope="session")
def command(programs: Path, certificate: Path) -> list[str]:
    """The program that uses what libraries choose by the CPU, in plain Python."""
    return [sys.executable, str(programs / "portable.py"), str(certificate)]


@pytest.fixture(scope="session")
def portable(frozen: Callable[..., Path], command: list[str], programs: Path) -> Path:
    """The same, frozen."""
    return frozen(*command, options=("-e", f"PYTHONPATH={programs.parent.parent}"))


@pytest.fixture(scope="session")
def expected(command: list[str], programs: Path) -> str:
    """What it prints where Python is."""
    environment = {"PYTHONPATH": str(programs.parent.parent)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def as_root() -> None:
    """Skips the test for anyone else."""
    if os.geteuid() != 0:
        pytest.skip("only root may do that")


@pytest.fixture
def in_own_mounts(as_root: None) -> Callable[[str], list[str]]:
    """A command line that changes what is mounted, for itself alone, and runs "$@"."""
    shell = ["unshare", "--mount", "sh", "-euc"]
    if subprocess.run([*shell, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("nothing can be mounted here, not even by root")
    return lambda mounts: [*shell, f'{mounts}\nexec "$@"', "sh"]


@pytest.fixture(params=["bullseye", "trixie", "nothing"])
def root(request: pytest.FixtureRequest, as_root: None, tmp_path: Path) -> Path:
    """A root file system with a Debian older or newer than the builder's, or an empty one."""
    return tmp_path if request.param == "nothing" else debian.root(request.param)


@pytest.fixture
def folder_within(root: Path) -> Iterator[Path]:
    """An empty folder in the root file system."""
    with tempfile.TemporaryDirectory(prefix="program-", dir=root) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="portability-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
