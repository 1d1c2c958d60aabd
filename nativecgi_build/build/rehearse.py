"""The first stage: an app runs to its freeze point as plain Python, and tells what it did."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import msgspec

from nativecgi.adapters.application import LOAD
from nativecgi.frozen.rehearsal import get_environment
from nativecgi_build import sources
from nativecgi_build.build.app import App, copy_script, tries_of
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.freeze import freeze
from nativecgi_build.build.learn import answer, learned
from nativecgi_build.build.records import Rehearsed
from nativecgi_build.environments.environment import Environment
from nativecgi_build.freezer import SECONDS
from nativecgi_build.nuitka_plugins.installed import installed
from nativecgi_build.scripts import cgiscript, project

RECORDER = Path(__file__).with_name("opened.py")
VARIABLES = Path(__file__).with_name("variables.py")
# What an app is rehearsed behind. When it stops at its freeze point, it tells what it has imported
# from files, each by its own name; what it has opened (opened.py); and what the request of its
# warm-up has that no other has, which includes the environment that its hooks have set for it. The
# hook that is registered first runs last.
TELLING = """
import runpy
opened = runpy.run_path({recorder!r})["opened"]
variables_read = runpy.run_path({variables!r})["watch"]({folder!r})
import atexit, json, os, signal, sys
from base64 import b64encode
from pathlib import Path
from nativecgi import before_freeze
from nativecgi.frozen import rehearsal

stop, before, trial = signal.raise_signal, dict(os.environ), {{}}
early, path, added = set(), {{*sys.path, {folder!r}}}, []

@before_freeze
def compare():
    trial.update(os.environ.items() - before.items())
    early.update(sys.modules)
    added.extend(sys.path)

@atexit.register
def tell_at_the_end():
    added.extend(sys.path)
    tell()

def tell():
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    modules = [spec.name for spec in specs if getattr(spec, "has_location", False)]
    # What is no text, such as a path that is no UTF-8, JSON does not hold.
    def text(variables):
        return {{name: value for name, value in variables.items() if value.isprintable()}}

    others = [
        {{"environment": text(it.environment), "input": b64encode(it.body).decode()}}
        for it in rehearsal.others
    ]
    files = {{spec.name: spec.origin for spec in specs if getattr(spec, "has_location", False)}}
    seen = {{
        "imported": files,
        "late": [name for name in sys.modules if name not in early],
        "folders": [folder for folder in dict.fromkeys(added) if folder not in path],
        "variables": variables_read(),
    }}
    told = {{
        "modules": modules,
        "trial": text(trial | rehearsal.trial),
        "others": others,
        "opened": opened(),
        "seen": seen,
    }}
    Path({file!r}).write_text(json.dumps(told))

def tell_and_stop(number):
    tell()
    stop(number)

signal.raise_signal = tell_and_stop
sys.path.insert(0, {folder!r})
"""
# How a script is run behind that: as itself, though it is its copy.
RUN_SCRIPT = """
import types
main = types.ModuleType("__main__")
main.__file__ = sys.argv[0] = {script!r}
sys.modules["__main__"] = main
exec(compile(Path({copy!r}).read_bytes(), {script!r}, "exec"), vars(main))
"""


def rehearse(app: App, work: Path, packages: Environment, seconds: float = SECONDS) -> Rehearsed:
    """Freeze the app as plain Python; what it tells, of modules those of packages it requires.

    Nuitka sees what is imported by an import statement, and not what is by a string, such as what
    Django's settings name.
    """
    told, seen = work / "rehearsed.json", project.Seen()
    if app.reference:
        copy_script(app, work)
        seen = _try(app, work, packages)
        copy_script(app, work, seen)
    elif app.is_script and tries_of(app) and not cgiscript.freezable(app.source).is_wsgi:
        seen = _try(app, work, packages)
        copy_script(app, work, seen)
    told.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        command = _plain_command(app, work, packages, told)
        # As when it is frozen, a relative path leads into a folder that is gone afterwards.
        empty = Path(folder, "empty")
        empty.mkdir()
        image = Path(folder, app.name)
        freeze(command, image, hint=app.hint, folder=empty, seconds=seconds)
        rehearsed = msgspec.json.decode(told.read_bytes(), type=Rehearsed)
        read = sources.read_by(rehearsed.opened, empty)
        answered = Rehearsed()
        if not app.is_foreign:  # of a script the build runs nothing unless it is told to (--try)
            answered = answer(image, app.trial | rehearsed.trial, told, empty)
    if app.is_foreign:
        seen.imported |= rehearsed.seen.imported
        seen.folders += rehearsed.seen.folders
    required = packages.top_level() | installed(seen.folders)
    imported = {*rehearsed.modules, *answered.modules, *seen.imported}
    if app.is_foreign and packages.made_from:
        own = [app.folder, *map(Path, seen.folders), packages.packages()]
        files = (Path(file) for file in seen.imported.values())
        files = (file for file in files if any(map(file.is_relative_to, own)))
        imported |= project.named([app.source, *files], packages.packages())
    modules = [name for name in imported if name.split(".")[0] in required]
    return Rehearsed(
        sorted(modules),
        rehearsed.trial,
        rehearsed.others,
        read=read,
        seen=seen,
        learned=learned(rehearsed, answered),
    )


def _try(app: App, work: Path, packages: Environment) -> project.Seen:
    """Ask for pages as plain Python, in its folder; returns what was imported.

    An application is at least loaded. Raises BuildError where it fails, or answers that it has.
    """
    told, seen, late = work / "tried.json", project.Seen(), list[str]()
    requests = [get_environment(path) for path in tries_of(app)]
    if app.reference and not requests:
        requests = [get_environment("/") | {"NATIVECGI_TRIAL": LOAD}]
    for request in requests:
        told.unlink(missing_ok=True)
        result = subprocess.run(
            _plain_command(app, work, packages, told),
            env={**os.environ, **request},
            cwd=app.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        status = re.match(rb"Status: *(\d+)", result.stdout)
        if result.returncode or not told.exists() or (status and int(status[1]) >= 500):
            log = result.stderr.decode(errors="replace")
            path = request["PATH_INFO"]
            done = "loaded" if request.get("NATIVECGI_TRIAL") else f"tried with {path!r}"
            raise BuildError(f"it was {done}, and failed:\n{log}")
        further = msgspec.json.decode(told.read_bytes(), type=Rehearsed).seen
        seen.imported |= further.imported
        late += further.late
        seen.folders += [name for name in further.folders if name not in seen.folders]
        seen.variables |= further.variables
    if app.reference:
        seen.late = [name for name in late if _is_foreign(seen.imported.get(name), app)]
        return seen
    # Those that it names itself first: they import the others in the order that is meant.
    named = [name for name in cgiscript.freezable(app.source).late if name in late]
    seen.late = list(dict.fromkeys([*named, *late]))
    return seen


def _is_foreign(file: str | None, app: App) -> bool:
    """Whether a module of an application is nothing of its own."""
    return file is None or not project.is_in(Path(file), [app.folder])


def _plain_command(app: App, work: Path, packages: Environment, told: Path) -> list[str]:
    if app.source.is_dir():
        run = f"runpy.run_module({app.name!r}, run_name='__main__', alter_sys=True)"
    elif app.is_foreign:
        run = RUN_SCRIPT.format(script=str(app.source), copy=str(app.main(work)))
    else:
        run = f"runpy.run_path({str(app.main(work))!r}, run_name='__main__')"
    told_by = {"recorder": str(RECORDER), "variables": str(VARIABLES)}
    told_by |= {"folder": str(app.folder), "file": str(told)}
    code = TELLING.format(**told_by) + run
    # -P: what is in the current folder is not the app's.
    return [str(packages.python), "-P", "-c", code]
