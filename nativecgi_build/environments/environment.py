"""The Python environment that an app is built in: the build's, or one of the app's own.

An environment of its own is made once for each app that requires anything: apps do not see each
other's packages. Below them it has Nuitka and what nativecgi needs, and nothing else of the one
that the build runs in. In that, as in a project's virtual environment, an app without requirements
finds what is installed.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, distributions, requires
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from nativecgi_build import sources
from nativecgi_build.environments.installed import IN_APPS, closure, folder_of, others, top_level
from nativecgi_build.environments.requirements import (
    EnvironmentFailed,
    Metadata,
    Requirements,
    Section,
    required,
    script_metadata,
)
from nativecgi_build.settings import Settings

__all__ = [
    "OWN",
    "Environment",
    "EnvironmentFailed",
    "Metadata",
    "Section",
    "environment",
    "script_metadata",
]

PACKAGES = Path(__file__).resolve().parents[2]
OWN_PACKAGES = ("nativecgi", "nativecgi_build")
# Of what an installer writes down of a distribution (PyPA's "Recording installed projects"), less
# the files that tell where it came from and where it lies.
_METADATA = {"METADATA", "entry_points.txt", "top_level.txt"}


class Environment(msgspec.Struct, frozen=True):
    """A Python to build an app with."""

    python: Path
    prefix: Path
    # The hash of what is installed for the app; empty where that is nothing but what builds it.
    made_from: str = ""
    is_shared: bool = False  # whether it is the one that the build runs in
    said_by: str = ""  # what says what the app requires, for a reader

    def metadata(self) -> list[tuple[Path, Path]]:
        """The files that importlib.metadata reads of what was installed for the app.

        Each with its place beside the program, where importlib.metadata finds it as in plain
        Python. Nuitka's own option takes a distribution only if the program has a module of it;
        but packages ask for the versions and entry points of others that nobody imports. None of
        what the build needs for itself.
        """
        return sorted(
            (Path(str(it.locate_file(file))), Path(file))
            for it in self._distributions()
            for file in it.files or ()
            if file.name in _METADATA and file.parent.suffix == ".dist-info"
        )

    def packages(self) -> Path:
        """The folder that these are in."""
        return _packages(self.prefix)

    def top_level(self) -> set[str]:
        """The names of the modules and packages that these have."""
        return {name.partition(".")[0] for it in self._distributions() for name in top_level(it)}

    def _distributions(self) -> Iterable[Distribution]:
        if not self.made_from:
            return ()
        return others() if self.is_shared else distributions(path=[str(self.packages())])


# Of the one that the build runs in just what builds.
OWN = Environment(Path(sys.executable), Path(sys.prefix), is_shared=True)


def environment(
    source: Path,
    folder: Path,
    report: Callable[[], None] = lambda: None,
    settings: Settings | None = None,
) -> Environment:
    """The environment for the app in a file or in the folder of a package, of a project.

    It is made in `folder` where the app requires anything, and what it needs of ours beside that;
    `report` is called if that takes a while. Raises EnvironmentFailed.
    """
    found = required(source, settings or Settings(folder=source.parent))
    _check_python(found.requires_python)
    if found.text.strip():
        return _made(folder, found, settings, report)
    versions = "\n".join(f"{it.name} {it.version}" for it in others())
    made_from = hashlib.sha256(versions.encode()).hexdigest() if versions else ""
    said_by = f"what is installed in {sys.prefix}" if versions else ""
    return msgspec.structs.replace(OWN, made_from=made_from, said_by=said_by)


def _check_python(required: str) -> None:
    version = platform.python_version()
    try:
        is_met = SpecifierSet(required).contains(version, prereleases=True)
    except InvalidSpecifier as error:
        raise EnvironmentFailed(f"requires-python: {error}") from None
    if not is_met:
        raise EnvironmentFailed(
            f"it requires Python {required}, and programs are built with {version}: "
            "make clean build PYTHON=/path/to/python3, or install nativecgi with that Python"
        )


def _made(
    folder: Path, found: Requirements, settings: Settings | None, report: Callable[[], None]
) -> Environment:
    """The environment with what is required."""
    library = folder.with_name("library") / "site-packages"
    own = _project_folders(settings)
    build = [sys.version, sys.prefix, str(library), *_constraints(), *map(str, own)]
    build += [f"{path} {digest}" for path, digest in sources.digests(found.files).items()]
    made_from = hashlib.sha256("\n".join([*build, found.text]).encode()).hexdigest()
    made = Environment(folder / "bin" / "python", folder, made_from, said_by=found.said_by)
    mark = folder / "made-from"  # written last: where it is, all is there
    if not mark.exists() or mark.read_text() != made_from:
        report()
        _make(made, library, own, found)
        mark.write_text(made_from)
    return made


def _make(made: Environment, library: Path, own: Iterable[Path], found: Requirements) -> None:
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(made.prefix))
    constraints, listed = made.prefix / "constraints.txt", made.prefix / "requirements.txt"
    constraints.write_text("\n".join(_constraints()))
    listed.write_text(found.text)
    _run(
        *_installing(made.python),
        # In the place that it was found in: it may name other files.
        *("--constraint", str(constraints), "--requirement", str(found.file or listed)),
    )
    _link_library(library)
    # Behind the app's own packages, so of those that are in both its own count.
    folders = [*own, library]
    (_packages(made.prefix) / "build.pth").write_text("".join(f"{it}\n" for it in folders))


def _link_library(library: Path) -> None:
    """Make a folder with what an app's environment needs of the one that the build runs in."""
    library.mkdir(parents=True, exist_ok=True)
    links = {name: PACKAGES / name for name in OWN_PACKAGES}
    for it in closure(IN_APPS).values():
        links |= {name: folder_of(it) / name for name in top_level(it)}
    for name, target in links.items():
        link = library / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def _project_folders(settings: Settings | None) -> list[Path]:
    """Where a project that has packages of its own keeps them."""
    if settings is None or not settings.is_package:
        return []
    return [it for it in (settings.folder / "src", settings.folder) if it.is_dir()][:1]


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
    return [str(it) for it in needs if canonicalize_name(it.name) in IN_APPS]


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
