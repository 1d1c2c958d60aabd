"""Which installed distributions belong to the build, and which to the apps.

A distribution is what pip installs under one name, with one or several packages.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import Distribution, PathDistribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

DISTRIBUTION = "nativecgi"
# What a build runs in the environment of an app: Nuitka, and what nativecgi imports. The rest of
# its dependencies runs beside it.
BUILDING = ("nuitka", "msgspec", "multipart")
# What an environment has for installing.
INSTALLERS = ("pip", "setuptools", "uv", "wheel")

Distributions = Mapping[NormalizedName, Distribution]


def installed_in(folder: Path) -> Distributions:
    """The distributions that are installed in a folder, by their normalized names."""
    found = distributions(path=[str(folder)])
    return {canonicalize_name(it.name): it for it in found if it.name}


def closure(names: Iterable[str], known: Distributions) -> set[NormalizedName]:
    """The distributions with these names and, in turn, all that they require, as far as known."""
    found: set[NormalizedName] = set()
    pending = [Requirement(name) for name in names]
    seen: set[tuple[NormalizedName, frozenset[str]]] = set()
    while pending:
        wanted = pending.pop()
        name = canonicalize_name(wanted.name)
        if (key := (name, frozenset(wanted.extras))) in seen or name not in known:
            continue
        seen.add(key)
        found.add(name)
        pending += required(known[name], wanted.extras)
    return found


def required(distribution: Distribution, extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """What a distribution requires on this machine, with some of its extras."""
    for text in distribution.requires or ():
        need = Requirement(text)
        chosen = ["", *extras]
        if need.marker is None or any(need.marker.evaluate({"extra": it}) for it in chosen):
            yield need


@cache
def of_apps(folder: Path) -> Distributions:
    """Of what is installed in a folder, all but the build: what somebody installed for their apps.

    What both need, such as click, is there.
    """
    known = installed_in(folder)
    build = closure([DISTRIBUTION], known) | {canonicalize_name(it) for it in INSTALLERS}
    wanted = closure(known.keys() - build, known) - {canonicalize_name(DISTRIBUTION)}
    return {name: known[name] for name in sorted(wanted)}


def top_level(distribution: Distribution) -> set[str]:
    """The names of the files and folders of modules that a distribution has installed."""
    first = (file.parts[0] for file in distribution.files or ())
    # A script is at ../../bin.
    names = {it for it in first if it not in ("..", "__pycache__")}
    return {it for it in names if not it.endswith((".dist-info", ".egg-info", ".pth"))}


def metadata_files(distribution: Distribution) -> Iterator[Path]:
    """The files in which an installer has written a distribution down."""
    for file in distribution.files or ():
        if len(file.parts) == 2 and file.parts[0].endswith(".dist-info"):
            yield Path(str(distribution.locate_file(file)))


def links(names: Iterable[str]) -> dict[str, Path]:
    """Where the modules of distributions lie, and of all that these require, by their names."""
    known = {canonicalize_name(it.name): it for it in distributions() if it.name}
    found = {}
    for name in sorted(closure(names, known)):
        distribution = known[name]
        assert isinstance(distribution, PathDistribution)
        for entry in top_level(distribution):
            found[entry] = Path(str(distribution.locate_file(entry)))
    return found
