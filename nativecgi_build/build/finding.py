"""Which apps to build: those that the command line names, or else those of the project."""

import ast
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from nativecgi_build.build.app import App
from nativecgi_build.build.errors import BuildError
from nativecgi_build.scripts import cgiscript
from nativecgi_build.scripts.reference import BadReference, Interface, Reference, parsed
from nativecgi_build.settings import Settings

CUSTOMARY = "apps"  # the folder of a project's apps where its settings do not say


def find_apps(
    names: Sequence[str],
    settings: Settings,
    scripts: Sequence[str] = (),
    tries: Sequence[str] = (),
    references: Sequence[Reference] = (),
) -> list[App]:
    """The apps and scripts that the command line names, or all apps of the project.

    The scripts may be asked for the paths `tries` at the build.

    Raises BuildError where there is none, and where two would become programs of one name.
    """
    is_named = bool(names or scripts or references)
    known = list(_all_apps(settings)) if names or not is_named else []
    found = [
        *(_find_app(name, known) for name in names),
        *(_find_script(name, tries, settings) for name in scripts),
        *(_application(it, tries, settings) for it in references),
    ]
    found = found if is_named else known or _by_custom(settings.folder)
    by_name: dict[str, App] = {}
    for app in found:
        other = by_name.setdefault(app.name, app)
        if other != app:
            raise BuildError(
                f"{other.source} and {app.source} would both become {app.name!r}\n"
                "rename one of them, or build each into a folder of its own: --output DIR"
            )
    return list(by_name.values())


def _all_apps(settings: Settings) -> Iterator[App]:
    """All that the settings name."""
    for path in _matching(settings.apps, settings):
        if path.name != "__init__.py" and (app := _app_at(path)):
            yield app
    for path in _matching(settings.scripts, settings):
        if path.is_file():
            yield _find_script(str(path), (), settings)
    both: tuple[tuple[Interface, str | dict[str, str]], ...]
    both = (("wsgi", settings.wsgi), ("asgi", settings.asgi))
    for interface, named in both:
        for name, text in ({"": named} if isinstance(named, str) else named).items():
            try:
                reference = parsed(interface, text, settings.folder, name)
            except BadReference as error:
                raise BuildError(str(error)) from None
            yield _application(reference, (), settings)


def _matching(patterns: Sequence[str], settings: Settings) -> Iterator[Path]:
    """The paths that match one pattern after another; each has to have some."""
    for pattern in patterns:
        paths = sorted(settings.folder.glob(pattern))
        if not paths:
            raise BuildError(
                f"there is no {settings.folder / pattern}\n"
                "make it, or change the table [tool.nativecgi] of pyproject.toml"
            )
        yield from paths


def _by_custom(folder: Path) -> list[App]:
    """The apps of a project that says nothing: those in apps/, or the only one that there is."""
    apps = [app for it in _children(folder / CUSTOMARY) if (app := _app_at(it))]
    if apps:
        return apps
    found = [app for it in _children(folder) if (app := _app_at(it)) and _answers(it)]
    if len(found) > 1:
        names = ", ".join(it.source.name for it in found)
        raise BuildError(
            f"there are several apps in {folder}: {names}\n"
            "name those to build, or list them as apps in [tool.nativecgi] of a pyproject.toml"
        )
    if not found:
        raise BuildError(
            f"there is no app in {folder}\n"
            "begin one with nativecgi new NAME, or name a file: nativecgi build FILE (for "
            "applications and scripts that exist: --wsgi, --asgi, --script)"
        )
    return found


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(it for it in folder.iterdir() if not it.name.startswith((".", "__")))


def _answers(path: Path) -> bool:
    """Whether a file calls run() or run_websocket(); a folder with a __main__.py is one to run."""
    if path.is_dir():
        return True
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    nodes = list(ast.walk(tree))
    froms = [it for it in nodes if isinstance(it, ast.ImportFrom) and it.level == 0]
    ours = [it for it in froms if (it.module or "").partition(".")[0] == "nativecgi"]
    names = {
        alias.asname or alias.name
        for node in ours
        for alias in node.names
        if alias.name in ("run", "run_websocket")
    }
    called = {ast.unparse(it.func) for it in nodes if isinstance(it, ast.Call)}
    return bool(called & (names | {"nativecgi.run", "nativecgi.websocket.run_websocket"}))


def _find_app(name: str, known: Sequence[App]) -> App:
    if app := _app_at(Path(name)) or next((it for it in known if it.name == name), None):
        return app
    raise BuildError(f"there is no app {name!r}\nname a .py file, or a folder with a __main__.py")


def _app_at(path: Path) -> App | None:
    path = path.resolve()
    if path.name == "__main__.py" and path.is_file():
        return App(path.parent.name, path.parent)
    if path.suffix == ".py" and path.is_file():
        return App(path.stem, path)
    return App(path.name, path) if (path / "__main__.py").is_file() else None


def _find_script(name: str, tries: Sequence[str], settings: Settings) -> App:
    path = Path(name).resolve()
    if not path.is_file():
        raise BuildError(
            f"there is no script {name!r}\nname its file, as in --script cgi-bin/x.cgi"
        )
    data = _data(settings, path.parent)
    tried = tuple(tries or settings.warmup)
    return App(cgiscript.name_of(path), path, is_script=True, tries=tried, data=data)


def _application(reference: Reference, tries: Sequence[str], settings: Settings) -> App:
    return App(
        reference.program,
        reference.source,
        tries=tuple(tries or settings.warmup),
        reference=reference,
        limits=tuple(sorted(settings.limits.items())),
        data=_data(settings, reference.root),
    )


def _data(settings: Settings, folder: Path) -> tuple[str, ...]:
    """The data that the settings list, as paths from the folder of an app."""
    return tuple(os.path.relpath(settings.folder / it, folder) for it in settings.data)
