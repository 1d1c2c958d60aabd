"""What is installed where the build runs: what the build itself needs, and what else there is."""

import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What runs in an app's environment: Nuitka, and what nativecgi imports in a program.
IN_APPS = ("nuitka", "msgspec", "multipart")
# What any environment may have to install things with.
_INSTALLERS = ("pip", "setuptools", "uv", "wheel")


def closure(names: Iterable[str]) -> dict[str, Distribution]:
    """The distributions of these names and all that they need, as far as they are installed."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        needs = map(Requirement, found[name].requires or [])
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate()]
    return found


@cache
def tools() -> frozenset[str]:
    """The names of the distributions that are here because nativecgi is."""
    return frozenset(closure(("nativecgi", *_INSTALLERS)))


@cache
def others() -> tuple[Distribution, ...]:
    """What was installed beside nativecgi, as in the virtual environment of a project."""
    folder = sysconfig.get_path("purelib")
    found = {canonicalize_name(it.name): it for it in distributions(path=[folder])}
    return tuple(found[name] for name in sorted(found.keys() - tools()))


def top_level(installed: Distribution) -> Iterator[str]:
    """The names of the files and folders of a distribution in site-packages, but its metadata."""
    for name in dict.fromkeys(PurePath(file).parts[0] for file in installed.files or ()):
        if name not in ("..", "__pycache__") and not name.endswith(".dist-info"):
            yield name


def folder_of(installed: Distribution) -> Path:
    """The folder that a distribution is installed in."""
    return Path(str(installed.locate_file("")))
