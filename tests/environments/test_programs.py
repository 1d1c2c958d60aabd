"""Programs of projects, with what these require: built without a compiler, and asked."""

import os
import subprocess
from pathlib import Path

import pytest

from nativecgi.testing import Client
from tests.environments.test_environment import make_wheel
from tests.environments.test_running import install, python

__all__ = ["python"]

APP = """\
import importlib
from importlib.metadata import version

from nativecgi import Request, Response, run, text

greeting = importlib.import_module("".join(["greet", "ing"]))
{imports}

def handle(request: Request) -> Response:
    return text(f"{{greeting.WORDS}} {{version('greeting')}} {{{said}}}")


if __name__ == "__main__":
    run(handle, warmup=["/"])
"""


def built(python: Path, folder: Path) -> str:
    """Build in a folder; returns what was said."""
    result = subprocess.run(
        [python, "-m", "nativecgi_build", "build", "--fast"],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with its own package in src/, and an app that imports that."""
    wheel = make_wheel(tmp_path, "greeting")
    folder = tmp_path / "project"
    (folder / "src" / "goods").mkdir(parents=True)
    (folder / "src" / "goods" / "__init__.py").write_text("TEA = 'tea'\n")
    (folder / "cgi").mkdir()
    imports = "from goods import TEA\n"
    (folder / "cgi" / "shop.py").write_text(APP.format(imports=imports, said="TEA"))
    needs = ["nativecgi", f"greeting @ {wheel.as_uri()}"]
    table = f"[project]\nname = 'goods'\nversion = '1'\ndependencies = {needs}\n"
    (folder / "pyproject.toml").write_text(f"{table}[tool.nativecgi]\napps = ['cgi/*.py']\n")
    return folder


def test_a_project_s_app_has_what_the_project_requires_and_is(project: Path, builder: Path) -> None:
    said = built(builder, project)
    assert "shop: its packages are from dependencies in pyproject.toml" in said
    assert Client(project / "dist" / "shop").get("/").text == "Hello 1.0 tea"


def test_a_change_of_the_project_s_package_changes_the_program(
    project: Path, builder: Path
) -> None:
    built(builder, project)
    (project / "src" / "goods" / "__init__.py").write_text("TEA = 'coffee'\n")
    built(builder, project)
    assert Client(project / "dist" / "shop").get("/").text == "Hello 1.0 coffee"


def test_an_app_without_a_list_has_what_is_installed_beside_nativecgi(
    python: Path, tmp_path: Path
) -> None:
    install(python, make_wheel(tmp_path, "greeting"))
    (tmp_path / "shop.py").write_text(APP.format(imports="", said="''"))
    said = built(python, tmp_path)
    assert f"shop: its packages are from what {python.parent.parent} has" in said
    assert Client(tmp_path / "dist" / "shop").get("/").text == "Hello 1.0 "
