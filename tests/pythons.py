"""The Pythons that programs may be in, as far as this machine has them."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THIS = "{}.{}".format(*sys.version_info)
VERSIONS = sorted({THIS, "3.11", "3.12", "3.13", "3.14"})

_REQUIREMENTS = ROOT / "requirements.txt"


@cache
def find(version: str) -> Path | None:
    """The Python of that version: this one, or on the PATH, or one of pyenv's."""
    if version == THIS:
        return Path(sys.executable)
    folders = [Path(folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders += sorted(pyenv.glob(f"versions/{version}.*/bin"))
    paths = (folder / f"python{version}" for folder in folders)
    return next((path for path in paths if _version(path) == version), None)


def in_each(metafunc: pytest.Metafunc) -> None:
    """For a module's pytest_generate_tests: run what has a Python's program in all there are."""
    if "python" in metafunc.fixturenames:
        found = [version for version in VERSIONS if find(version)]
        metafunc.parametrize("python", found, indirect=True)


@cache
def environment(version: str) -> Path:
    """The Python of that version in a virtual environment that has what nativecgi imports.

    It is made where there is none yet; raises LookupError if there is no such Python. Of this
    version it is the one that runs the tests.
    """
    if version == THIS:
        return Path(sys.executable)
    python = find(version)
    if python is None:
        raise LookupError(f"there is no python{version}")
    folder = ROOT / "build" / "pythons" / version
    ready = folder / "ready"
    made_from = f"{python}\n{_REQUIREMENTS.read_text()}"
    if not ready.exists() or ready.read_text() != made_from:
        # This Python's pip installs for it: Debian's Pythons do not all come with one.
        subprocess.run([python, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--only-binary", ":all:", "--python-version", version),
                *("--target", folder / "lib" / f"python{version}" / "site-packages"),
                *("--constraint", _REQUIREMENTS, "msgspec", "multipart"),
            ],
            check=True,
        )
        ready.write_text(made_from)
    return folder / "bin" / "python"


def _version(python: Path) -> str | None:
    """What it says itself: pyenv has a shim for every version, which fails if it is not chosen."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return result.stdout.strip()
