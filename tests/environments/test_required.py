"""Where an app's requirements come from, and what of a project is there for its apps."""

import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi_build.environments import environment as environments
from nativecgi_build.environments.environment import Environment, running
from nativecgi_build.environments.metadata import EnvironmentFailed
from tests.environments.test_environment import make_wheel, requiring, said

UV = Path(sys.prefix, "bin", "uv")


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, str]:
    """Distributions on this machine, as requirements."""
    names = ("first", "second", "third", "fourth")
    return {name: f"{name} @ {make_wheel(tmp_path, name).as_uri()}" for name in names}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder, with an app in a folder of it."""
    app = tmp_path / "project" / "cgi" / "app.py"
    app.parent.mkdir(parents=True)
    app.touch()
    return app.parent.parent


def write(project: Path, *, tool: str = "", **keys: object) -> None:
    lines = [f"{name.replace('_', '-')} = {value!r}" for name, value in keys.items()]
    text = "\n".join(["[project]", "name = 'shop'", "version = '1'", *lines])
    (project / "pyproject.toml").write_text(f"{text}\n[tool.nativecgi]\n{tool}\n")


def made(project: Path) -> Environment:
    return environments.environment(project / "cgi" / "app.py", project / "made" / "venv")


def found(project: Path) -> tuple[set[str], str]:
    """Which of the four there are, and what they are from."""
    environment = made(project)
    return environment.top_level() & {"first", "second", "third", "fourth"}, environment.source


def test_the_first_place_that_has_any_counts(project: Path, wheels: dict[str, str]) -> None:
    write(project, dependencies=[wheels["fourth"]])
    assert found(project) == ({"fourth"}, "dependencies in pyproject.toml")
    (project / "requirements.txt").write_text(wheels["third"])
    assert found(project) == ({"third"}, "requirements.txt")
    (project / "cgi" / "app.py").write_text(requiring(wheels["second"]))
    assert found(project) == ({"second"}, "what app.py requires")
    write(project, tool=f"requirements = ['{wheels['first']}']", dependencies=[wheels["fourth"]])
    assert found(project) == ({"first"}, "requirements in pyproject.toml, [tool.nativecgi]")


def test_an_app_that_says_it_requires_nothing_gets_nothing(project: Path) -> None:
    (project / "requirements.txt").write_text("nonesuch-of-the-folder")
    (project / "cgi" / "app.py").write_text(requiring())
    assert made(project) == running()


def test_the_setting_may_name_a_file(project: Path, wheels: dict[str, str]) -> None:
    write(project, tool="requirements = 'pins/cgi.txt'")
    (project / "pins").mkdir()
    (project / "pins" / "cgi.txt").write_text("nativecgi\n-r more.txt  # and others\n")
    (project / "pins" / "more.txt").write_text(wheels["first"])
    assert found(project) == ({"first"}, "pins/cgi.txt")


def test_a_file_that_the_setting_names_must_be_there(project: Path) -> None:
    write(project, tool="requirements = 'nonesuch.txt'")
    with pytest.raises(EnvironmentFailed, match=r"there is no .*nonesuch\.txt, which requirements"):
        made(project)


def test_a_list_beside_an_app_without_a_project_counts(
    tmp_path: Path, wheels: dict[str, str]
) -> None:
    app = tmp_path / "app.py"
    app.touch()
    (tmp_path / "requirements.txt").write_text(wheels["first"])
    made = environments.environment(app, tmp_path / "made" / "venv")
    assert "first" in made.top_level()


def test_what_a_project_leaves_open_is_the_running_environment_s(project: Path) -> None:
    write(project, dynamic=["dependencies"])
    assert made(project) == running()


def test_the_project_s_python_is_checked(project: Path) -> None:
    write(project, requires_python="<3")
    with pytest.raises(EnvironmentFailed, match=r"the project in .* requires Python <3"):
        made(project)


@pytest.mark.parametrize("layout", ["src/shop", "shop"])
def test_the_project_s_packages_can_be_imported(project: Path, layout: str) -> None:
    write(project, dependencies=[])
    (project / layout).mkdir(parents=True)
    (project / layout / "__init__.py").write_text("GOODS = 'tea'\n")
    environment = made(project)
    assert said(environment.python, "import shop; print(shop.GOODS)") == "tea\n"
    assert "shop" in environment.top_level()


def test_a_change_of_the_project_s_list_installs_anew(
    project: Path, wheels: dict[str, str]
) -> None:
    write(project, dependencies=[wheels["first"]])
    made(project)
    write(project, dependencies=[wheels["second"]])
    assert found(project)[0] == {"second"}


def pylock(*packages: str) -> str:
    return "\n".join(["lock-version = '1.0'", "created-by = 'test'", *packages])


def test_a_pylock_s_versions_are_installed(project: Path, wheels: dict[str, str]) -> None:
    write(project, dependencies=["first", "nativecgi"])
    place = wheels["first"].partition(" @ file://")[2]
    first = f"[[packages]]\nname = 'first'\nversion = '1.0'\narchive = {{path = '{place}'}}"
    own = "[[packages]]\nname = 'nativecgi'\nversion = '99'"
    other = "[[packages]]\nname = 'no'\nversion = '1'\nmarker = \"python_version < '3'\""
    (project / "pylock.toml").write_text(pylock(first, own, other))
    assert found(project) == ({"first"}, "pylock.toml")


def test_a_file_that_is_not_the_locked_one_is_refused(
    project: Path, wheels: dict[str, str]
) -> None:
    write(project, dependencies=["first"])
    place = wheels["first"].partition(" @ file://")[2]
    archive = f"archive = {{path = '{place}', hashes = {{sha256 = '{'0' * 64}'}}}}"
    (project / "pylock.toml").write_text(pylock(f"[[packages]]\nname = 'first'\n{archive}"))
    with pytest.raises(EnvironmentFailed, match=r"(?i)hash"):
        made(project)


def test_a_pylock_of_an_unknown_kind_is_refused(project: Path) -> None:
    write(project, dependencies=[])
    (project / "pylock.toml").write_text("lock-version = '2.0'")
    with pytest.raises(EnvironmentFailed, match=r"pylock\.toml cannot be read: its version is 2"):
        made(project)


def test_a_uv_lock_s_versions_are_installed(
    project: Path, wheels: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{UV.parent}:/usr/bin:/bin")
    write(project, dependencies=[wheels["first"]])
    subprocess.run([UV, "lock", "--quiet", "--offline"], cwd=project, check=True)
    assert found(project) == ({"first"}, "uv.lock")


def test_without_uv_its_lock_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("UV", raising=False)
    write(project, dependencies=[])
    (project / "uv.lock").write_text("version = 1\n")
    with pytest.raises(EnvironmentFailed, match=r"uv\.lock can be read by uv alone.*pip install"):
        made(project)


def test_paths_in_a_project_s_list_begin_in_the_project(
    project: Path, wheels: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    make_wheel(project, "first")
    write(project, tool="requirements = ['./first-1.0-py3-none-any.whl']")
    assert found(project)[0] == {"first"}


def test_paths_in_a_file_of_requirements_begin_where_the_build_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(project, "first")
    monkeypatch.chdir(project)
    (project / "cgi" / "requirements.txt").write_text("./first-1.0-py3-none-any.whl\n")
    assert found(project)[0] == {"first"}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_each_installer_checks_the_hashes_of_a_lock(
    project: Path, wheels: dict[str, str], installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{UV.parent}:/usr/bin:/bin")
    write(project, dependencies=[wheels["first"]])
    subprocess.run([UV, "lock", "--quiet", "--offline"], cwd=project, check=True)
    exported = ["export", "--quiet", "--frozen", "--format", "pylock.toml", "--no-emit-project"]
    text = subprocess.check_output([UV, *exported], cwd=project, text=True)
    (project / "uv.lock").unlink()
    (project / "pylock.toml").write_text(text)
    if installer == "pip":
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert found(project) == ({"first"}, "pylock.toml")
    digest = text.partition('sha256 = "')[2][:64]
    (project / "pylock.toml").write_text(text.replace(digest, "0" * 64))
    with pytest.raises(EnvironmentFailed, match=r"(?i)hash"):
        made(project)
