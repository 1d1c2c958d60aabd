"""Learns what a request imports: an app that was rehearsed answers one.

Its image is a program of plain Python at its freeze point, so a request finds there what it will
find in the program that is built. And whatever an answer does to its process, it does neither to
the one that the freezer watches nor to the one that is frozen.
"""

import subprocess
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nativecgi.frozen.learned import LIST
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.records import Rehearsed, read_record
from nativecgi_build.build.trial import TRIAL_SECONDS
from nativecgi_build.scripts import project


def answer(image: Path, trial: Mapping[str, str], told: Path, folder: Path) -> Rehearsed:
    """What a rehearsed app tells in `told` when it has answered: nothing where it does not.

    It runs in `folder` with nothing but `trial` in its environment, as the finished program will.
    """
    told.unlink(missing_ok=True)
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [image],
            env=trial,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=TRIAL_SECONDS,
        )
    return read_record(told, Rehearsed) or Rehearsed()


def learned(before: Rehearsed, answered: Rehearsed) -> list[str]:
    """The modules that were imported for an answer, in order.

    None of the app's own: these may read at import what each process has of its own, such as its
    environment, and be imported late for that.
    """
    files = answered.seen.imported
    new = (name for name in answered.seen.late if name not in before.seen.late)
    return [name for name in new if name in files and _is_installed(Path(files[name]))]


def _is_installed(file: Path) -> bool:
    is_standard = file.is_relative_to(sysconfig.get_path("stdlib"))
    return is_standard or not {*project.INSTALLED}.isdisjoint(file.parts)


def freeze_with(modules: Sequence[str], folder: Path, freeze: Callable[[], list[str]]) -> list[str]:
    """Freeze the program in `folder` with modules imported, or without if it cannot be so.

    Returns what to tell whoever builds it. Raises BuildError where it cannot be frozen at all.
    """
    if not modules:
        return freeze()
    file = folder / LIST
    file.write_text("\n".join(modules))
    try:
        notes = freeze()
    except BuildError as error:
        file.unlink()
        notes = freeze()
        return [*notes, f"each request may import {project.listed(modules)}: with that, {error}"]
    imported = project.listed(modules)
    return [*notes, f"imported before the freeze, because a request imports it: {imported}"]
