"""`build.py` as its users meet it; what needs no compiler is fast."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import build

ROOT = Path(build.__file__).parent

Builder = Callable[..., "subprocess.CompletedProcess[str]"]

HELLO = """\
from nativecgi import Request, Response, run, text

def handle(request: Request) -> Response:
    return text("Hello")

if __name__ == "__main__":
    run(handle)
"""


@pytest.fixture
def build_apps(tmp_path: Path, builder: Path) -> Builder:
    """Runs `build.py` on apps in a folder of the test's own."""

    def run_build(*arguments: "str | Path") -> "subprocess.CompletedProcess[str]":
        command = [builder, ROOT / "build.py", *arguments, "-o", tmp_path / "out"]
        return subprocess.run(
            [str(argument) for argument in command], capture_output=True, text=True, check=False
        )

    return run_build


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_apps_are_found_by_name_by_file_and_by_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "one.py", HELLO)
    package = write(tmp_path / "two" / "__main__.py", HELLO).parent
    apps = build.find_apps(["hello", str(file), str(package)])
    assert [(app.name, app.source) for app in apps] == [
        ("hello", ROOT / "apps" / "hello.py"),
        ("one", file),
        ("two", package),
    ]


def test_all_apps_are_built_unless_some_are_named() -> None:
    names = [app.name for app in build.find_apps([])]
    assert names == sorted(path.stem for path in (ROOT / "apps").glob("*.py"))
    assert "hello" in names


def test_two_apps_of_one_name_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a" / "x.py", HELLO), write(tmp_path / "b" / "x.py", HELLO)
    with pytest.raises(build.BuildError, match="would both become 'x'"):
        build.find_apps([str(one), str(other)])


def test_an_app_that_does_not_exist_is_named(build_apps: Builder) -> None:
    result = build_apps("nonesuch")
    assert result.returncode == 1
    assert "there is no app 'nonesuch'" in result.stderr


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def handle(:\n", "SyntaxError: invalid syntax"),
        ("import nonesuch\n", "ModuleNotFoundError: No module named 'nonesuch'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("print('done')\n", "exited with status 0 before its freeze point; its output was:\ndone"),
        (
            "import socket\nfrom nativecgi import run\ns = socket.socket()\nrun(lambda r: None)\n",
            "descriptor 3 is open on socket:",
        ),
        (
            "import threading\nfrom nativecgi import run\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "run(lambda r: None)\n",
            "is running: end it before the freeze point",
        ),
    ],
)
def test_an_app_that_cannot_be_built_fails_at_once_with_its_own_reason(
    build_apps: Builder, tmp_path: Path, source: str, reason: str
) -> None:
    result = build_apps(write(tmp_path / "broken.py", source))
    assert result.returncode == 1
    assert "broken was not built: " in result.stderr
    assert reason in result.stderr
    assert "uitka" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_another_app_is_built_all_the_same(build_apps: Builder, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.py", "import nonesuch\n")
    result = build_apps(broken, ROOT / "tests" / "apps" / "probe")
    assert result.returncode == 1
    assert "broken was not built" in result.stderr
    assert (tmp_path / "out" / "probe").is_file()


def test_a_compiler_that_fails_is_named_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "NUITKA_OPTIONS", ("--no-such-option",))
    app = build.App("hello", ROOT / "apps" / "hello.py")
    with pytest.raises(build.BuildError, match="Nuitka could not compile it; see ") as failure:
        build._compile(app, tmp_path, jobs=1)
    assert "no such option" in Path(str(failure.value).split("see ")[1]).read_text()


def test_nothing_is_built_again_that_has_not_changed(build_apps: Builder) -> None:
    app = ROOT / "tests" / "apps" / "probe"
    build_apps(app)
    again = build_apps(app)
    assert again.returncode == 0
    assert again.stdout.splitlines()[0] == "probe: done"


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    source = write(tmp_path / "app.py", HELLO)
    app = build.App("app", source)
    digest = build._file_hash(source)
    compiled = build.Compiled(str(source), build._tools_hash(), {str(source): digest}, 1.0)
    assert build._is_current(compiled, app)
    source.write_text(HELLO + "\n")
    assert not build._is_current(compiled, app)


def test_a_changed_library_file_is_noticed_by_every_program(cgi_bin: Path) -> None:
    assert (cgi_bin / "hello").exists()
    for app in build.find_apps([]):
        compiled = build._read(build.WORK / app.name / "compiled.json", build.Compiled)
        assert compiled is not None
        assert {str(ROOT / "nativecgi" / "cgi.py"), str(app.source)} <= compiled.sources.keys()


def test_without_freezing_it_is_what_nuitka_makes(build_apps: Builder, tmp_path: Path) -> None:
    app = ROOT / "tests" / "apps" / "probe"
    result = build_apps(app, "--no-freeze")
    assert result.returncode == 0
    assert "not frozen" in result.stdout
    program = tmp_path / "out" / "probe"
    answer = subprocess.run(
        [program], env={"REQUEST_METHOD": "GET"}, capture_output=True, check=True
    )
    assert answer.stdout.endswith(b"probe")


def test_a_program_that_was_tampered_with_is_put_in_place_again(
    build_apps: Builder, tmp_path: Path
) -> None:
    app = ROOT / "tests" / "apps" / "probe"
    build_apps(app)
    target = tmp_path / "out" / "probe"
    original = target.read_bytes()
    target.write_bytes(b"overwritten")
    build_apps(app)
    assert target.read_bytes() == original


def test_a_failed_build_leaves_no_record_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "WORK", tmp_path / "work")
    monkeypatch.setattr(build, "NUITKA_OPTIONS", ("--no-such-option",))
    record = tmp_path / "work" / "hello" / "compiled.json"
    write(record, "{}")
    app = build.App("hello", ROOT / "apps" / "hello.py")
    with pytest.raises(build.BuildError, match="Nuitka could not compile it"):
        build.build(app, tmp_path, freeze=False, jobs=1, report=print)
    assert not record.exists()


def test_a_reproducible_program_has_the_same_bytes_each_time(
    build_apps: Builder, tmp_path: Path
) -> None:
    app = ROOT / "tests" / "apps" / "probe"
    programs = []
    for _time in range(2):
        (build.WORK / "probe" / "frozen.json").unlink(missing_ok=True)  # so it is frozen again
        result = build_apps(app, "--reproducible")
        assert result.returncode == 0, result.stderr
        programs.append((tmp_path / "out" / "probe").read_bytes())
    assert programs[0] == programs[1]
    build_apps(app)
    assert (tmp_path / "out" / "probe").read_bytes() != programs[0], "addresses are random again"


def test_a_reproducible_program_derives_from_its_sources_and_the_secret_alone() -> None:
    def seed(sources: dict[str, str], secret: str = "", seconds: float = 1.0) -> str:
        return build._seed(build.Compiled("app", "tools", sources, seconds), secret)

    here, elsewhere = {"/a/x.py": "1", "/a/y.py": "2"}, {"/b/y.py": "2", "/b/x.py": "1"}
    assert seed(here) == seed(elsewhere, seconds=2.0)
    assert seed(here) != seed({"/a/x.py": "1", "/a/y.py": "3"})
    assert seed(here) != seed(here, "secret")


def test_another_build_of_a_reproducible_program_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SAME_FOLDER", str(tmp_path / "{seed:.16}"))
    program = write(tmp_path / "program.dist" / "program", "")
    with build._same_copy(program, "0" * 64) as copy:
        assert copy == tmp_path / ("0" * 16) / "program"
        with (
            pytest.raises(build.BuildError, match="wait for the other build"),
            build._same_copy(program, "0" * 64),
        ):
            pass
        assert copy.exists()
    assert not copy.parent.exists()


def test_install_copies_the_programs_and_nothing_else(cgi_bin: Path, tmp_path: Path) -> None:
    command = ["make", "install", "APPS=apps/hello.py", f"OUT={tmp_path / 'out'}"]
    place = f"DESTDIR={tmp_path / 'a root'}"
    result = subprocess.run(
        [*command, place, "CGIBIN=/cgi"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    (installed,) = (tmp_path / "a root" / "cgi").iterdir()
    assert (installed.name, installed.stat().st_mode & 0o777) == ("hello", 0o755)


def test_a_module_that_nuitka_has_made_up_is_no_source(tmp_path: Path) -> None:
    """A program with multiprocessing, as asyncio is, gets some that are no files."""
    real, report = tmp_path / "real.py", tmp_path / "report.xml"
    real.touch()
    paths = (real, tmp_path / "__parents_main__-preLoad.py")
    modules = "".join(f'<module source_path="{path}"/>' for path in paths)
    report.write_text(f"<report>{modules}</report>")
    assert list(build._sources(report)) == [real]
