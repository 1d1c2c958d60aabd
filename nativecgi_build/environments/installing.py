"""Runs what makes environments and installs into them: venv, and uv or pip."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from nativecgi_build.environments.metadata import EnvironmentFailed


def uv() -> str | None:
    """The command uv: the one that runs this, as in uvx, or one on the path; None without one."""
    return os.environ.get("UV") or shutil.which("uv")


def installer(python: Path) -> list[str]:
    """What installs for a Python: uv where there is one, which is faster, or pip."""
    if command := uv():
        return [command, "pip", "install", "--quiet", "--python", str(python)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    return [*pip, "--no-input", "--disable-pip-version-check"]


def packages_of(prefix: Path) -> Path:
    """The folder of packages of an environment."""
    scheme = {"base": str(prefix), "platbase": str(prefix)}
    return Path(sysconfig.get_path("purelib", "venv", scheme))


def run(*command: str, folder: Path | None = None) -> None:
    """Run a command; raises EnvironmentFailed with what it said."""
    result = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        program = Path(command[0]).name if command[1] != "-m" else command[2]
        raise EnvironmentFailed(f"{program} could not install what it requires:\n{result.stdout}")
