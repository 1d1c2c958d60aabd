"""The environment that nativecgi is installed in, with packages that somebody has added to it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.environments.test_environment import make_wheel

ASK = """
import json
from nativecgi_build.environments.environment import running
it = running()
places = [str(place) for _, place in it.metadata()]
print(json.dumps([sorted(it.top_level()), places, it.made_from]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nativecgi, and what of this one it needs, as if by pip."""
    folder = tmp_path_factory.mktemp("own") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    builder = ROOT / ".venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = next(folder.glob("lib/*/site-packages"))
    for path in (builder / "site-packages").iterdir():
        if not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)
    return folder / "bin" / "python"


def install(python: Path, wheel: Path) -> None:
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True)


def asked(python: Path) -> tuple[list[str], list[str], str]:
    result = subprocess.check_output([python, "-c", ASK], text=True, cwd="/")
    names, places, made_from = json.loads(result)
    return names, places, made_from


def test_with_nothing_but_nativecgi_nothing_is_the_apps(python: Path) -> None:
    assert asked(python) == ([], [], "")


def test_what_was_installed_besides_is_the_apps(python: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "greeting")
    install(python, wheel)
    names, places, made_from = asked(python)
    assert names == ["greeting"]
    assert places == ["greeting-1.0.dist-info/METADATA", "greeting-1.0.dist-info/entry_points.txt"]
    assert made_from


def test_what_both_need_is_the_apps_as_well(python: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "shouting", requires=["rich", "packaging ; extra == 'loud'"])
    install(python, wheel)
    names = asked(python)[0]
    assert {"shouting", "rich", "pygments", "markdown_it"} <= set(names)
    assert not {"packaging", "typer", "nuitka", "nativecgi", "pip", "setuptools"} & set(names)
