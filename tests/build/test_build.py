"""`build.py` as its users meet it; what needs no compiler is fast."""

import marshal
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from nativecgi_build import sources
from nativecgi_build.build import app as build_app
from nativecgi_build.build import compile as build_compile
from nativecgi_build.build import freeze as build_freeze
from nativecgi_build.build import pipeline as build_pipeline
from nativecgi_build.build import rehearse as build_rehearse
from nativecgi_build.build.app import App, copy_script, data_files, own_files, project_of
from nativecgi_build.build.compile import compile_app, is_current, tools_hash
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.finding import find_apps
from nativecgi_build.build.freeze import same_copy, seed_of
from nativecgi_build.build.packing import LIST
from nativecgi_build.build.records import Built, Compiled, Rehearsed, Wanted, read_record
from nativecgi_build.build.rehearse import rehearse
from nativecgi_build.build.trial import try_program
from nativecgi_build.environments.environment import OWN, Environment
from nativecgi_build.scripts.project import Seen
from nativecgi_build.settings import Settings
from tests.checkout import ROOT, SETTINGS, WORK
from tests.environments.test_environment import make_wheel, requiring

UMASK = os.umask(0o022)
os.umask(UMASK)

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
    apps = find_apps(["hello", str(file), str(package)], SETTINGS)
    assert [(app.name, app.source) for app in apps] == [
        ("hello", ROOT / "apps" / "hello.py"),
        ("one", file),
        ("two", package),
    ]


def test_all_apps_are_built_unless_some_are_named() -> None:
    names = [app.name for app in find_apps([], SETTINGS)]
    assert names == sorted(path.stem for path in (ROOT / "apps").glob("*.py"))
    assert "hello" in names


def test_two_apps_of_one_name_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a" / "x.py", HELLO), write(tmp_path / "b" / "x.py", HELLO)
    with pytest.raises(BuildError, match="would both become 'x'"):
        find_apps([str(one), str(other)], SETTINGS)


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


def test_an_app_that_holds_what_cannot_be_frozen_is_told_of_hooks(
    build_apps: Builder, tmp_path: Path
) -> None:
    holds = "import socket\nfrom nativecgi import run\ns = socket.socket()\nrun(lambda r: None)\n"
    fails = "import nonesuch\n"
    for source, is_told in ((holds, True), (fails, False)):
        message = build_apps(write(tmp_path / "broken.py", source)).stderr
        assert ("@after_thaw" in message) is is_told


def test_how_long_an_app_may_take_to_its_freeze_point_can_be_said(
    build_apps: Builder, tmp_path: Path
) -> None:
    slow = write(tmp_path / "broken.py", "import time\ntime.sleep(60)\n")
    result = build_apps(slow, "--timeout", "0.5")
    assert result.returncode == 1
    assert "0.5 seconds" in result.stderr


def test_an_app_is_rehearsed_in_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is when it is frozen: what it writes by a relative path lands nowhere else."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    empty = "import os\nassert os.listdir() == []\nopen('made', 'w').close()\n"
    app = App("shop", write(tmp_path / "shop.py", empty + HELLO))
    assert str(here / "made") not in rehearse(app, tmp_path, OWN).read
    assert not list(here.iterdir())


def test_another_app_is_built_all_the_same(build_apps: Builder, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.py", "import nonesuch\n")
    result = build_apps(broken, ROOT / "tests" / "apps" / "probe")
    assert result.returncode == 1
    assert "broken was not built" in result.stderr
    assert (tmp_path / "out" / "probe").is_file()


def test_a_compiler_that_fails_is_named_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_compile, "NUITKA_OPTIONS", ("--no-such-option",))
    app = App("hello", ROOT / "apps" / "hello.py")
    with pytest.raises(BuildError, match="Nuitka could not compile it; see ") as failure:
        compile_app(app, tmp_path, Wanted(tmp_path), OWN, 1, Rehearsed())
    assert "error: no such option: --no-such-option" in str(failure.value).splitlines()[0]
    assert "no such option" in Path(str(failure.value).split("see ")[1]).read_text()


def test_without_a_c_compiler_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    app = App("hello", ROOT / "apps" / "hello.py")
    with pytest.raises(BuildError, match="there is no C compiler: install one"):
        compile_app(app, tmp_path, Wanted(tmp_path), OWN, 1, Rehearsed())
    assert not list(tmp_path.iterdir())


def test_without_python_s_headers_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path / "include"))
    app = App("hello", ROOT / "apps" / "hello.py")
    with pytest.raises(BuildError, match=r"there is no .*/Python\.h: install Python's headers"):
        compile_app(app, tmp_path, Wanted(tmp_path), OWN, 1, Rehearsed())
    assert not list(tmp_path.iterdir())


def test_nothing_is_built_again_that_has_not_changed(build_apps: Builder) -> None:
    app = ROOT / "tests" / "apps" / "probe"
    build_apps(app)
    again = build_apps(app)
    assert again.returncode == 0
    assert again.stdout.splitlines()[0] == "probe: done (nothing has changed)"


def compiled_as_now(app: App, work: Path, wanted: Wanted) -> Compiled:
    """The record of a compilation of an app's own files."""
    options = build_compile._options(
        app, work, OWN, Rehearsed(), names=False, compile_all=wanted.compile_all
    )
    own = sources.digests(own_files(app))
    return Compiled(app.origin, tools_hash(), own, 1.0, options=options)


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    source = write(tmp_path / "app.py", HELLO)
    app, wanted = App("app", source), Wanted(tmp_path, freeze=False)
    compiled = compiled_as_now(app, tmp_path, wanted)
    assert is_current(compiled, app, tmp_path, wanted, OWN)
    source.write_text(HELLO + "\n")
    assert not is_current(compiled, app, tmp_path, wanted, OWN)


def test_a_package_s_files_are_in_the_program_but_for_hidden_ones(tmp_path: Path) -> None:
    package = write(tmp_path / "shop" / "__main__.py", HELLO).parent
    for name in (".env", ".git/config", "x.pyc", "__pycache__/y.txt", "templates/page.html", "z"):
        write(package / name, "")
    assert list(data_files(App("shop", package))) == [
        (package / "templates" / "page.html", Path("shop", "templates", "page.html")),
        (package / "z", Path("shop", "z")),
    ]
    assert not list(data_files(App("shop", package / "__main__.py")))


def test_a_new_file_of_a_package_is_noticed(tmp_path: Path) -> None:
    package = write(tmp_path / "shop" / "__main__.py", HELLO).parent
    app, wanted = App("shop", package), Wanted(tmp_path, freeze=False)
    compiled = compiled_as_now(app, tmp_path, wanted)
    assert is_current(compiled, app, tmp_path, wanted, OWN)
    for new in (package / "static" / "style.css", package / "plugin.py"):
        write(new, "")
        assert not is_current(compiled, app, tmp_path, wanted, OWN)
        new.unlink()
    assert is_current(compiled, app, tmp_path, wanted, OWN)


def records(name: str) -> tuple[Compiled, Built]:
    """What the build has written down of a program that it has made."""
    compiled = read_record(WORK / name / "compiled.json", Compiled)
    built = read_record(WORK / name / "frozen.json", Built)
    assert compiled is not None
    assert built is not None
    return compiled, built


@pytest.fixture(scope="module")
def made_from(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> sources.Digests:
    """All files that a program was made from, of a real build."""
    output = tmp_path_factory.mktemp("out")
    command = [builder, ROOT / "build.py", ROOT / "tests" / "apps" / "probe", "-o", output]
    subprocess.run(list(map(str, command)), check=True)
    compiled, built = records("probe")
    return compiled.sources | compiled.read | built.libraries


@pytest.mark.parametrize(
    "name",
    [
        "tests/apps/probe/__main__.py",
        "nativecgi/gateways/cgi.py",  # the library
        "multipart.py",  # what the library needs
        "json/__init__.py",  # Python's own modules
        "msgspec/_core*.so",
        "libcrypto.so*",  # the system's libraries
        "libc.so.6",
        "ld-linux-x86-64.so.2",
    ],
)
def test_a_program_is_made_from(made_from: sources.Digests, name: str) -> None:
    assert [path for path in made_from if Path(path).match(name)]


def test_a_change_of_any_source_of_a_program_is_noticed(
    made_from: sources.Digests, tmp_path: Path
) -> None:
    copies = {}
    for number, (path, recorded) in enumerate(made_from.items()):
        copy = tmp_path / str(number)
        shutil.copyfile(path, copy)
        copies[str(copy)] = recorded
    assert sources.changed(copies) == []
    for path in copies:
        with open(path, "ab") as file:
            file.write(b"\n")
        assert sources.changed(copies) == [path]
        copies[path] = sources.digest(Path(path))


@pytest.mark.parametrize("value", ["-O0", None])
def test_a_compiler_that_is_told_something_else_is_noticed(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv("CFLAGS", "-O1")
    before = tools_hash()
    if value is None:
        monkeypatch.delenv("CFLAGS")
    else:
        monkeypatch.setenv("CFLAGS", value)
    assert tools_hash() != before


def test_python_itself_and_what_is_installed_for_the_build_are_noticed() -> None:
    machine = build_compile._machine()
    assert sources.digest(Path(sys.executable).resolve()) in machine
    assert f"nuitka {version('nuitka')}" in [it.lower() for it in machine]


def test_other_options_for_nuitka_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App("hello", ROOT / "apps" / "hello.py")
    wanted = Wanted(tmp_path, freeze=False)
    compiled = compiled_as_now(app, tmp_path, wanted)
    monkeypatch.setattr(
        build_compile, "NUITKA_OPTIONS", (*build_compile.NUITKA_OPTIONS, "--another")
    )
    assert not is_current(compiled, app, tmp_path, wanted, OWN)


def test_an_edited_script_is_built_again(build_apps: Builder, tmp_path: Path) -> None:
    read = write(tmp_path / "price.txt", "7")
    module = f"PRICE = open({str(read)!r}).read()\n"
    module += f"print('built', file=open({str(tmp_path / 'log')!r}, 'a'))\n"
    write(tmp_path / "shop.py", module)
    source = "import shop\n\nprint('Content-Type: text/plain\\n')\nprint('costs', shop.PRICE)\n"
    script = write(tmp_path / "edited.cgi", source)

    def built() -> tuple[list[str], str]:
        result = build_apps("--script", script)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        stages = [line.removeprefix("edited: ") for line in lines if line.startswith("edited: ")]
        program = tmp_path / "out" / "edited"
        answer = subprocess.run([program], env={"REQUEST_METHOD": "GET"}, stdout=-1, check=True)
        end = next(i for i, stage in enumerate(stages) if stage.startswith("done ("))
        return stages[:end], answer.stdout.decode().splitlines()[-1]

    compiling = ["rehearsing", "compiling", "freezing", "trying"]
    assert built()[1] == "costs 7"
    assert built() == ([], "costs 7")
    script.write_text(source.replace("costs", "now costs"))
    assert built() == (compiling, "now costs 7")
    # What was read before the freeze point is in the memory that was frozen.
    read.write_text("8")
    assert built() == (["rehearsing", "freezing", "trying"], "now costs 8")
    assert built() == ([], "now costs 8")


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
    settings = Settings(cache="work", folder=tmp_path)
    monkeypatch.setattr(build_compile, "NUITKA_OPTIONS", ("--no-such-option",))
    record = tmp_path / "work" / "apps" / "hello" / "compiled.json"
    write(record, "{}")
    app = App("hello", ROOT / "apps" / "hello.py")
    with pytest.raises(BuildError, match="Nuitka could not compile it"):
        build_pipeline.build(app, Wanted(tmp_path, settings, freeze=False), jobs=1, report=print)
    assert not record.exists()


# Old CGI scripts.


def test_a_script_is_found_by_its_file(tmp_path: Path) -> None:
    script = write(tmp_path / "guestbook.cgi", "")
    (app,) = find_apps([], SETTINGS, [str(script)])
    assert (app.name, app.source, app.is_script) == ("guestbook", script, True)
    names = [app.name for app in find_apps(["hello"], SETTINGS, [str(script)])]
    assert names == ["hello", "guestbook"]


def test_a_script_that_does_not_exist_is_named() -> None:
    with pytest.raises(BuildError, match=r"there is no script 'nonesuch\.cgi'"):
        find_apps([], SETTINGS, ["nonesuch.cgi"])


def test_two_scripts_of_one_name_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "x.cgi", ""), write(tmp_path / "x.py", "")
    with pytest.raises(BuildError, match=r"x\.cgi and .*x\.py would both become 'x'"):
        find_apps([], SETTINGS, [str(one), str(other)])


def test_a_file_as_a_script_is_not_the_same_app(tmp_path: Path) -> None:
    source = write(tmp_path / "x.py", "")
    with pytest.raises(BuildError, match="would both become 'x'"):
        find_apps([str(source)], SETTINGS, [str(source)])
    app, script = App("x", source), App("x", source, is_script=True)
    wanted = Wanted(tmp_path, freeze=False)
    compiled = compiled_as_now(app, tmp_path, wanted)
    assert is_current(compiled, app, tmp_path, wanted, OWN)
    assert not is_current(compiled, script, tmp_path, wanted, OWN)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os\n\nprint 'Hello'\n", "is it of Python 2?"),
        ("print()\n", "frozen above line 1, in a line that is empty or a comment: add one"),
        ("import nonesuch\n\nprint()\n", "ModuleNotFoundError: No module named 'nonesuch'"),
        ("import holder\n\nprint()\n", "descriptor 3 is open on socket:"),
        ("import holder\n\nprint()\n", "docs/scripts.md"),
    ],
)
def test_a_script_that_cannot_be_built_fails_at_once_with_its_own_reason(
    build_apps: Builder, tmp_path: Path, source: str, reason: str
) -> None:
    write(tmp_path / "holder.py", "import socket\ns = socket.socket()\n")
    script = write(tmp_path / "broken.cgi", source)
    result = build_apps("--script", script)
    assert result.returncode == 1
    assert "broken was not built: " in result.stderr
    assert reason in result.stderr
    assert "uitka" not in result.stderr


def test_a_script_is_rehearsed_and_tried_without_its_effects(tmp_path: Path) -> None:
    work, effect = tmp_path / "work", tmp_path / "effect"
    script = write(tmp_path / "x.cgi", f"import os\nimport beside\n\nopen({str(effect)!r}, 'w')\n")
    write(tmp_path / "beside.py", "")
    work.mkdir()
    app = App("x", script, is_script=True)
    copy_script(app, work)
    command = build_rehearse._plain_command(app, work, OWN, work / "imported")
    build_freeze.freeze(command, tmp_path / "x")
    try_program(tmp_path / "x", app.trial)
    assert not effect.exists()
    subprocess.run([tmp_path / "x"], env={"REQUEST_METHOD": "GET"}, check=True)
    assert effect.exists()


def script_app(tmp_path: Path, source: str, *tries: str) -> App:
    return App("x", write(tmp_path / "x.cgi", source), is_script=True, tries=tries)


def rehearsed(app: App, tmp_path: Path) -> Rehearsed:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    copy_script(app, work)
    return rehearse(app, work, OWN)


def test_what_a_script_adds_to_its_path_is_known_from_its_rehearsal(tmp_path: Path) -> None:
    source = """import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import shop

print()
"""
    write(tmp_path / "lib" / "shop.py", "")
    app = script_app(tmp_path, source)
    seen = rehearsed(app, tmp_path).seen
    assert seen.folders == [str(tmp_path / "lib")]
    assert project_of(app, seen).modules == ["shop"]


def test_a_script_s_own_package_may_be_imported_by_a_string(tmp_path: Path) -> None:
    source = "import os\nimport beside\n\nprint()\n"
    write(tmp_path / "beside.py", "import importlib\nimportlib.import_module('shop.' + 'urls')\n")
    write(tmp_path / "shop" / "__init__.py", "")
    write(tmp_path / "shop" / "urls.py", "")
    app = script_app(tmp_path, source)
    assert project_of(app, rehearsed(app, tmp_path).seen).packages == ["shop"]


def test_a_script_that_is_tried_tells_what_it_imports(tmp_path: Path) -> None:
    source = """import os

print("Content-Type: text/plain\\n")
if os.environ["PATH_INFO"] == "/list":
    __import__("shop")
"""
    write(tmp_path / "shop.py", "import colorsys\n")
    assert "shop" not in rehearsed(script_app(tmp_path, source), tmp_path).seen.imported
    app = script_app(tmp_path, source, "/", "/list")
    seen = rehearsed(app, tmp_path).seen
    assert "shop" in seen.imported
    assert sorted(seen.late) == ["colorsys", "shop"]
    assert ", 'shop'" in (tmp_path / "work" / "script" / "x.cgi").read_text()


def test_a_script_is_tried_where_it_lies_as_a_server_would(tmp_path: Path) -> None:
    source = """import os

assert os.getcwd() == os.path.dirname(__file__) and os.environ["QUERY_STRING"] == "a=b"
open("tried", "w")
"""
    rehearsed(script_app(tmp_path, source, "/?a=b"), tmp_path)
    assert (tmp_path / "tried").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os\n\n1 / 0\n", "ZeroDivisionError"),
        ("import os\n\nprint('Status: 500 No\\n')\n", "failed"),
    ],
)
def test_a_script_that_fails_as_it_is_tried_is_not_built(
    tmp_path: Path, source: str, reason: str
) -> None:
    app = script_app(tmp_path, source, "/")
    with pytest.raises(BuildError, match=f"tried with '/', and failed:[^$]*{reason}|failed"):
        rehearsed(app, tmp_path)


def test_a_script_may_say_itself_what_it_is_tried_with_and_what_data_it_has(
    tmp_path: Path,
) -> None:
    block = '# /// script\n# [tool.nativecgi]\n# try = ["/a"]\n# data = ["names.txt"]\n# ///\n'
    write(tmp_path / "names.txt", "")
    app = script_app(tmp_path, f"{block}import os\n\nopen(os.environ['PATH_INFO'][1:], 'w')\n")
    project = project_of(app, rehearsed(app, tmp_path).seen)
    assert (tmp_path / "a").exists()
    assert project.data == [(tmp_path / "names.txt", Path("names.txt"))]


def test_new_data_of_a_script_is_noticed(tmp_path: Path) -> None:
    app = script_app(tmp_path, "import shop\n\nprint()\n")
    write(tmp_path / "shop" / "__init__.py", "")
    wanted = Wanted(tmp_path, freeze=False)
    compiled = compiled_as_now(app, tmp_path, wanted)
    assert is_current(compiled, app, tmp_path, wanted, OWN)
    write(tmp_path / "shop" / "page.html", "")
    assert not is_current(compiled, app, tmp_path, wanted, OWN)


WSGI = """from wsgiref.handlers import CGIHandler

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]

CGIHandler().run(app)
"""


def test_a_wsgi_script_is_tried_with_a_page_of_its_warm_up(tmp_path: Path) -> None:
    assert rehearsed(script_app(tmp_path, WSGI), tmp_path).trial == {}
    trial = rehearsed(script_app(tmp_path, WSGI, "/a?b=c"), tmp_path).trial
    assert (trial["PATH_INFO"], trial["QUERY_STRING"]) == ("/a", "b=c")


def test_the_build_says_where_a_script_is_frozen_and_what_is_late(tmp_path: Path) -> None:
    def notes(source: str, *tries: str) -> list[str]:
        app, seen = script_app(tmp_path, source, *tries), Seen()
        return list(build_app.notes(app, seen))

    assert notes("import os\n\nimport shop.a\nprint()\n") == [
        "frozen at line 2, above line 3, which each process runs first",
        "each process may import shop.a: with --try /, the build does that",
    ]
    assert notes("import os\n\n") == ["frozen at line 4"]
    slow = "import app\n\na = app.make()\nb = open('key')\nCGIHandler().run(a)\n"
    assert notes(slow)[1] == "its WSGI application is made in each process, because of line 4"
    assert notes(WSGI, "/") == ["frozen at line 7, with its WSGI application made"]
    assert notes(WSGI)[1:] == [
        "no page was tried, so each request may import modules that it needs: use --try /"
    ]


def test_what_an_app_imports_by_a_string_is_known_from_its_rehearsal(tmp_path: Path) -> None:
    source = """if True:
        from importlib import import_module
        from nativecgi import run, text
        def handle(_request):
            import_module("views")
            return text("")
        import_module("settings")
        run(handle, warmup=["/"])
    """
    wheels = [make_wheel(tmp_path, name) for name in ("settings", "views", "unused")]
    block = requiring(*(f"{wheel.stem.split('-')[0]} @ {wheel.as_uri()}" for wheel in wheels))
    app, work = (
        App("shop", write(tmp_path / "shop.py", block + source)),
        tmp_path / "work",
    )
    work.mkdir()
    packages = build_pipeline._environment(app, work, print)
    assert rehearse(app, work, packages).modules == ["settings", "views"]


def test_an_app_s_packages_come_before_the_checkout_s_files(
    build_apps: Builder, tmp_path: Path
) -> None:
    """Of which there is a serve.py and a folder bench, and which a compilation needs as well."""
    wheels = [make_wheel(tmp_path, name) for name in ("serve", "bench")]
    block = requiring(*(f"{wheel.stem.split('-')[0]} @ {wheel.as_uri()}" for wheel in wheels))
    source = HELLO.replace('"Hello"', "bench.WORDS + serve.WORDS")
    app = write(tmp_path / "shadowed.py", f"{block}import bench, serve\n{source}")
    result = build_apps(app)
    assert result.returncode == 0, result.stderr
    program = tmp_path / "out" / "shadowed"
    answer = subprocess.run([program], env={"REQUEST_METHOD": "GET"}, stdout=-1, check=True)
    assert answer.stdout.endswith(b"HelloHello")


def test_an_app_is_tried_with_a_request_of_its_warm_up(tmp_path: Path) -> None:
    source = HELLO.replace("run(handle)", 'run(handle, warmup=["/a%20b?c=d", "/other"])')
    assert source != HELLO
    app = App("shop", write(tmp_path / "shop.py", source))
    assert rehearse(app, tmp_path, OWN).trial == {
        "PATH_INFO": "/a b",
        "QUERY_STRING": "c=d",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/cgi-bin/warmup/a%20b?c=d",
    }


def test_an_app_is_tried_with_what_its_hooks_set_for_a_warm_up(tmp_path: Path) -> None:
    hook = """
import os
from nativecgi import before_freeze

@before_freeze
def set_database() -> None:
    os.environ["SHOP_DB"] = ":memory:"
"""
    app = App("shop", write(tmp_path / "shop.py", hook + HELLO))
    assert rehearse(app, tmp_path, OWN).trial == {"SHOP_DB": ":memory:"}


def test_a_path_that_is_no_text_is_no_trial(tmp_path: Path) -> None:
    source = HELLO.replace("run(handle)", 'run(handle, warmup=["/%FF"])')
    app = App("shop", write(tmp_path / "shop.py", source))
    assert "PATH_INFO" not in rehearse(app, tmp_path, OWN).trial


def test_a_warm_up_that_posts_is_no_trial(tmp_path: Path) -> None:
    post = 'Request({"REQUEST_METHOD": "POST"}, io.BytesIO(b"x"))'
    source = "import io\n" + HELLO.replace("run(handle)", f"run(handle, warmup=[{post}])")
    app = App("shop", write(tmp_path / "shop.py", source))
    assert rehearse(app, tmp_path, OWN).trial == {}


def test_all_modules_of_a_package_are_in_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def fail(command: list[str], **_options: object) -> "subprocess.CompletedProcess[bytes]":
        commands.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", fail)
    package = write(tmp_path / "shop" / "__main__.py", HELLO).parent
    with pytest.raises(BuildError, match="Nuitka could not compile it"):
        compile_app(
            App("shop", package),
            tmp_path,
            Wanted(tmp_path),
            OWN,
            1,
            Rehearsed(),
        )
    assert "--include-package=shop" in commands[0]


# Side files for a debugger.


class Workshop:
    """A build without its slow steps, of which it notes that they were asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.output, self.debug = folder / "out", folder / "debug"
        self.kept = folder / "work" / "apps" / "hello" / "hello.debug"
        self.steps: list[str] = []
        self.settings = Settings(cache="work", folder=folder)
        monkeypatch.setattr(build_pipeline, "rehearse", self.rehearse)
        monkeypatch.setattr(build_pipeline, "compile_app", self.compile)
        monkeypatch.setattr(build_pipeline, "freeze", self.freeze)
        monkeypatch.setattr(build_pipeline, "try_program", lambda _program, _trial: (1.0, "200"))
        self.source = write(folder / "hello.py", HELLO)
        self.saved: list[str] = []  # by somebody, in each compilation another
        self.read = write(folder / "read.txt", "read")
        self.library = write(folder / "libc.so.6", "")
        # The file system's clock is coarse, and a file of the very moment a build begins is no
        # older than that.
        while write(folder / "now", "").stat().st_ctime_ns == self.library.stat().st_ctime_ns:
            pass

    def rehearse(self, *_arguments: object) -> Rehearsed:
        self.steps.append("rehearse")
        return Rehearsed(read=[str(self.read)])

    def compile(
        self,
        app: App,
        work: Path,
        wanted: Wanted,
        packages: Environment,
        *_others: object,
    ) -> Compiled:
        names, everything = wanted.debug is not None, wanted.compile_all
        step = "compile all" if everything else "compile"
        self.steps.append(f"{step} with names" if names else step)
        write(work / "hello.dist" / "hello.bin", app.source.read_text())
        (work / LIST).write_bytes(marshal.dumps([]))
        if self.saved:
            app.source.write_text(self.saved.pop())
        return Compiled(
            str(app.source),
            tools_hash(),
            sources.digests([app.source]),
            1.0,
            names,
            packages.made_from,
            is_rehearsed=wanted.freeze,
            options=build_compile._options(
                app, work, packages, Rehearsed(), names=names, compile_all=everything
            ),
        )

    def freeze(
        self,
        _command: list[str],
        target: Path,
        *,
        debug: Path,
        map: Path,
        native: bool = False,
        **_others: object,
    ) -> list[str]:
        self.steps.append("freeze natively" if native else "freeze")
        number = len([step for step in self.steps if step.startswith("freeze")])
        write(target, f"image {number}")
        write(debug, f"side file of image {number}")
        write(map, f"4096\t{self.library}\n")
        return []

    def build(
        self,
        *,
        debug: bool = False,
        native: bool = False,
        compile_all: bool = False,
        freeze: bool = True,
        again: bool = False,
    ) -> list[str]:
        """Build the app; returns what had to be done for it, but for the rehearsals."""
        before = len(self.steps)
        wanted = Wanted(
            self.output,
            self.settings,
            freeze,
            self.debug if debug else None,
            native=native,
            compile_all=compile_all,
            again=again,
        )
        build_pipeline.build(App("hello", self.source), wanted, jobs=1, report=print)
        return self.steps[before:]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def test_a_program_that_was_not_to_be_frozen_is_rehearsed_when_it_is(workshop: Workshop) -> None:
    workshop.build(freeze=False)
    workshop.build()
    assert workshop.steps == ["compile", "rehearse", "compile", "freeze"]


def test_a_side_file_goes_to_a_folder_of_its_own(workshop: Workshop) -> None:
    workshop.build(debug=True)
    assert (workshop.debug / "hello.debug").read_text() == "side file of image 1"
    assert [path.name for path in workshop.output.iterdir()] == ["hello"]


def test_a_program_with_a_side_file_is_compiled_with_names(workshop: Workshop) -> None:
    workshop.build(debug=True)
    assert workshop.steps == ["rehearse", "compile with names", "freeze"]


def test_a_side_file_is_kept_even_if_nobody_asks_for_it(workshop: Workshop) -> None:
    workshop.build()
    assert workshop.steps == ["rehearse", "compile", "freeze"]
    assert workshop.kept.read_text() == "side file of image 1"
    assert not workshop.debug.exists()


def test_a_side_file_that_is_asked_for_later_is_of_a_new_image(workshop: Workshop) -> None:
    workshop.build()
    workshop.build(debug=True)
    assert workshop.steps[3:] == ["rehearse", "compile with names", "freeze"]
    assert (workshop.output / "hello").read_text() == "image 2"
    assert (workshop.debug / "hello.debug").read_text() == "side file of image 2"


def test_a_program_with_names_is_not_compiled_again_without(workshop: Workshop) -> None:
    workshop.build(debug=True)
    workshop.build()
    workshop.build(debug=True)
    assert workshop.steps == ["rehearse", "compile with names", "freeze"]


def test_a_lost_side_file_is_made_again_with_its_image(workshop: Workshop) -> None:
    workshop.build()
    workshop.kept.unlink()
    workshop.build()
    assert workshop.steps == ["rehearse", "compile", "freeze", "freeze"]
    assert (workshop.output / "hello").read_text() == "image 2"
    assert workshop.kept.read_text() == "side file of image 2"


def test_a_native_program_is_frozen_anew_and_not_compiled(workshop: Workshop) -> None:
    workshop.build()
    workshop.build(native=True)
    workshop.build(native=True)
    assert workshop.steps == ["rehearse", "compile", "freeze", "freeze natively"]
    assert (workshop.output / "hello").read_text() == "image 2"


def test_a_program_is_compiled_again_when_its_packages_are_to_be_compiled(
    workshop: Workshop,
) -> None:
    workshop.build()
    workshop.build(compile_all=True)
    workshop.build(compile_all=True)
    assert workshop.steps == ["rehearse", "compile", "freeze", "rehearse", "compile all", "freeze"]
    workshop.build()
    assert workshop.steps[6:] == ["rehearse", "compile", "freeze"]


def test_what_has_not_changed_is_frozen_again_for_new_addresses(workshop: Workshop) -> None:
    workshop.build()
    assert workshop.build() == []
    assert workshop.build(again=True) == ["freeze"]
    assert (workshop.output / "hello").read_text() == "image 2"


def test_a_new_glibc_makes_a_new_image(workshop: Workshop) -> None:
    workshop.build()
    workshop.library.write_text("a security update")
    assert workshop.build() == ["freeze"]
    assert workshop.build() == []


def test_what_was_read_before_the_freeze_point_makes_a_new_image(workshop: Workshop) -> None:
    workshop.build()
    workshop.read.write_text("other")
    assert workshop.build() == ["rehearse", "freeze"]
    workshop.read.unlink()
    assert workshop.build() == ["rehearse", "freeze"]
    assert workshop.build() == []


def test_an_app_that_fails_before_it_is_compiled_keeps_what_was_compiled(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> Rehearsed:
        raise BuildError("SyntaxError")

    workshop.build()
    workshop.source.write_text("def handle(:")
    with monkeypatch.context() as broken:
        broken.setattr(build_pipeline, "rehearse", fail)
        with pytest.raises(BuildError, match="SyntaxError"):
            workshop.build()
    workshop.source.write_text(HELLO)
    assert workshop.build() == []


def test_what_is_saved_while_it_is_compiled_is_compiled_again(workshop: Workshop) -> None:
    workshop.saved = ["saved\n"]
    assert workshop.build() == ["rehearse", "compile", "rehearse", "compile", "freeze"]
    assert next(workshop.kept.parent.rglob("hello.bin")).read_text() == "saved\n"
    assert workshop.build() == []


def test_what_is_saved_all_the_time_is_no_program(workshop: Workshop) -> None:
    workshop.saved = [str(number) for number in range(build_pipeline.ATTEMPTS)]
    with pytest.raises(BuildError, match=r"hello\.py: changed while it was being compiled"):
        workshop.build()
    assert not workshop.output.exists()
    assert workshop.build() == ["rehearse", "compile", "freeze"]


def test_installed_packages_stay_bytecode() -> None:
    """In a process of its own, as importing Nuitka has effects."""
    code = """if True:
        import sys
        from nuitka.utils.ModuleNames import ModuleName
        from nativecgi_build.nuitka_plugins.keep_bytecode import KeepBytecode
        plugin = KeepBytecode()
        print(*(plugin.decideCompilation(ModuleName(name)) for name in sys.argv[1:]))
    """
    expected = {
        **dict.fromkeys(["msgspec", "rich.console"], "bytecode"),
        **dict.fromkeys(["urllib.request-postLoad", "rich-preLoad"], "compiled"),
        **dict.fromkeys(
            ["nativecgi.gateways.exchange", "multipart", "__main__", "hello", "json"], "None"
        ),
    }
    output = subprocess.check_output(
        [sys.executable, "-W", "ignore", "-c", code, *expected], cwd=ROOT, text=True
    )
    assert output.split() == list(expected.values())


@pytest.mark.parametrize("folder", ["out", "out/debug"])
def test_side_files_do_not_go_where_programs_are_served(
    build_apps: Builder, tmp_path: Path, folder: str
) -> None:
    result = build_apps("hello", "--debug", tmp_path / folder)
    assert result.returncode == 2
    assert "may be served" in result.stderr
    assert not list(tmp_path.iterdir())


def test_side_files_are_of_frozen_programs(build_apps: Builder, tmp_path: Path) -> None:
    result = build_apps("hello", "--debug", tmp_path / "debug", "--no-freeze")
    assert result.returncode == 2
    assert "--debug is about frozen programs" in result.stderr


def test_a_built_program_s_side_file_fits_it(cgi_bin: Path) -> None:
    with (cgi_bin / "hello").open("rb") as file:
        segments = [
            range(segment["p_vaddr"], segment["p_vaddr"] + segment["p_memsz"])
            for segment in ELFFile(file).iter_segments("PT_LOAD")
        ]
    with (WORK / "hello" / "hello.debug").open("rb") as file:
        names = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(names, SymbolTableSection)
        for name in ("PyObject_Call", "_PyEval_EvalFrameDefault", "abort"):
            symbols = names.get_symbol_by_name(name)
            assert symbols
            assert any(symbols[0]["st_value"] in segment for segment in segments)


def test_nuitka_is_told_to_keep_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an option that this Nuitka does not know, it shows that it was given it."""
    monkeypatch.setattr(build_compile, "DEBUG_OPTIONS", ("--no-such-option",))
    app = App("hello", ROOT / "apps" / "hello.py")
    wanted = Wanted(tmp_path, debug=tmp_path)
    with pytest.raises(BuildError, match="Nuitka could not compile it; see ") as failure:
        compile_app(app, tmp_path, wanted, OWN, 1, Rehearsed())
    assert "no such option" in Path(str(failure.value).split("see ")[1]).read_text()


# Reproducible programs.


def test_a_reproducible_program_has_the_same_bytes_each_time(
    build_apps: Builder, tmp_path: Path
) -> None:
    app = ROOT / "tests" / "apps" / "probe"
    programs = []
    for _time in range(2):
        (WORK / "probe" / "frozen.json").unlink(missing_ok=True)  # so it is frozen again
        result = build_apps(app, "--reproducible")
        assert result.returncode == 0, result.stderr
        programs.append((tmp_path / "out" / "probe").read_bytes())
    assert programs[0] == programs[1]
    build_apps(app)
    assert (tmp_path / "out" / "probe").read_bytes() != programs[0], "addresses are random again"


def test_a_reproducible_program_derives_from_its_sources_and_the_secret_alone() -> None:
    def seed(sources: dict[str, str], secret: str = "", seconds: float = 1.0) -> str:
        return seed_of(Compiled("app", "tools", sources, seconds), secret)

    here, elsewhere = {"/a/x.py": "1", "/a/y.py": "2"}, {"/b/y.py": "2", "/b/x.py": "1"}
    assert seed(here) == seed(elsewhere, seconds=2.0)
    assert seed(here) != seed({"/a/x.py": "1", "/a/y.py": "3"})
    assert seed(here) != seed(here, "secret")


@pytest.fixture
def same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders of reproducible programs are for once."""
    monkeypatch.setattr(build_freeze, "SAME_FOLDER", str(tmp_path / "same-{name:.16}"))
    return tmp_path


def test_another_build_of_a_reproducible_program_is_not_disturbed(same_folder: Path) -> None:
    program = write(same_folder / "program.dist" / "program", "")
    with same_copy(program, "0" * 64, print) as copy:
        assert copy.parent.parent == same_folder
        with (
            pytest.raises(BuildError, match="wait for the other build"),
            same_copy(program, "0" * 64, print),
        ):
            pass
        assert copy.exists()
    assert not copy.parent.exists()


def test_a_reproducible_program_s_folder_does_not_tell_its_seed(same_folder: Path) -> None:
    folder = build_freeze._same_folder("0123456789abcdef" * 4, print)
    shutil.rmtree(folder)
    assert build_freeze._same_folder("0123456789abcdef" * 4, print) == folder
    assert "0123" not in folder.name


def test_another_user_in_the_way_of_a_reproducible_program_neither_stops_it_nor_joins_it(
    same_folder: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a file that is another user's")
    expected = build_freeze._same_folder("seed", print)
    (expected / "sitecustomize.py").touch()
    os.chown(expected, 65534, 65534)
    warnings: list[str] = []
    folder = build_freeze._same_folder("seed", warnings.append)
    assert folder != expected
    assert not list(folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700
    (warning,) = warnings
    assert f"user 65534 has made {expected}" in warning


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--reproducible=secret"], "write it to a file, and say --reproducible --secret-file"),
        (["--repro=secret"], "a secret among the arguments is everybody's to read"),
        (["--secret-file", "/dev/null"], "--secret-file is the secret of --reproducible"),
        (["--reproducible", "--secret-file", "/dev/null"], "/dev/null is empty"),
        (["--reproducible", "--secret-file", "/nonesuch"], "No such file"),
    ],
)
def test_a_secret_is_taken_from_a_file_and_not_from_the_arguments(
    build_apps: Builder, arguments: list[str], reason: str
) -> None:
    result = build_apps("hello", *arguments)
    assert result.returncode == 2
    assert reason in result.stderr
    assert "=secret" not in result.stderr


def test_a_secret_is_in_no_process_s_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, commands = subprocess.run, []

    def note(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        commands.append([*command, *options["env"].values()])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", note)
    code = "import os, signal; signal.raise_signal(signal.SIGSTOP)"
    images = [tmp_path / name for name in ("one", "same", "other")]
    for image, seed in zip(images, ("a seed", "a seed", "another"), strict=True):
        build_freeze.freeze([sys.executable, "-I", "-S", "-c", code], image, seed=seed)
    assert not [it for command in commands for it in command if "seed" in it and it[0] != "-"]
    one, same, other = (image.read_bytes() for image in images)
    assert one == same != other


def test_install_copies_the_programs_and_nothing_else(cgi_bin: Path, tmp_path: Path) -> None:
    command = ["make", "install", "APPS=apps/hello.py", f"OUT={tmp_path / 'out'}"]
    place = f"DESTDIR={tmp_path / 'a root'}"

    def install() -> Path:
        result = subprocess.run(
            [*command, place, "CGIBIN=/cgi"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        (installed,) = (tmp_path / "a root" / "cgi").iterdir()
        assert installed.name == "hello"
        return installed

    installed = install()
    assert installed.stat().st_mode & 0o777 == 0o777 & ~UMASK
    # As docs/security.md advises.
    installed.chmod(0o711)
    write(installed, "an older program")
    assert install().read_bytes() == (tmp_path / "out" / "hello").read_bytes()
    assert installed.stat().st_mode & 0o777 == 0o711
