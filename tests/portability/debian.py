"""What Debian's archive has of other releases: root file systems and kernels, kept in build/."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parent.parent.parent / "build"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SECONDS = 900


def root(release: str, packages: str = "") -> Path:
    """A release's minimal root file system, made with debootstrap once.

    It has the packages named besides, with commas between them.
    """
    name = f"{release}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}" if packages else release
    folder = BUILD / "roots" / name
    if not folder.exists():
        if os.geteuid() != 0:
            pytest.skip("only root may run debootstrap")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--keyring={_KEYRING}"]
        command += [f"--include={packages}"] if packages else []
        _run([*command, release, str(part), _mirror()], f"debootstrap of {release}")
        part.rename(folder)
    return folder


def kernel(release: str) -> Path:
    """A release's kernel for virtual machines; it is unpacked, not installed."""
    folder = BUILD / "kernels" / release
    if not any(folder.glob("vmlinuz-*")):
        folder.mkdir(parents=True, exist_ok=True)
        apt = _apt(folder, release)
        _run(["apt-get", *apt, "-qq", "update"], f"apt-get update for {release}")
        depends = _run(["apt-cache", *apt, "depends", "linux-image-cloud-amd64"], "apt-cache")
        package = re.search(r"Depends: (linux-image-\S+)", depends)
        if package is None:
            pytest.skip(f"{release} has no linux-image-cloud-amd64")
        _run(["apt-get", *apt, "-qq", "download", package[1]], f"download of {package[1]}", folder)
        (archive,) = folder.glob("*.deb")
        tree = folder / "tree"
        _run(["dpkg-deb", "-x", str(archive), str(tree)], f"unpacking of {archive.name}")
        (image,) = (tree / "boot").glob("vmlinuz-*")
        shutil.rmtree(folder / "lists")
        archive.unlink()
        image.rename(folder / image.name)
        shutil.rmtree(tree)
    (image,) = folder.glob("vmlinuz-*")
    return image


def _apt(folder: Path, release: str) -> list[str]:
    """Options that have apt know this release alone, and keep what it knows in the folder."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {release} main\n")
    options = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": lists,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _mirror() -> str:
    """Where this machine gets its own Debian packages from."""
    if shutil.which("apt-get") is None:
        pytest.skip("there is no apt-get to tell where Debian's packages are")
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)"]
    for line in _run(command, "apt-get indextargets").splitlines():
        origin, codename, address = line.split(" ", 2)
        if origin == "Debian" and "-" not in codename:
            return address
    pytest.skip("apt has no list of Debian's packages: run apt-get update")


def _run(command: list[str], what: str, folder: Path | None = None) -> str:
    """What a command prints; where it fails, as without a network, the test is skipped."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}: run make test")
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=_SECONDS, cwd=folder, check=False
    )
    if result.returncode:
        end = (result.stdout + result.stderr).strip().splitlines()[-3:]
        pytest.skip(f"{what} failed: {' '.join(end)}")
    return result.stdout
