"""What tests share: programs that are compiled and frozen, each of them once."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nativecgi.testing import Client
from servers import apache
from tests import pythons
from tests.remote import Remote

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(__file__).with_name("programs")
# With a canary in every function: one that finds it changed aborts.
FLAGS = ("-O1", "-Wall", "-Wextra", "-fstack-protector-all", "-pthread")


def pytest_configure(config: pytest.Config) -> None:
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"  # a skip prints its reason
    # A machine that is busy with something else is slow, and no test fails for that.
    settings.register_profile(
        "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("patient")


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the programs that tests freeze."""
    return PROGRAMS


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles: `compiled("hello.c", *flags)` is the program's path.

    What is `optional` may fail, and skips the test: this machine lacks a library for it.
    """
    folder = tmp_path_factory.mktemp("compiled")

    @cache
    def compile_program(
        source: str, *flags: str, compiler: str = "cc", optional: bool = False
    ) -> Path:
        if shutil.which(compiler) is None:
            pytest.skip(f"there is no {compiler}")
        program = Path(folder, str(len(list(folder.iterdir()))), Path(source).stem)
        program.parent.mkdir()
        command = [compiler, *FLAGS, *flags, "-o", str(program), str(PROGRAMS / source)]
        if "-nostdlib" not in flags:
            command += ["-lm", "-ldl"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode and optional:
            pytest.skip(f"{' '.join(command[:-3])} failed: {result.stderr}")
        assert result.returncode == 0, result.stderr
        return program

    return compile_program


@pytest.fixture(scope="session")
def freezer_command() -> Callable[..., list[str]]:
    """The command line that freezes: `freezer_command(*command, output=path, options=...)`."""

    def command_line(
        *command: "str | Path", output: Path, options: Sequence[str] = ()
    ) -> list[str]:
        arguments = [*options, "-o", str(output), "--", *map(str, command)]
        return [sys.executable, "-m", "nativecgi_build.freezer", *arguments]

    return command_line


@pytest.fixture(scope="session")
def freezer_environment() -> dict[str, str]:
    """The environment that finds the freezer, wherever it runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def freeze(
    freezer_command: Callable[..., list[str]], freezer_environment: dict[str, str]
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the freezer: `freeze(*command, output=path)`."""

    def run_freezer(
        *command: "str | Path",
        output: Path,
        options: Sequence[str] = (),
        prefix: Sequence["str | Path"] = (),
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        umask: int = -1,
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*prefix, *freezer_command(*command, output=output, options=options)],
            env={**freezer_environment, **(env or {})},
            input=stdin,
            umask=umask,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run_freezer


@pytest.fixture(scope="session")
def frozen(
    tmp_path_factory: pytest.TempPathFactory,
    freeze: Callable[..., "subprocess.CompletedProcess[str]"],
) -> Callable[..., Path]:
    """Freezes what can be: `frozen(*command, options=...)` is the image's path."""
    folder = tmp_path_factory.mktemp("frozen")

    @cache
    def freeze_once(*command: "str | Path", options: tuple[str, ...] = ()) -> Path:
        image = folder / f"{len(list(folder.iterdir()))}-{Path(command[-1]).stem}"
        result = freeze(*command, output=image, options=options)
        assert result.returncode == 0, result.stderr
        return image

    return freeze_once


@pytest.fixture(scope="session")
def frozen_hello(compiled: Callable[..., Path], frozen: Callable[..., Path]) -> Path:
    """The usual C program, frozen."""
    return frozen(compiled("hello.c"))


@pytest.fixture(scope="session")
def frozen_probe(compiled: Callable[..., Path], frozen: Callable[..., Path]) -> Path:
    """A C program that does after its freeze point what PROBE names, frozen."""
    return frozen(compiled("probe.c"))


@pytest.fixture(scope="session")
def python(request: pytest.FixtureRequest) -> Path:
    """The Python that a program is in: this one, or of the version that a test is given."""
    return pythons.environment(getattr(request, "param", pythons.THIS))


@pytest.fixture(scope="session")
def frozen_python(frozen: Callable[..., Path], python: Path) -> Path:
    """A Python program that does after its freeze point what PROBE names, frozen."""
    return frozen(python, PROGRAMS / "probe.py", options=("-e", f"PYTHONPATH={ROOT}"))


@pytest.fixture(scope="session")
def frozen_fresh(frozen: Callable[..., Path], python: Path) -> Path:
    """A Python program that has used all that could go stale before its freeze point, frozen."""
    return frozen(python, PROGRAMS / "fresh.py", options=("-e", f"PYTHONPATH={ROOT}"))


@pytest.fixture(scope="session")
def builder() -> Path:
    """The Python that programs are built with: it has what they may import, and no more."""
    python = ROOT / ".venv" / "bin" / "python"
    assert python.exists(), "run make build first"
    return python


@pytest.fixture(scope="session")
def cgi_bin(builder: Path) -> Path:
    """A folder with all apps and the tests' own, built as users build them."""
    folder = ROOT / "build" / "tests" / "cgi-bin"
    apps = [str(path) for path in (ROOT / "apps").glob("*.py")]
    own = ("probe", "binary.py", "contract.py", "gateways.py", "sessions.py", "transfers.py")
    apps += [str(ROOT / "tests" / "apps" / name) for name in own]
    command = [str(builder), str(ROOT / "build.py"), "-o", str(folder), *apps]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="session")
def example(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds one of examples/: `example("pinboard")` is its program, in a folder of its own."""
    output = ROOT / "build" / "tests" / "examples"

    @cache
    def build_example(name: str) -> Path:
        command = [builder, ROOT / "build.py", "-o", output, ROOT / "examples" / name]
        result = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        if (output / name).is_symlink():
            pytest.skip("this machine cannot freeze")
        alone = tmp_path_factory.mktemp("alone") / name
        shutil.copy2(output / name, alone)
        return alone

    return build_example


@pytest.fixture(scope="session")
def deployed(example: Callable[[str], Path]) -> Iterator[Callable[[str], Path]]:
    """Builds one of examples/: `deployed("hgserve")` is a folder with it that servers can read."""
    with ExitStack() as stack:

        @cache
        def deploy(name: str) -> Path:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deployed-")))
            folder.chmod(0o755)
            shutil.copy2(example(name), folder)
            return folder

        yield deploy


@pytest.fixture
def served() -> Iterator[Path]:
    """A folder for what a server's user has to read and write; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="served-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture(params=["alone", "apache"])
def visit(
    request: pytest.FixtureRequest,
    example: Callable[[str], Path],
    served: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Client]]:
    """Runs an example, by itself and behind Apache: `visit("pinboard", PINBOARD_DB=path)`."""
    folder = served / "cgi-bin"
    folder.mkdir(mode=0o755)
    with ExitStack() as stack:

        def start(name: str, **env: str) -> Client:
            program = shutil.copy2(example(name), folder)
            if request.param == "alone":
                monkeypatch.chdir(folder)
                return Client(program, env=env)
            server = stack.enter_context(apache.serving(folder, environment=env))
            return Remote(f"{server.url}/{name}")

        yield start
