"""How to install what is missing, on the Linux distribution that this machine has."""

import platform
from typing import Literal

Family = Literal["debian", "fedora", "arch", "alpine"]
Part = Literal["compiler", "headers", "libpython", "ccache", "pip"]

_RELATIVES: dict[str, Family] = {
    "debian": "debian",
    "ubuntu": "debian",
    "fedora": "fedora",
    "rhel": "fedora",
    "centos": "fedora",
    "arch": "arch",
    "alpine": "alpine",
}
_COMMANDS: dict[Family, str] = {
    "debian": "sudo apt-get install",
    "fedora": "sudo dnf install",
    "arch": "sudo pacman -S",
    "alpine": "doas apk add",
}
_PACKAGES: dict[Family, dict[Part, str]] = {
    "debian": {
        "compiler": "gcc libc6-dev",
        "headers": "{python}-dev",
        "libpython": "{python}-dev",
        "ccache": "ccache",
        "pip": "python3-pip python3-venv",
    },
    "fedora": {
        "compiler": "gcc glibc-devel",
        "headers": "python3-devel",
        "libpython": "python3-libs",
        "ccache": "ccache",
        "pip": "python3-pip",
    },
    "arch": {
        "compiler": "gcc",
        "headers": "python",
        "libpython": "python",
        "ccache": "ccache",
        "pip": "python-pip",
    },
    "alpine": {"compiler": "gcc musl-dev", "headers": "python3-dev", "ccache": "ccache"},
}


def to_install(part: Part, family: Family | None, version: str) -> str:
    """What to type, for a Python of some version, such as 3.13."""
    if family and (package := _PACKAGES[family].get(part)):
        return f"{_COMMANDS[family]} {package.format(python=f'python{version}')}"
    return f"install what your system calls, or has for, {part}"


def family() -> Family | None:
    """The distribution's family, by /etc/os-release (os-release(5)); None of an unknown one."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    return family_of(release.get("ID", ""), release.get("ID_LIKE", ""))


def family_of(name: str, like: str) -> Family | None:
    """The same by the ID of a distribution and what it says to be like."""
    known = (_RELATIVES[it] for it in (name, *like.split()) if it in _RELATIVES)
    return next(known, None)
