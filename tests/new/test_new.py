"""`nativecgi new`: each template is a project that works at once, and nothing is overwritten."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from nativecgi.testing import Client
from nativecgi_build.environments.environment import environment
from nativecgi_build.new.project import CannotMake, make, module_name, templates
from nativecgi_build.settings import settings_of
from tests.checkout import ROOT

every_template = pytest.mark.parametrize("template", templates())


def nativecgi(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs the command as what is installed."""
    return subprocess.run(
        [sys.executable, "-m", "nativecgi_build", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a new project named my-app: `made(template)`."""

    @cache
    def make_one(template: str) -> Path:
        parent = tmp_path_factory.mktemp(template)
        make("my-app", template, parent)
        return parent / "my-app"

    return make_one


def source(folder: Path, template: str) -> Path:
    """The app of a project."""
    return folder / {"django": "my_app", "script": "my_app.cgi"}.get(template, "my_app.py")


def python(folder: Path, template: str) -> Path:
    """A Python with what the project's app requires; made once for all runs of the tests."""
    kept = ROOT / "build" / "tests" / "new" / template / "venv"
    kept.parent.mkdir(parents=True, exist_ok=True)
    return environment(source(folder, template), kept).python


def test_there_is_a_template_for_each_kind_of_app() -> None:
    assert templates() == ["bottle", "django", "fastapi", "flask", "handler", "script"]


@every_template
def test_the_tests_of_a_new_project_pass(made: Callable[[str], Path], template: str) -> None:
    folder = made(template)
    # pytest is the one that runs this, and comes last on the path.
    code = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r}); import pytest; "
    code += "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))"
    result = subprocess.run(
        [python(folder, template), "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@every_template
def test_a_new_project_answers_as_plain_python(made: Callable[[str], Path], template: str) -> None:
    folder = made(template)
    app = ["-m", "my_app"] if template == "django" else [str(source(folder, template))]
    result = subprocess.run(
        [python(folder, template), *app],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "REQUEST_METHOD": "GET", "GATEWAY_INTERFACE": "CGI/1.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "world" in result.stdout.replace("\r", "").split("\n\n", 1)[1]
    assert not result.stderr


@every_template
def test_a_new_project_says_which_apps_it_has(made: Callable[[str], Path], template: str) -> None:
    folder = made(template)
    settings = settings_of(folder)
    assert settings.folder == folder
    assert [folder / it for it in settings.apps + settings.scripts] == [source(folder, template)]


@every_template
def test_nothing_of_the_template_is_left(made: Callable[[str], Path], template: str) -> None:
    for path in made(template).rglob("*"):
        text = f"{path}\n{path.read_text() if path.suffix in ('.py', '.md', '.toml') else ''}"
        assert "app_name" not in text
        assert "project-name" not in text


@every_template
def test_the_readme_has_three_lines(made: Callable[[str], Path], template: str) -> None:
    lines = (made(template) / "README.md").read_text().splitlines()
    assert len([line for line in lines if line]) == 3
    assert lines[0] == "# my-app"


def test_a_script_can_be_executed(made: Callable[[str], Path]) -> None:
    assert os.access(made("script") / "my_app.cgi", os.X_OK)


def test_git_is_told_to_leave_programs_alone(made: Callable[[str], Path]) -> None:
    assert "/dist/" in (made("handler") / ".gitignore").read_text().splitlines()


def test_a_django_program_has_the_secret_key_of_its_process(made: Callable[[str], Path]) -> None:
    folder = made("django")
    code = (
        "import my_app.wsgi; from django.conf import settings; import os\n"
        "from nativecgi.process.hooks import run_after_thaw\n"
        "os.environ['DJANGO_SECRET_KEY'] = 'of the process'; run_after_thaw()\n"
        "print(settings.SECRET_KEY)\n"
    )
    result = subprocess.run(
        [python(folder, "django"), "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "DJANGO_SECRET_KEY": "of the build"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "of the process\n", result.stderr


def test_a_django_program_without_a_key_has_another_in_each_process(
    made: Callable[[str], Path],
) -> None:
    folder = made("django")
    code = (
        "import my_app.wsgi; from django.conf import settings; before = settings.SECRET_KEY\n"
        "from nativecgi.process.hooks import run_after_thaw\n"
        "run_after_thaw(); first = settings.SECRET_KEY\n"
        "run_after_thaw(); print(len({before, first, settings.SECRET_KEY}))\n"
    )
    result = subprocess.run(
        [python(folder, "django"), "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "3\n", result.stderr


def test_the_command_says_what_to_type_next(tmp_path: Path) -> None:
    result = nativecgi("new", "my-app", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "Made my-app/. Next:",
        "  cd my-app",
        "  nativecgi run --reload",
        "  nativecgi build",
        "  REQUEST_METHOD=GET ./dist/my_app",
    ]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "notes.txt").write_text("mine")
    result = nativecgi("new", "hello", cwd=tmp_path)
    assert result.returncode == 1
    assert "is not empty" in result.stderr
    assert [it.name for it in (tmp_path / "hello").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    make("hello", "handler", tmp_path)
    assert (tmp_path / "hello" / "hello.py").exists()


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("mine")
    with pytest.raises(CannotMake, match="File exists"):
        make("hello", "handler", tmp_path)
    assert (tmp_path / "hello").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        "/tmp/a",
        "-o",
        "1st",
        "a b",
        "a.b",
        "z\u00eb",
        "a\n",
        "x" * 65,
    ],
)
def test_names_that_are_no_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotMake, match="cannot be the name of a project"):
        make(name, "handler", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["class", "json", "flask", "nativecgi", "test", "test-app"])
def test_names_of_other_modules_are_refused(name: str) -> None:
    with pytest.raises(CannotMake, match="another module has it"):
        module_name(name)


def test_an_unknown_template_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    result = nativecgi("new", "hello", "--template", "rails", cwd=tmp_path)
    assert result.returncode == 1
    assert "handler" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_new_project_becomes_a_program(builder: Path, tmp_path: Path) -> None:
    project = ROOT / "build" / "tests" / "new" / "hello"
    make("hello", "handler", tmp_path)
    project.mkdir(parents=True, exist_ok=True)
    for file in (tmp_path / "hello").iterdir():  # where the last build is known
        (project / file.name).write_bytes(file.read_bytes())
    result = subprocess.run(
        [builder, "-m", "nativecgi_build", "build"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert Client(project / "dist" / "hello").get("/").text == "Hello world\n"
