"""The command line: what is said of it, and what it passes on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi_build.cli import _repeated


def nativecgi(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "nativecgi_build", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("build a -o dist", "build a -o dist"),
        ("build --script a.cgi b.cgi -o dist", "build --script a.cgi --script b.cgi -o dist"),
        ("build --script a.cgi --script b.cgi", "build --script a.cgi --script b.cgi"),
        ("build a --script b.cgi --again c", "build a --script b.cgi --again c"),
    ],
)
def test_an_option_takes_all_files_up_to_the_next_option(given: str, expected: str) -> None:
    assert list(_repeated("--script", given.split())) == expected.split()


def test_the_version_is_that_of_the_distribution() -> None:
    result = nativecgi("--version")
    assert (result.returncode, result.stdout) == (0, "nativecgi 0.1.0\n")


def test_the_help_lists_the_commands_as_a_project_needs_them() -> None:
    listed = nativecgi("--help").stdout.partition("Commands:")[2]
    names = [line.split()[0] for line in listed.splitlines() if re.match("  [a-z]", line)]
    assert names == "new run build serve install explain doctor clean".split()


def test_a_wrong_option_is_status_2() -> None:
    result = nativecgi("build", "--nonesuch")
    assert result.returncode == 2
    assert "--nonesuch" in result.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two projects, one of which cannot be built."""
    folder = tmp_path_factory.mktemp("projects")
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text("import nonesuch\n")
        table = f"[tool.nativecgi]\napps = ['{name}.py']\n"
        (folder / name / "pyproject.toml").write_text(table)
    return folder


def test_the_result_in_json_is_all_of_standard_output(project: Path) -> None:
    result = nativecgi("build", "--json", cwd=project)
    programs = json.loads(result.stdout)["programs"]
    assert result.returncode == 1
    assert [(it["name"], [stage["name"] for stage in it["stages"]]) for it in programs] == [
        ("one", ["rehearsing"]),
        ("two", ["rehearsing"]),
    ]
    assert all("nonesuch" in it["error"] and it["stages"][0]["seconds"] > 0 for it in programs)
    assert "one: rehearsing" in result.stderr


def test_a_quiet_build_says_only_what_failed(project: Path) -> None:
    result = nativecgi("build", "--quiet", cwd=project / "one")
    assert result.stdout == ""
    assert result.stderr.lstrip().startswith("nativecgi: one was not built: ")


def test_an_empty_folder_is_told_what_to_do_in_two_lines(tmp_path: Path) -> None:
    result = nativecgi("build", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    first, second = result.stderr.splitlines()
    assert first == f"nativecgi: there is no app in {tmp_path}"
    assert second.startswith("begin one with nativecgi new NAME")


def test_two_projects_may_not_have_one_program(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").touch()
        (tmp_path / name / "pyproject.toml").write_text("[tool.nativecgi]\napps = ['app.py']\n")
    result = nativecgi("build", cwd=tmp_path)
    assert "several of the projects have an app 'app'\nbuild each" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["install"], 2, "nothing says where to install"),
        (["install", "--to", "x"], 1, "there is no folder"),
        (["install", "--to", "-bad:x"], 1, "there is no folder"),
        (["explain", "nonesuch"], 1, "nonesuch is no program that was built here"),
    ],
)
def test_the_commands_say_what_is_wrong(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    result = nativecgi(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith(f"nativecgi: {said}")


def test_there_is_no_colour_where_none_is_wanted(project: Path) -> None:
    colours = {"FORCE_COLOR": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "nativecgi_build", "build", "--json"]
    for variables, is_plain in (({"NO_COLOR": "1"}, True), ({}, False)):
        env = {**os.environ, **colours, **variables}
        result = subprocess.run(command, cwd=project, env=env, capture_output=True, check=False)
        assert (b"\x1b[3" not in result.stderr.replace(b"\x1b[?25", b"")) == is_plain


def test_programs_are_installed_from_a_folder_to_another(tmp_path: Path) -> None:
    program = tmp_path / "dist" / "hello"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    result = nativecgi("install", "--to", "cgi-bin", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "hello: installed in cgi-bin\n")
    assert (tmp_path / "cgi-bin" / "hello").read_text() == "#!/bin/sh\n"


def test_clean_says_what_it_removed(tmp_path: Path) -> None:
    work = tmp_path / "cache" / "apps" / "hello"
    work.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.nativecgi]\ncache = 'cache'\n")
    result = nativecgi("clean", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, f"removed {work}\n")
    assert not work.exists()


@pytest.mark.parametrize("arguments", [["nope"], ["--script", "nope"], ["--wsgi", "nope"]])
def test_what_is_wrong_has_a_second_line_that_says_what_to_do(
    tmp_path: Path, arguments: list[str]
) -> None:
    result = nativecgi("build", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("nativecgi: ")
    assert "nope" in first
    assert second


@pytest.mark.parametrize("settings", ["", "[tool.nativecgi]\nnonesuch = 1\n"])
def test_a_build_that_does_not_begin_says_so_in_json_as_well(tmp_path: Path, settings: str) -> None:
    (tmp_path / "pyproject.toml").write_text(settings)
    result = nativecgi("build", "nope", "--json", cwd=tmp_path)
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert document["programs"] == []
    assert document["error"] in result.stderr
