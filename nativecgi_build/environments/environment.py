"""The Python environment that an app is built in.

It is one of three:

- An environment of the app's own, with what it requires (required.py): made once, and again when
  that changes. Apps do not see each other's packages. Behind them it has what the build needs.
- Where nothing says what the app requires, the environment that nativecgi itself is installed in,
  with what somebody has installed there besides.
- The same where there is nothing else in it, such as this project's .venv.
"""

import hashlib
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import requires, version
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from nativecgi_build import sources
from nativecgi_build.environments.distributions import (
    BUILDING,
    DISTRIBUTION,
    Distributions,
    installed_in,
    links,
    metadata_files,
    of_apps,
    top_level,
)
from nativecgi_build.environments.installing import installer, packages_of, run
from nativecgi_build.environments.metadata import EnvironmentFailed, script_metadata
from nativecgi_build.environments.required import (
    Required,
    is_own,
    project_of,
    required_by,
    without_own,
)
from nativecgi_build.nuitka_plugins.installed import installed

PACKAGES = Path(__file__).resolve().parents[2]
OWN_PACKAGES = ("nativecgi", "nativecgi_build")

# Of what an installer writes down of a distribution (PyPA's "Recording installed projects"), less
# the files that tell where it came from and where it lies.
_METADATA = {"METADATA", "entry_points.txt", "top_level.txt"}


class Environment(msgspec.Struct, frozen=True):
    """A Python to build an app with."""

    python: Path
    prefix: Path
    made_from: str = ""  # the hash of what is there for the app; empty where that is nothing
    is_shared: bool = False  # it has the build's own packages among the app's
    source: str = ""  # where the app's packages are listed, for whoever builds it

    def metadata(self) -> list[tuple[Path, Path]]:
        """The files that importlib.metadata reads of what was installed for the app.

        Each with its place beside the program, where importlib.metadata finds it as in plain
        Python. Nuitka's own option takes a distribution only if the program has a module of it;
        but packages ask for the versions and entry points of others that nobody imports.
        """
        folder = self.packages()
        found = (it for one in self._distributions().values() for it in metadata_files(one))
        return [(it, it.relative_to(folder)) for it in sorted(found) if it.name in _METADATA]

    def packages(self) -> Path:
        """The folder that the app's packages are in."""
        return packages_of(self.prefix)

    def top_level(self) -> set[str]:
        """The names of the modules and packages that were installed for the app."""
        if self.made_from and not self.is_shared:
            return installed([str(self.packages())])
        names = {name for one in self._distributions().values() for name in top_level(one)}
        return {name.partition(".")[0] for name in names}

    def _distributions(self) -> Distributions:
        if not self.made_from:
            return {}
        return of_apps(self.packages()) if self.is_shared else installed_in(self.packages())


# With nothing for apps but nativecgi.
OWN = Environment(Path(sys.executable), Path(sys.prefix))


def running() -> Environment:
    """The environment that nativecgi is installed in, if that is one, and not the system."""
    prefix = Path(sys.prefix)
    found = of_apps(packages_of(prefix)) if sys.prefix != sys.base_prefix else {}
    if not found:
        return OWN
    described = [f"{it.name} {it.version}" for it in found.values()]
    made_from = hashlib.sha256("\n".join([sys.version, str(prefix), *described]).encode())
    return Environment(
        Path(sys.executable), prefix, made_from.hexdigest(), True, f"what {prefix} has"
    )


def environment(
    source: Path,
    folder: Path,
    report: Callable[[], None] = lambda: None,
    *,
    root: Path | None = None,
) -> Environment:
    """The environment for the app in a file or in the folder of a package.

    Where the app requires anything, it is made in `folder`, with what it needs of the build beside
    that; `report` is called before that, as it takes a while. `root` is the folder that the app
    imports its modules from, by default the one that it is in. Raises EnvironmentFailed.
    """
    root = root or source.parent
    metadata = script_metadata(source / "__main__.py" if source.is_dir() else source)
    _check_python(metadata.requires_python, "it")
    if not is_own(source) and (project := project_of(root)):
        _check_python(project.requires_python, f"the project in {project.folder}")
    required = required_by(source, root, metadata)
    return _made(folder, required, report) if required else running()


def _check_python(required: str, who: str) -> None:
    found = platform.python_version()
    try:
        is_met = SpecifierSet(required).contains(found, prereleases=True)
    except InvalidSpecifier as error:
        raise EnvironmentFailed(f"requires-python: {error}") from None
    if not is_met:
        raise EnvironmentFailed(
            f"{who} requires Python {required}, and programs are built with {found}: install "
            "nativecgi with another, such as by uv tool install --python 3.13 nativecgi (in a "
            "checkout: make clean build PYTHON=/path/to/python3)"
        )


def _made(folder: Path, required: Required, report: Callable[[], None]) -> Environment:
    """The environment with what is required."""
    library = folder.with_name("library")
    build = [sys.version, sys.prefix, str(library), *_constraints(), *map(str, required.linked)]
    build += [f"{name} {path}" for name, path in _library().items()]
    build += [f"{path} {digest}" for path, digest in sources.digests(required.files).items()]
    made_from = hashlib.sha256("\n".join([*build, required.text]).encode()).hexdigest()
    python = folder / "bin" / "python"
    made = Environment(python, folder, made_from, source=required.source)
    mark = folder / "made-from"  # written last: where it is, all is there
    if not mark.exists() or mark.read_text() != made_from:
        report()
        _make(made, library, required)
        mark.write_text(made_from)
    return made


def _make(made: Environment, library: Path, required: Required) -> None:
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(made.prefix))
    constraints, listed = made.prefix / "constraints.txt", made.prefix / "requirements.txt"
    constraints.write_text("\n".join(_constraints()))
    listed.write_text(without_own(required.text, required.folder))
    # An installer that reads hashes wants them of constraints, too.
    others = () if required.is_locked else ("--constraint", str(constraints))
    if listed.read_text().strip():
        command = [*installer(made.python), *others, "--requirement", str(listed)]
        run(*command, folder=required.runs_in)
    _check_needs(made, required)
    for path in required.linked:
        with suppress(FileExistsError):  # it is installed
            (made.packages() / path.name).symlink_to(path)
    # Behind the app's own packages, so of those that are in both its own count.
    (made.packages() / "build.pth").write_text(f"{_filled(library)}\n")


def _check_needs(made: Environment, required: Required) -> None:
    """Refuse what a lock has in a version that nativecgi cannot use."""
    found = installed_in(made.packages())
    for need in map(Requirement, _constraints()):
        there = next((it for name, it in found.items() if name == need.name.lower()), None)
        if there and not need.specifier.contains(there.version, prereleases=True):
            raise EnvironmentFailed(
                f"{required.source} has {there.name} {there.version}, and nativecgi "
                f"{version(DISTRIBUTION)} needs {need}: lock another version"
            )


def _library() -> dict[str, Path]:
    """What an app's environment has of the build: its modules' names, and where they lie."""
    return links(BUILDING) | {name: PACKAGES / name for name in OWN_PACKAGES}


def _filled(library: Path) -> Path:
    """The folder of links to what a build needs, and to nothing else of its environment."""
    library.mkdir(parents=True, exist_ok=True)
    wanted = _library()
    for link in library.iterdir():
        if link.is_symlink() and (link.name not in wanted or link.readlink() != wanted[link.name]):
            link.unlink(missing_ok=True)  # of another version
    for name, path in wanted.items():
        with suppress(FileExistsError):  # another build has made it
            (library / name).symlink_to(path)
    return library


def _constraints() -> list[str]:
    """What nativecgi itself needs of packages that an app may require, too."""
    needs = map(Requirement, requires(DISTRIBUTION) or [])
    return [str(need) for need in needs if need.marker is None]
