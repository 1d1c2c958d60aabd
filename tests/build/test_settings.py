"""[tool.nativecgi] of a project's pyproject.toml."""

import platform
import sys
from pathlib import Path

import pytest

from nativecgi_build.build.app import project_of
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.finding import find_apps
from nativecgi_build.scripts.project import Seen
from nativecgi_build.settings import (
    Settings,
    SettingsError,
    check_python,
    projects_below,
    settings_of,
    user_cache,
)

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


def test_a_folder_of_another_project_has_defaults(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[project]\nname = 'shop'\n")
    assert settings_of(tmp_path) == Settings(folder=tmp_path)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("ap = []", "there is no key 'ap'\nwrite 'apps'"),
        ("tries = []", "there is no key 'tries'"),
        ("zzz = 1", "there is no key 'zzz'\nknown are apps, asgi, cache, data"),
        ("folder = 'x'", "there is no key 'folder'"),
        ("apps = 'hello.py'", "Expected `array`, got `str`"),
        ("wsgi = 3", "Expected `str | object`, got `int`"),
        ("limits = {max_secs = 3}", "limits: there is no key 'max_secs'\nwrite 'max_seconds'"),
        ("limits = {max_seconds = -1}", "the limit max_seconds is below 0"),
        ("limits = {max_seconds = 'a'}", "Expected `int`, got `str`"),
        ("warmup = ['page']", "the path 'page' does not begin with /"),
        ("python = 'three'", "python is 'three'\nwrite a version such as '3.13', or a path"),
        ("apps = [", "pyproject.toml: "),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file(tmp_path: Path, table: str, reason: str) -> None:
    write(tmp_path / "pyproject.toml", f"[tool.nativecgi]\n{table}\n")
    with pytest.raises(SettingsError) as failure:
        settings_of(tmp_path)
    assert reason in str(failure.value)
    assert str(tmp_path / "pyproject.toml") in str(failure.value)


@pytest.mark.parametrize("wanted", ["", "3", ">=3.11", "{0}", "{1}.{2}", sys.executable])
def test_the_python_that_runs_may_be_the_one_that_is_asked_for(wanted: str) -> None:
    text = wanted.format(platform.python_version(), *sys.version_info)
    check_python(Settings(python=text, folder=Path("/")))


@pytest.mark.parametrize(
    ("wanted", "way_out"),
    [
        ("3.1", "type: uvx --python '3.1' nativecgi build"),
        ("<3", "type: uvx --python '<3' nativecgi build"),
        ("/bin/sh", "install nativecgi there: /bin/sh -m pip install nativecgi"),
    ],
)
def test_for_another_python_it_says_what_to_type(wanted: str, way_out: str) -> None:
    with pytest.raises(SettingsError, match=f"this project is built with (?s:.*)\n{way_out}"):
        check_python(Settings(python=wanted, folder=Path("/")))


def test_a_python_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SettingsError, match="there is no /nonesuch/python"):
        check_python(Settings(python="/nonesuch/python"))


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
    with pytest.raises(BuildError, match=r"there is no .*/nonesuch\.py\nmake it"):
        names(tmp_path)


def test_without_a_table_the_folder_apps_is_built(tmp_path: Path) -> None:
    write(tmp_path / "apps" / "one.py", APP)
    write(tmp_path / "two.py", APP)
    assert names(tmp_path) == ["one"]


def test_without_that_each_file_that_calls_run_is_an_app(tmp_path: Path) -> None:
    write(tmp_path / "one.py", APP)
    write(tmp_path / "helper.py", "def run(): ...\n")
    assert names(tmp_path) == ["one"]


def test_a_folder_with_a_main_file_is_an_app(tmp_path: Path) -> None:
    write(tmp_path / "shop" / "__main__.py", "")
    write(tmp_path / "shop" / "helper.py", APP)
    assert names(tmp_path) == ["shop"]


def test_of_several_apps_none_is_chosen(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        write(tmp_path / name, APP)
    with pytest.raises(BuildError, match=r"there are several apps in .*: one\.py, two\.py\nname"):
        names(tmp_path)


def test_data_of_scripts_and_applications_is_named_from_the_project(tmp_path: Path) -> None:
    table = "[tool.nativecgi]\nscripts = ['cgi/two.cgi']\ndata = ['cgi/words.txt']\n"
    write(tmp_path / "pyproject.toml", table)
    write(tmp_path / "cgi" / "two.cgi", APP)
    write(tmp_path / "cgi" / "words.txt", "word")
    (app,) = find_apps([], settings_of(tmp_path))
    assert [place for _file, place in project_of(app, Seen()).data] == [Path("words.txt")]


def test_the_projects_in_a_folder_are_found_where_it_is_none(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / f"{name}.py", APP)
        write(tmp_path / name / "pyproject.toml", f"[tool.nativecgi]\napps = ['{name}.py']\n")
    write(tmp_path / "other" / "pyproject.toml", "[project]\n")
    assert [it.folder.name for it in projects_below(tmp_path)] == ["one", "two"]
    write(tmp_path / "pyproject.toml", "[tool.nativecgi]\n")
    assert projects_below(tmp_path) == []


def test_where_there_is_no_app_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"there is no app in .*\nbegin one with nativecgi new"):
        names(tmp_path)
