"""The Python environment that an app is built in: the build's own, or one with what it requires.

An app requires what its file says between `# /// script` and `# ///` (PEP 723), or what a
requirements.txt in its folder does. Its environment is its own, and made once: apps do not see
each other's packages. Below them it has those of the build, which are Nuitka and what nativecgi
needs.
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import requires
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from nativecgi_build import sources
from nativecgi_build.environments.requirements_files import files_named, files_of
from nativecgi_build.nuitka_plugins.installed import installed

PACKAGES = Path(__file__).resolve().parents[2]
OWN_PACKAGES = ("nativecgi", "nativecgi_build")

# As PEP 723 has it.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


# Of what an installer writes down of a distribution (PyPA's "Recording installed projects"), less
# the files that tell where it came from and where it lies.
_METADATA = {"METADATA", "entry_points.txt", "top_level.txt"}


class EnvironmentFailed(Exception):
    """What an app requires cannot be read, had or met, and why."""


class Section(msgspec.Struct, frozen=True):
    """What a script's file says for its build (project.py), in a table [tool.nativecgi]."""

    data: list[str] = []  # files and folders beside it that go into its program
    tries: list[str] = msgspec.field(default_factory=list, name="try")  # paths to ask it for


class Tools(msgspec.Struct, frozen=True):
    """What the app's file says to tools."""

    nativecgi: Section = Section()


class Metadata(msgspec.Struct, frozen=True, rename="kebab"):
    """What the app's file says of it; of PEP 723 all else is for other tools."""

    dependencies: list[str] = []
    requires_python: str = ""
    tool: Tools = Tools()


class Environment(msgspec.Struct, frozen=True):
    """A Python to build an app with."""

    python: Path
    prefix: Path
    made_from: str = ""  # the hash of what the app requires; empty for the build's own

    def metadata(self) -> list[tuple[Path, Path]]:
        """The files that importlib.metadata reads of what was installed for the app.

        Each with its place beside the program, where importlib.metadata finds it as in plain
        Python. Nuitka's own option takes a distribution only if the program has a module of it;
        but packages ask for the versions and entry points of others that nobody imports. None of
        the build's own environment.
        """
        folder = _packages(self.prefix)
        found = folder.glob("*.dist-info/*") if self.made_from else ()
        return [(it, it.relative_to(folder)) for it in sorted(found) if it.name in _METADATA]

    def packages(self) -> Path:
        """The folder that these are in."""
        return _packages(self.prefix)

    def top_level(self) -> set[str]:
        """The names of the modules and packages that these have; none in the build's own."""
        return installed([str(_packages(self.prefix))]) if self.made_from else set()


OWN = Environment(Path(sys.executable), Path(sys.prefix))


def environment(
    source: Path, folder: Path, report: Callable[[], None] = lambda: None
) -> Environment:
    """The environment for the app in a file or in the folder of a package.

    It is made in `folder` where the app requires anything, and what it needs of ours
    beside that; `report` is called if that takes a
    while. Raises EnvironmentFailed.
    """
    metadata = script_metadata(source / "__main__.py" if source.is_dir() else source)
    _check_python(metadata.requires_python)
    listed = source / "requirements.txt"
    if metadata.dependencies:
        requirements = "\n".join(metadata.dependencies)
        return _made(folder, requirements, None, files_named(requirements, Path.cwd()), report)
    if source.is_dir() and listed.exists():
        return _made(folder, listed.read_text(), listed, files_of(listed), report)
    return OWN


def script_metadata(file: Path) -> Metadata:
    """What a file says of itself; raises EnvironmentFailed where it does not keep to PEP 723."""
    blocks = [block for block in _BLOCK.finditer(_text(file)) if block["type"] == "script"]
    if not blocks:
        return Metadata()
    if len(blocks) > 1:
        raise EnvironmentFailed(f"{file} has more than one block '# /// script'")
    lines = blocks[0]["content"].splitlines()
    content = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
    try:
        return msgspec.convert(tomllib.loads(content), Metadata)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise EnvironmentFailed(f"in {file}, between '# /// script' and '# ///': {error}") from None


def _text(file: Path) -> str:
    # What cannot be decoded is told by Python itself, when it runs the file.
    return file.read_text(encoding="utf-8", errors="replace")


def _check_python(required: str) -> None:
    version = platform.python_version()
    try:
        is_met = SpecifierSet(required).contains(version, prereleases=True)
    except InvalidSpecifier as error:
        raise EnvironmentFailed(f"requires-python: {error}") from None
    if not is_met:
        raise EnvironmentFailed(
            f"it requires Python {required}, and programs are built with {version}: "
            "make clean build PYTHON=/path/to/python3"
        )


def _made(
    folder: Path,
    requirements: str,
    file: Path | None,
    files: Iterable[Path],
    report: Callable[[], None],
) -> Environment:
    """The environment with what is required, by a text that may be in a file.

    `files` are all files that have a say in it.
    """
    library = folder.with_name("library")
    library = folder.with_name("library")
    build = [sys.version, sys.prefix, str(library), *_constraints()]
    build += [f"{path} {digest}" for path, digest in sources.digests(files).items()]
    made_from = hashlib.sha256("\n".join([*build, requirements]).encode()).hexdigest()
    made = Environment(folder / "bin" / "python", folder, made_from)
    mark = folder / "made-from"  # written last: where it is, all is there
    if not mark.exists() or mark.read_text() != made_from:
        report()
        _make(made, library, requirements, file)
        mark.write_text(made_from)
    return made


def _make(made: Environment, library: Path, requirements: str, file: Path | None) -> None:
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(made.prefix))
    constraints, listed = made.prefix / "constraints.txt", made.prefix / "requirements.txt"
    constraints.write_text("\n".join(_constraints()))
    listed.write_text(requirements)
    _run(
        *_installing(made.python),
        # In the place that it was found in: it may name other files.
        *("--constraint", str(constraints), "--requirement", str(file or listed)),
    )
    # Behind the app's own packages, so of those that are in both its own count.
    paths = f"{sysconfig.get_path('purelib')}\n{_own_packages(library)}\n"
    (_packages(made.prefix) / "build.pth").write_text(paths)


def _own_packages(library: Path) -> Path:
    """A folder with what programs need of this checkout, whose other folders are nobody's."""
    library.mkdir(parents=True, exist_ok=True)
    for name in OWN_PACKAGES:
        with suppress(FileExistsError):  # another build has made it
            (library / name).symlink_to(PACKAGES / name)
    return library


def _installing(python: Path) -> list[str]:
    """What installs for a Python: uv where there is one, which is faster, or pip."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    return [*pip, "--no-input", "--disable-pip-version-check"]


def _packages(prefix: Path) -> Path:
    scheme = {"base": str(prefix), "platbase": str(prefix)}
    return Path(sysconfig.get_path("purelib", "venv", scheme))


def _constraints() -> list[str]:
    """What nativecgi itself needs of packages that an app may require, too."""
    needs = map(Requirement, requires("nativecgi") or [])
    return [str(need) for need in needs if need.marker is None]


def _run(*command: str) -> None:
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        program = Path(command[0]).name if command[1] != "-m" else command[2]
        raise EnvironmentFailed(f"{program} could not install what it requires:\n{result.stdout}")
