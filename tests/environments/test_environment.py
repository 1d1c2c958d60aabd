"""What an app requires: read from its file or its folder, and installed for it alone."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from nativecgi_build.environments import environment as environments
from nativecgi_build.environments.environment import OWN, running
from nativecgi_build.environments.metadata import EnvironmentFailed, Metadata, script_metadata
from tests.checkout import ROOT

BLOCK = """\
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "flask==3.1.2",
# ]
#
# [tool.another]
# key = "value"
# ///
print("Hello")
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The file of an app, to be written."""
    return tmp_path / "app.py"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A distribution that is on this machine: the module `greeting`."""
    return make_wheel(tmp_path, "greeting")


def make_wheel(
    folder: Path,
    name: str,
    entry_points: str = "",
    requires: Sequence[str] = (),
    source: str = "WORDS = 'Hello'\n",
) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    about += "".join(f"Requires-Dist: {it}\n" for it in requires)
    with ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", source)
        file.writestr(f"{name}-1.0.dist-info/METADATA", about)
        file.writestr(f"{name}-1.0.dist-info/entry_points.txt", entry_points)
        file.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def requiring(*requirements: str) -> str:
    return f"# /// script\n# dependencies = {list(requirements)}\n# ///\n"


def said(python: Path, code: str) -> str:
    return subprocess.check_output([python, "-c", code], cwd="/", text=True)


def test_a_file_says_what_it_requires(app: Path) -> None:
    app.write_text(BLOCK)
    assert script_metadata(app) == Metadata(["flask==3.1.2"], ">=3.11")


def test_without_a_block_nothing_is_required(app: Path, tmp_path: Path) -> None:
    app.write_text("# /// another\n# dependencies = ['x']\n# ///\n")
    assert environments.environment(app, tmp_path / "venv") == running()
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BLOCK + BLOCK, "more than one block"),
        ("# /// script\n# dependencies = [\n# ///\n", "between '# /// script' and '# ///'"),
        ("# /// script\n# dependencies = 'flask'\n# ///\n", "Expected `array | null`, got `str`"),
        ("# /// script\n# requires-python = '<3'\n# ///\n", "it requires Python <3, and programs"),
        ("# /// script\n# requires-python = 'new'\n# ///\n", "requires-python: Invalid specifier"),
    ],
)
def test_what_cannot_be_read_or_met_is_said(app: Path, source: str, reason: str) -> None:
    app.write_text(source)
    with pytest.raises(EnvironmentFailed, match=reason):
        environments.environment(app, app.with_name("venv"))


def test_what_is_required_is_installed_once(app: Path, wheel: Path, tmp_path: Path) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    reports: list[None] = []
    made = environments.environment(app, tmp_path / "venv", lambda: reports.append(None))
    assert said(made.python, "import greeting; print(greeting.WORDS)") == "Hello\n"
    app.write_text(app.read_text() + "print('Hello')\n")
    again = environments.environment(app, tmp_path / "venv", lambda: reports.append(None))
    assert (again, len(reports)) == (made, 1)
    (metadata, metadata_place), (_points, points_place) = made.metadata()
    assert metadata_place == Path("greeting-1.0.dist-info/METADATA")
    assert points_place == Path("greeting-1.0.dist-info/entry_points.txt")
    assert "Name: greeting" in metadata.read_text().splitlines()
    assert OWN.metadata() == []


def test_it_is_installed_anew_when_it_changes(app: Path, wheel: Path, tmp_path: Path) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    before = environments.environment(app, tmp_path / "venv")
    app.write_text(requiring(f"farewell @ {make_wheel(tmp_path, 'farewell').as_uri()}"))
    after = environments.environment(app, tmp_path / "venv")
    assert before.made_from != after.made_from
    code = "from importlib.util import find_spec; print(*map(find_spec, ['greeting', 'farewell']))"
    assert said(after.python, code).startswith("None ModuleSpec(name='farewell'")


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_package_has_a_file_of_requirements(
    wheel: Path, tmp_path: Path, installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.prefix, "bin")) if installer == "uv" else "")
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__main__.py").touch()
    (package / "requirements.txt").write_text("--requirement more.txt\n")
    (package / "more.txt").write_text(f"greeting @ {wheel.as_uri()}\n")
    made = environments.environment(package, tmp_path / "venv")
    assert said(made.python, "import greeting; print(greeting.WORDS)") == "Hello\n"
    record = next(tmp_path.rglob("greeting-1.0.dist-info/INSTALLER"))
    assert record.read_text().strip() == installer


@pytest.mark.parametrize("option", ["-r ", "-r", "--requirement=", "-c ", "--constraint "])
def test_a_file_that_a_file_of_requirements_names_counts_as_well(
    wheel: Path, tmp_path: Path, option: str
) -> None:
    package = tmp_path / "shop"
    (package / "pins").mkdir(parents=True)
    (package / "__main__.py").touch()
    listed = f"greeting @ {wheel.as_uri()}\n{option}pins/more.txt\n"
    (package / "requirements.txt").write_text(listed)
    more = package / "pins" / "more.txt"
    more.write_text("# nothing yet\n")
    before = environments.environment(package, tmp_path / "venv")
    assert environments.environment(package, tmp_path / "venv") == before
    more.write_text("colour==1.0 ; python_version < '3'\n")
    assert environments.environment(package, tmp_path / "venv").made_from != before.made_from


def test_a_wheel_that_was_built_anew_is_installed_anew(
    app: Path, wheel: Path, tmp_path: Path
) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    before = environments.environment(app, tmp_path / "venv")
    with ZipFile(wheel, "a") as file:
        file.writestr("parting.py", "WORDS = 'Goodbye'\n")
    after = environments.environment(app, tmp_path / "venv")
    assert before.made_from != after.made_from
    assert said(after.python, "import parting; print(parting.WORDS)") == "Goodbye\n"


def test_the_checkout_s_own_folders_are_not_modules_of_an_app(
    app: Path, wheel: Path, tmp_path: Path
) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    made = environments.environment(app, tmp_path / "venv")
    names = [path.name.removesuffix(".py") for path in ROOT.glob("[!_]*")]
    code = "import sys, importlib.util; print(*filter(importlib.util.find_spec, sys.argv[1:]))"
    command = [str(made.python), "-P", "-c", code, *filter(str.isidentifier, names)]
    found = set(subprocess.check_output(command, text=True, cwd="/").split())
    assert found & set(names) == {*environments.OWN_PACKAGES}


def test_nativecgi_and_nuitka_are_there_as_well(app: Path, wheel: Path, tmp_path: Path) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    made = environments.environment(app, tmp_path / "venv")
    assert said(made.python, "import nativecgi, sys; print(sys.prefix)") == f"{made.prefix}\n"
    found = said(made.python, "from importlib.util import find_spec; print(find_spec('nuitka'))")
    assert "nuitka/__init__.py" in found


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("greeting @ file:///nonesuch-1-py3-none-any.whl", "nonesuch-1-py3-none-any.whl"),
        ("not a name", "Invalid requirement: .*not a name"),
        ("msgspec==0.1", "msgspec"),  # nativecgi needs a newer one
    ],
)
def test_what_cannot_be_installed_is_told_in_pip_s_words(
    app: Path, requirement: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    app.write_text(requiring(requirement))
    with pytest.raises(EnvironmentFailed, match=f"(?s)pip could not install.*{reason}"):
        environments.environment(app, app.with_name("venv"))
    with pytest.raises(EnvironmentFailed):  # half of an environment is none
        environments.environment(app, app.with_name("venv"))


def test_of_the_build_s_environment_an_app_has_only_what_a_build_needs(
    app: Path, wheel: Path, tmp_path: Path
) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    made = environments.environment(app, tmp_path / "venv")
    names = "nativecgi nativecgi_build nuitka msgspec multipart greeting".split()
    leaked = "pip setuptools typer rich pytest hypothesis numpy".split()
    code = "import sys, importlib.util; print(*filter(importlib.util.find_spec, sys.argv[1:]))"
    found = subprocess.check_output([made.python, "-c", code, *names, *leaked], text=True, cwd="/")
    assert found.split() == names


def test_nuitka_runs_there(app: Path, wheel: Path, tmp_path: Path) -> None:
    app.write_text(requiring(f"greeting @ {wheel.as_uri()}"))
    made = environments.environment(app, tmp_path / "venv")
    text = subprocess.check_output([made.python, "-m", "nuitka", "--version"], text=True, cwd="/")
    assert text.startswith("4.")


@pytest.mark.parametrize("requirement", ["nativecgi", "NativeCGI>=0.1"])
def test_the_nativecgi_that_builds_is_not_installed_again(
    app: Path, wheel: Path, tmp_path: Path, requirement: str
) -> None:
    app.write_text(requiring(requirement, f"greeting @ {wheel.as_uri()}"))
    made = environments.environment(app, tmp_path / "venv")
    assert made.top_level() & {"greeting", "nativecgi", "typer"} == {"greeting"}


def test_another_nativecgi_than_the_one_that_builds_is_refused(app: Path) -> None:
    app.write_text(requiring("nativecgi>=99"))
    with pytest.raises(EnvironmentFailed, match="it requires nativecgi>=99, and this is nativecgi"):
        environments.environment(app, app.with_name("venv"))
