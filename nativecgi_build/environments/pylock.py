"""Reads a pylock.toml (PEP 751) as a file of requirements, which all installers understand."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name


def requirements_of(
    lock: Mapping[str, Any], folder: Path, *, without: Sequence[str] = ()
) -> Iterator[str]:
    """The lock's packages as requirements, with their hashes, `without` those of some names.

    Paths in it begin at `folder`. Raises ValueError, KeyError or TypeError where it is not as the
    PEP says.
    """
    if not str(lock["lock-version"]).startswith("1."):
        raise ValueError(f"its version is {lock['lock-version']}, and 1 is known")
    packages = [
        it for it in lock.get("packages", ()) if canonicalize_name(it["name"]) not in without
    ]
    packages = [it for it in packages if not _is_the_project(it)]
    # An installer that sees one hash wants one of each.
    are_hashed = all(list(_hashes(it)) for it in packages)
    for package in packages:
        marker = f" ; {package['marker']}" if "marker" in package else ""
        hashes = "".join(f" --hash={it}" for it in _hashes(package)) if are_hashed else ""
        yield f"{_requirement(package, folder)}{marker}{hashes}"


def _is_the_project(package: Mapping[str, Any]) -> bool:
    return package.get("directory", {}).get("path") in (".", "./")


def _requirement(package: Mapping[str, Any], folder: Path) -> str:
    name = package["name"]
    if vcs := package.get("vcs"):
        return f"{name} @ {vcs['type']}+{_url(vcs, folder)}@{vcs['commit-id']}"
    if place := package.get("directory") or package.get("archive"):
        return f"{name} @ {_url(place, folder)}"
    if "version" in package:
        return f"{name}=={package['version']}"
    raise ValueError(f"it does not say which version of {name} to install")


def _url(place: Mapping[str, Any], folder: Path) -> str:
    return str(place["url"]) if "url" in place else (folder / place["path"]).resolve().as_uri()


def _hashes(package: Mapping[str, Any]) -> Iterator[str]:
    files = [*package.get("wheels", ())]
    files += [package[kind] for kind in ("sdist", "archive") if kind in package]
    for file in files:
        for kind, digest in file.get("hashes", {}).items():
            if kind in ("sha256", "sha384", "sha512"):
                yield f"{kind}:{digest}"
