"""What a build learns from a request: modules that an app imports late are imported early."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi.frozen.learned import LIST
from nativecgi.testing import Client
from nativecgi_build.build import learn
from nativecgi_build.build import pipeline as build_pipeline
from nativecgi_build.build.app import App, copy_script
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.rehearse import rehearse
from nativecgi_build.environments.environment import OWN
from tests.checkout import ROOT
from tests.environments.test_environment import make_wheel, requiring

APP = """\
import os, sys, time
from nativecgi import Request, Response, after_thaw, run, text

def handle(request: Request) -> Response:
    {}
    return text("")

if __name__ == "__main__":
    run(handle)
"""


def app_that(does: str, folder: Path) -> App:
    """An app whose handler does that."""
    file = folder / "shop.py"
    file.write_text(APP.format(does))
    return App("shop", file)


def learned(does: str, folder: Path) -> list[str]:
    """What is learned from an app whose handler does that."""
    return rehearse(app_that(does, folder), folder, OWN).learned


def test_the_modules_that_a_request_imports_are_learned_in_order(tmp_path: Path) -> None:
    assert learned("import graphlib, colorsys", tmp_path) == ["graphlib", "colorsys"]


def test_what_a_hook_for_each_process_imports_is_learned(tmp_path: Path) -> None:
    app = app_that("", tmp_path)
    hook = "@after_thaw\ndef prepare() -> None:\n    import colorsys\n\n"
    app.source.write_text(app.source.read_text().replace("def handle", f"{hook}def handle"))
    assert rehearse(app, tmp_path, OWN).learned == ["colorsys"]


def test_what_a_warm_up_imports_is_not_learned(tmp_path: Path) -> None:
    app = app_that("import colorsys", tmp_path)
    source = app.source.read_text().replace("run(handle)", "run(handle, warmup=['/'])")
    app.source.write_text(source)
    assert rehearse(app, tmp_path, OWN).learned == []


def test_an_app_s_own_module_is_not_learned_but_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "cart.py").write_text("import colorsys")
    assert learned("import cart", tmp_path) == ["colorsys"]


def test_a_request_at_the_build_has_nothing_of_the_builder_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "secret")
    assert learned("if 'SHOP_KEY' in os.environ: import colorsys", tmp_path) == []


@pytest.mark.parametrize("failure", ["os.environ['SHOP_KEY']", "sys.exit(1)", "raise OSError"])
def test_what_a_handler_imports_before_it_fails_is_learned(tmp_path: Path, failure: str) -> None:
    learned_modules = learned(f"import colorsys; {failure}", tmp_path)
    assert "colorsys" in learned_modules


@pytest.mark.parametrize("failure", ["os._exit(1)", "os.kill(os.getpid(), 9)", "time.sleep(60)"])
def test_from_a_process_that_ends_otherwise_nothing_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    monkeypatch.setattr(learn, "TRIAL_SECONDS", 1)
    assert learned(f"import colorsys; {failure}", tmp_path) == []


def test_what_an_answer_does_is_not_taken_for_what_the_app_does(tmp_path: Path) -> None:
    (tmp_path / "price.txt").touch()
    read = f"open({str(tmp_path / 'price.txt')!r})"
    assert str(tmp_path / "price.txt") not in rehearse(app_that(read, tmp_path), tmp_path, OWN).read


def test_a_script_is_not_asked(tmp_path: Path) -> None:
    effect = tmp_path / "effect"
    script = tmp_path / "x.cgi"
    script.write_text(f"import os\n\nopen({str(effect)!r}, 'w')\n")
    app = App("x", script, is_script=True)
    copy_script(app, tmp_path)
    rehearse(app, tmp_path, OWN)
    assert not effect.exists()


def test_what_a_request_imports_by_a_string_is_in_the_program(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "views")
    app = app_that("__import__('vie' + 'ws')", tmp_path)
    block = requiring(f"views @ {wheel.as_uri()}")
    app.source.write_text(block + app.source.read_text())
    packages = build_pipeline._environment(app, tmp_path, print)
    rehearsed = rehearse(app, tmp_path, packages)
    assert (rehearsed.modules, rehearsed.learned) == (["views"], ["views"])


class Freezer:
    """Notes which modules are listed when it freezes; it refuses what it is told to, or nothing."""

    def __init__(self, folder: Path, refused: str = "") -> None:
        self.listed: list[list[str]] = []
        self._file = folder / LIST
        self._refused = refused

    def freeze(self) -> list[str]:
        names = self._file.read_text().split() if self._file.exists() else []
        self.listed.append(names)
        if self._refused in names:
            raise BuildError(f"{self._refused} has started a thread")
        return []


def test_a_program_is_frozen_with_what_was_learned(tmp_path: Path) -> None:
    freezer = Freezer(tmp_path)
    notes = learn.freeze_with(["xml", "xml.sax", "sched"], tmp_path, freezer.freeze)
    assert freezer.listed == [["xml", "xml.sax", "sched"]]
    assert notes == [
        "imported before the freeze, because a request imports it: xml, xml.sax, sched"
    ]


def test_a_program_that_is_refused_with_what_was_learned_is_frozen_without(tmp_path: Path) -> None:
    freezer = Freezer(tmp_path, "sched")
    notes = learn.freeze_with(["xml", "sched"], tmp_path, freezer.freeze)
    assert freezer.listed == [["xml", "sched"], []]
    assert "sched has started a thread" in notes[0]


def test_of_a_program_that_nothing_was_learned_of_nothing_is_said(tmp_path: Path) -> None:
    freezer = Freezer(tmp_path)
    assert learn.freeze_with([], tmp_path, freezer.freeze) == []
    assert freezer.listed == [[]]


Programs = Callable[[str], tuple[Client, str]]


@pytest.fixture(scope="module")
def programs(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Programs of apps whose requests import a module late, and what the build said of each."""
    folder = tmp_path_factory.mktemp("programs")
    wheels = {
        "harmless": make_wheel(folder, "harmless"),
        "opening": make_wheel(folder, "opening", source="import os\nos.open(os.devnull, 0)\n"),
    }
    for name, wheel in wheels.items():
        block = requiring(f"{name} @ {wheel.as_uri()}")
        is_there = f"is_there = {name!r} in sys.modules; import {name}; return text(str(is_there))"
        (folder / f"{name}_app.py").write_text(block + APP.format(is_there))
    apps = [folder / f"{name}_app.py" for name in wheels]
    command = [builder, ROOT / "build.py", "--fast", *apps, "-o", folder / "out"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    if (folder / "out" / "harmless_app").is_symlink():
        pytest.skip("this machine cannot freeze")
    said = " ".join((result.stdout + result.stderr).split())
    return lambda name: (Client(folder / "out" / f"{name}_app"), said)


def test_each_process_finds_imported_what_a_request_was_seen_to_import(programs: Programs) -> None:
    assert programs("harmless")[0].get("/").text == "True"


def test_what_cannot_be_frozen_each_process_imports_as_before(programs: Programs) -> None:
    assert programs("opening")[0].get("/").text == "False"


def test_the_build_says_what_it_has_learned(programs: Programs) -> None:
    _program, said = programs("harmless")
    assert "because a request imports it: harmless" in said


def test_the_build_says_why_it_does_not_use_what_it_has_learned(programs: Programs) -> None:
    _program, said = programs("opening")
    assert (
        "opening_app: each request may import opening: with that, the program cannot be frozen"
        in said
    )
    assert "is open on /dev/null" in said
