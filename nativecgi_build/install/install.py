"""Chooses the programs to install and the way there: into a folder here, or over ssh."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nativecgi_build.build.placing import place_file, programs
from nativecgi_build.install.errors import InstallError
from nativecgi_build.install.remote import Remote, upload

MODE = 0o755  # as servers want their programs
# As scp and rsync have it: a colon before the first slash, and an IPv6 address in brackets.
_REMOTE = re.compile(r"(?P<host>[^/\[:]*(?:\[[^/\]]*\])?):(?P<path>.*)", re.DOTALL)
_HOST = re.compile(
    r"(?:\w[\w.+-]*@)?(?:[A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\])", re.ASCII
)


def install(
    names: Sequence[str], built: Path, destination: str, report: Callable[[str], None]
) -> list[str]:
    """Install programs, by default all of the folder `built`; returns what they are called.

    `names` are names of programs there, or paths. The destination is a folder, or HOST:FOLDER, and
    `report` takes lines for whoever waits. A program that is there is replaced at once, or not at
    all. Raises InstallError.
    """
    chosen = _chosen(names, built)
    remote = parsed(destination)
    if isinstance(remote, Remote):
        upload(chosen, remote, report)
    else:
        for program in chosen:
            try:
                place_file(program, remote / program.name, mode=MODE)
            except OSError as error:
                raise InstallError(
                    f"{program.name} was not installed: {error}\n"
                    f"install to a folder that you may write to, or as its owner: {remote}"
                ) from None
            report(f"{program.name}: installed in {remote}")
    return [program.name for program in chosen]


def parsed(destination: str) -> Remote | Path:
    """A folder here, or one on another machine, as scp tells them apart; raises InstallError."""
    if not (found := _REMOTE.fullmatch(destination)):
        if not destination:
            raise InstallError("there is no folder to install to\nname one: --to DIR")
        return Path(destination).expanduser()
    host, folder = found["host"], found["path"]
    # ssh would take a host such as -oProxyCommand=... for an option.
    if not _HOST.fullmatch(host):
        raise InstallError(f"{host!r} is no host\nwrite user@host:folder, or ./{destination}")
    if any(not character.isprintable() for character in folder):
        raise InstallError(
            f"{folder!r} is no folder\na character in it cannot be printed: leave it out"
        )
    # Without a slash in front it is in the home folder.
    return Remote(host, folder.removeprefix("~/").rstrip("/") or ("/" if "/" in folder else "."))


def _chosen(names: Sequence[str], built: Path) -> list[Path]:
    if not names:
        if not built.is_dir():
            raise InstallError(f"there is no folder {built}\nbuild programs first: nativecgi build")
        found = list(programs(built))
        links = [it.name for it in sorted(built.iterdir()) if it.is_symlink()]
        _refuse_unfrozen(links)
        if not found:
            raise InstallError(f"there is no program in {built}\nbuild some: nativecgi build")
        return found
    paths = [_program(name, built) for name in names]
    _refuse_unfrozen([it.name for it in paths if it.is_symlink()])
    return paths


def _program(name: str, built: Path) -> Path:
    for path in (built / name, Path(name)):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise InstallError(f"there is no program {name!r} in {built}\nbuild it: nativecgi build")


def _refuse_unfrozen(names: Sequence[str]) -> None:
    if names:
        raise InstallError(
            f"not frozen, so not one file each: {', '.join(names)}\n"
            "build them without --no-freeze, on a machine that can freeze (nativecgi doctor)"
        )
