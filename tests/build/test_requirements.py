"""Where it is said what an app requires: the first place counts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi_build.environments import installed
from nativecgi_build.environments.requirements import EnvironmentFailed, required
from nativecgi_build.settings import settings_of

# From the last place to the first: each comes before those above it.
PLACES = {
    "pyproject.toml": "[project]\nname = 'shop'\ndependencies = ['of-the-project']\n",
    "requirements.txt": "of-the-folder\n",
    "shop/requirements.txt": "of-the-package\n",
}


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def said(folder: Path) -> tuple[str, str]:
    found = required(folder / "shop", settings_of(folder))
    return found.text.strip(), found.said_by


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "shop" / "__main__.py", "")
    return tmp_path


def test_nothing_is_required_where_nothing_says_so(project: Path) -> None:
    assert said(project) == ("", "")


def test_the_first_place_that_is_there_counts(project: Path) -> None:
    table = PLACES["pyproject.toml"]
    for name, text in PLACES.items():
        file = write(project / name, text)
        expected = text.split("'")[-2] if name == "pyproject.toml" else text.strip()
        assert said(project)[0] == expected
        assert str(file) in said(project)[1]
    main = project / "shop" / "__main__.py"
    main.write_text("# /// script\n# dependencies = ['of-the-app']\n# ///\n")
    assert said(project)[0] == "of-the-app"
    table += "[tool.nativecgi]\nrequirements = ['of-the-table', 'more']\n"
    write(project / "pyproject.toml", table)
    assert said(project)[0] == "of-the-table\nmore"


def test_an_app_that_says_it_requires_nothing_does_not(project: Path) -> None:
    write(project / "requirements.txt", "of-the-folder\n")
    write(project / "shop" / "__main__.py", "# /// script\n# dependencies = []\n# ///\n")
    assert said(project)[0] == ""


def test_the_table_may_name_a_file(project: Path) -> None:
    write(project / "needs" / "web.txt", "flask\n")
    write(project / "pyproject.toml", "[tool.nativecgi]\nrequirements = 'needs/web.txt'\n")
    found = required(project / "shop", settings_of(project))
    assert (found.text, found.file) == ("flask\n", project / "needs" / "web.txt")
    (project / "needs" / "web.txt").unlink()
    with pytest.raises(EnvironmentFailed, match=r"web\.txt cannot be read"):
        said(project)


def test_an_app_elsewhere_does_not_require_what_this_project_does(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(project / "requirements.txt", "of-the-folder\n")
    other = write(tmp_path_factory.mktemp("other") / "x.py", "")
    assert required(other, settings_of(project)).text == ""


def test_the_python_that_a_project_requires_is_known(project: Path) -> None:
    text = "[project]\nname = 'shop'\nrequires-python = '>=3.99'\ndependencies = ['a']\n"
    write(project / "pyproject.toml", text)
    assert required(project / "shop", settings_of(project)).requires_python == ">=3.99"


def test_a_lock_of_uv_s_comes_before_what_is_locked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = Path(sys.prefix, "bin", "uv")
    monkeypatch.setenv("PATH", f"{uv.parent}:{os.defpath}")
    write(
        project / "pyproject.toml",
        "[project]\nname = 'shop'\nversion = '1'\nrequires-python = '>=3.11'\n"
        "dependencies = ['msgspec>=0.20']\n[dependency-groups]\ndev = ['multipart']\n",
    )
    subprocess.run([uv, "lock", "--quiet"], cwd=project, check=True)
    text = said(project)[0]
    assert "msgspec==" in text
    assert "multipart" not in text


def test_a_lock_without_uv_says_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "pyproject.toml", "[project]\nname = 'shop'\n")
    write(project / "uv.lock", "")
    monkeypatch.setenv("PATH", "")
    assert shutil.which("uv") is None
    with pytest.raises(EnvironmentFailed, match=r"uv\.lock needs uv, .*: pip install uv"):
        said(project)


# --- what is installed where the build runs ---


def test_what_nativecgi_needs_is_known_by_its_metadata() -> None:
    assert {"nativecgi", "nuitka", "msgspec", "multipart", "rich", "pip"} <= installed.tools()
    assert "numpy" not in installed.tools()


def test_what_else_is_installed_may_be_imported_by_an_app() -> None:
    found = {it.name.lower(): it for it in installed.others()}
    assert "pytest" in found
    assert "nuitka" not in found
    assert {"pytest", "_pytest"} <= set(installed.top_level(found["pytest"]))


def test_in_an_apps_environment_there_is_what_nuitka_and_nativecgi_import() -> None:
    assert set(installed.closure(installed.IN_APPS)) == {"nuitka", "msgspec", "multipart"}
