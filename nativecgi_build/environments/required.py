"""Where an app's requirements come from: the first of the places below that has any.

1. `requirements` in [tool.nativecgi]: a list, or a file's path.
2. The app's own file, between `# /// script` and `# ///` (PEP 723).
3. `requirements.txt` in the package's folder, beside the app, or in the project's folder.
4. The project's `[project] dependencies`; with a uv.lock or a pylock.toml, in its versions.
"""

import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from nativecgi_build.environments.distributions import DISTRIBUTION
from nativecgi_build.environments.installing import uv
from nativecgi_build.environments.metadata import EnvironmentFailed, Metadata
from nativecgi_build.environments.pylock import requirements_of
from nativecgi_build.environments.requirements_files import NESTED, files_named, files_of
from nativecgi_build.settings import FILE, Settings, SettingsError, settings_of

LISTED = "requirements.txt"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# Folders of packages that a project has beside the one that it is.
_ASIDE = {"build", "dist", "doc", "docs", "examples", "test", "tests"}


class Project(msgspec.Struct, frozen=True, rename="kebab"):
    """The table [project] of a pyproject.toml, and the folder that it is in."""

    name: str = ""
    dependencies: list[str] | None = None
    dynamic: list[str] = []
    requires_python: str = ""
    folder: Path = Path()


class Required(msgspec.Struct, frozen=True):
    """What to install for an app."""

    source: str  # where it is from, in words
    text: str = ""  # in the format of requirements files
    folder: Path = Path()  # that the names of further files in it begin at
    # Where an installer runs, which is where paths of packages begin: of a file of requirements
    # the working folder, as pip has it.
    runs_in: Path | None = None
    files: tuple[Path, ...] = ()  # all that have a say in it
    is_locked: bool = False  # it has a version of everything, so nothing else may choose
    linked: tuple[Path, ...] = ()  # the project's own packages and modules, to be used in place


def required_by(source: Path, root: Path, metadata: Metadata) -> Required | None:
    """What is to be installed for an app; None if nothing says so.

    `source` is its file or its package's folder, `root` the folder that it imports its modules
    from. Raises EnvironmentFailed.
    """
    try:
        settings = settings_of(root)
    except SettingsError as error:
        raise EnvironmentFailed(str(error)) from None
    project = project_of(root)
    if settings.requirements:
        return _configured(settings)
    if metadata.dependencies == []:
        return None
    if metadata.dependencies:
        text = "\n".join(_without_own(metadata.dependencies))
        files = tuple(files_named(text, Path.cwd()))
        return Required(f"what {source.name} requires", text, Path.cwd(), files=files)
    folders = [source if source.is_dir() else source.parent, root]
    if project:
        folders.append(project.folder)
    if is_own(source):
        folders = [source] if source.is_dir() else []
    for folder in folders:
        if (listed := folder / LISTED).is_file():
            return _listed(listed, listed.name)
    return _of_project(project, root) if project else None


def is_own(path: Path) -> bool:
    """Whether a path lies in this project's checkout, whose requirements are the build's."""
    project = project_of(path.parent)
    return project is not None and project.name == DISTRIBUTION


def project_of(folder: Path) -> Project | None:
    """The project that a folder belongs to, by the nearest pyproject.toml with a [project].

    Raises EnvironmentFailed.
    """
    for parent in (folder, *folder.parents):
        try:
            content = tomllib.loads((parent / FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise EnvironmentFailed(f"{parent / FILE}: {error}") from None
        if "project" not in content:
            continue
        try:
            project = msgspec.convert(content["project"], Project)
        except msgspec.ValidationError as error:
            raise EnvironmentFailed(f"{parent / FILE}, [project]: {error}") from None
        return msgspec.structs.replace(project, folder=parent)
    return None


def _configured(settings: Settings) -> Required:
    where = f"requirements in {FILE}, [tool.nativecgi]"
    if isinstance(settings.requirements, str):
        listed = settings.folder / settings.requirements
        if not listed.is_file():
            raise EnvironmentFailed(f"there is no {listed}, which {where}, names")
        return _listed(listed, settings.requirements)
    text = "\n".join(_without_own(settings.requirements))
    files = tuple(files_named(text, settings.folder))
    return Required(where, text, settings.folder, settings.folder, files)


def _listed(file: Path, source: str) -> Required:
    text = file.read_text(encoding="utf-8", errors="replace")
    return Required(source, text, file.parent, files=tuple(files_of(file)))


def _of_project(project: Project, root: Path) -> Required | None:
    if project.name == DISTRIBUTION:
        return None
    linked = tuple(it for it in _own_packages(project.folder) if it.parent != root)
    for name, read in (("uv.lock", _uv_lock), ("pylock.toml", _pylock)):
        if (lock := project.folder / name).is_file():
            both = (lock, project.folder / FILE)
            root = project.folder
            return Required(name, read(lock), root, root, both, is_locked=True, linked=linked)
    if project.dependencies is None or "dependencies" in project.dynamic:
        return None
    text = "\n".join(_without_own(project.dependencies))
    files = (project.folder / FILE, *files_named(text, project.folder))
    source, folder = f"dependencies in {FILE}", project.folder
    return Required(source, text, folder, folder, files, linked=linked)


def _own_packages(folder: Path) -> Iterator[Path]:
    """The packages, and below src/ the modules as well, that a project consists of."""
    source = folder / "src"
    if source.is_dir():
        yield from sorted(it for it in source.iterdir() if _is_importable(it))
        return
    for init in sorted(folder.glob("*/__init__.py")):
        if init.parent.name not in _ASIDE:
            yield init.parent


def _is_importable(path: Path) -> bool:
    if path.suffix == ".py":
        return path.is_file()
    return path.is_dir() and path.name.isidentifier() and path.name != "__pycache__"


def _uv_lock(lock: Path) -> str:
    """What a uv.lock has, as requirements; the project itself is used in place."""
    if not (command := uv()):
        raise EnvironmentFailed(
            f"{lock} can be read by uv alone, and there is none: pip install uv"
        )
    export = [command, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
    export += [
        "--no-header",
        "--no-annotate",
        "--prune",
        DISTRIBUTION,
        "--project",
        str(lock.parent),
    ]
    result = subprocess.run(
        export, cwd=lock.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if result.returncode:
        raise EnvironmentFailed(f"uv could not read {lock}:\n{result.stderr.strip()}")
    return result.stdout


def _pylock(lock: Path) -> str:
    try:
        content: dict[str, Any] = tomllib.loads(lock.read_text(encoding="utf-8"))
        return "\n".join(requirements_of(content, lock.parent, without=[DISTRIBUTION]))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise EnvironmentFailed(f"{lock} cannot be read: {error}") from None


def without_own(text: str, folder: Path) -> str:
    """Requirements less nativecgi itself, which is there, in a form that can be read elsewhere.

    Files that it names by paths from `folder` are named by absolute ones. Raises EnvironmentFailed
    where it requires another nativecgi than this.
    """
    lines = []
    for line in text.splitlines():
        if nested := NESTED.fullmatch(line.strip()):
            name = nested["name"]
            option = line.strip()[: nested.start("name")].rstrip(" \t=")
            bare = re.sub(r"\s+#.*$", "", name).strip("'\"")
            lines.append(line if "://" in bare else f"{option} {folder / bare}")
            continue
        lines += _without_own([line])
    return "\n".join(lines)


def _without_own(requirements: Iterable[str]) -> Iterator[str]:
    for text in requirements:
        name = _NAME.match(text)
        if not name or canonicalize_name(name[0]) != DISTRIBUTION:
            yield text
            continue
        try:
            wanted = Requirement(re.sub(r"(\s+--hash=\S+|\s*\\|\s+#.*)*$", "", text))
        except InvalidRequirement as error:
            raise EnvironmentFailed(f"{text!r} is no requirement: {error}") from None
        if not wanted.specifier.contains(version(DISTRIBUTION), prereleases=True):
            raise EnvironmentFailed(
                f"it requires {wanted}, and this is "
                f"nativecgi {version(DISTRIBUTION)}: install the other"
            )
