"""[tool.nativecgi] of a project's pyproject.toml."""

import platform
from pathlib import Path

import pytest

from nativecgi_build.build.app import find_apps
from nativecgi_build.build.errors import BuildError
from nativecgi_build.settings import Settings, SettingsError, projects_in, settings_of, user_cache

APP = "from nativecgi import run\n\nif __name__ == '__main__':\n    run(print)\n"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def names(folder: Path) -> list[str]:
    return [app.name for app in find_apps([], settings_of(folder))]


def test_a_folder_belongs_to_the_nearest_project_above_it(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.nativecgi]\noutput = 'cgi-bin'\n")
    write(tmp_path / "a" / "pyproject.toml", "[tool.ruff]\n")
    settings = settings_of(tmp_path / "a")
    assert (settings.folder, settings.outputs) == (tmp_path, tmp_path / "cgi-bin")


def test_without_a_project_there_are_defaults(tmp_path: Path) -> None:
    assert settings_of(tmp_path).outputs == tmp_path / "dist"


def test_a_project_may_have_no_table_of_ours(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[project]\nname = 'shop'\n")
    settings = settings_of(tmp_path)
    assert (settings.folder, settings.is_package) == (tmp_path, True)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("ap = []", "has no 'ap': did you mean 'apps'?"),
        ("nonesuch = 1", "has no 'nonesuch': it may have apps, scripts"),
        ("apps = 'hello.py'", "Expected `array`, got `str`"),
        ("python = 'three'", "python: Invalid specifier"),
        ("python = '<3'", f"built with Python <3, and this is {platform.python_version()}"),
        ("apps = [", "pyproject.toml: "),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file(tmp_path: Path, table: str, reason: str) -> None:
    write(tmp_path / "pyproject.toml", f"[tool.nativecgi]\n{table}\n")
    with pytest.raises(SettingsError) as failure:
        settings_of(tmp_path)
    assert reason in str(failure.value)
    assert str(tmp_path / "pyproject.toml") in str(failure.value)


def test_the_cache_is_the_user_s_unless_the_project_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Settings().kept == user_cache() == tmp_path / "cache" / "nativecgi"
    assert Settings(folder=tmp_path, cache="build").work("a", "x") == tmp_path / "build/apps/a"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache() == Path.home() / ".cache" / "nativecgi"


def test_apps_of_one_name_in_two_projects_share_no_folder() -> None:
    assert Settings().work("a", "/x/a.py") != Settings().work("a", "/y/a.py")


# --- which apps a project has ---


def test_the_table_names_apps_scripts_and_applications(tmp_path: Path) -> None:
    write(
        tmp_path / "pyproject.toml",
        "[tool.nativecgi]\napps = ['src/*.py']\nscripts = ['cgi/*.cgi']\nwarmup = ['/']\n"
        "limits = {max_seconds = 3}\n[tool.nativecgi.wsgi]\nshop = 'shop.wsgi'\n",
    )
    for name in ("src/one.py", "src/__init__.py", "cgi/two.cgi", "shop/wsgi.py"):
        write(tmp_path / name, APP)
    found = find_apps([], settings_of(tmp_path))
    assert [app.name for app in found] == ["one", "two", "shop"]
    assert [app.tries for app in found] == [(), ("/",), ("/",)]
    assert found[2].limits == (("max_seconds", 3),)


def test_a_name_in_the_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.nativecgi]\napps = ['nonesuch.py']\n")
    with pytest.raises(BuildError, match=r"apps: there is no .*/nonesuch\.py"):
        names(tmp_path)


def test_without_a_table_the_folder_apps_is_built(tmp_path: Path) -> None:
    write(tmp_path / "apps" / "one.py", APP)
    write(tmp_path / "two.py", APP)
    assert names(tmp_path) == ["one"]


def test_without_that_each_file_that_calls_run_is_an_app(tmp_path: Path) -> None:
    write(tmp_path / "one.py", APP)
    write(tmp_path / "helper.py", "def run(): ...\n")
    assert names(tmp_path) == ["one"]


def test_in_a_folder_of_projects_all_of_them_are_built(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / f"{name}.py", APP)
        write(tmp_path / name / "pyproject.toml", f"[tool.nativecgi]\napps = ['{name}.py']\n")
    assert [it.folder.name for it in projects_in(tmp_path)] == ["one", "two"]
    assert names(tmp_path) == ["one", "two"]


def test_where_there_is_no_app_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        BuildError, match=r"there is no app in .*: .* make one: nativecgi new hello"
    ):
        names(tmp_path)
