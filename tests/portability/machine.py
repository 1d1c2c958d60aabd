"""A machine of its own: a kernel under qemu-system, without KVM, and one program, its init."""

import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

_SECONDS = 300
_MEMORY = "512"
# The kernel's console, where init's standard streams are.
_CONSOLE = os.makedev(5, 1)


def boot(
    kernel: Path, init: Path, variables: Mapping[str, str], folder: Path, cpu: str = "max"
) -> str:
    """What is on the serial console when the program, as init, has ended.

    The kernel hands on NAME=VALUE words of its command line as init's environment. It panics when
    init ends and says with which status: `exitcode=0x00000000`.
    """
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("there is no qemu-system-x86_64: run make test-portability")
    initramfs = folder / "initramfs"
    with initramfs.open("wb") as file:
        file.writelines(_archive({"init": init.read_bytes()}))
    words = ["console=ttyS0", "quiet", "panic=-1", *(f'{k}="{v}"' for k, v in variables.items())]
    command = [qemu, "-M", "pc", "-accel", "tcg", "-cpu", cpu, "-m", _MEMORY, "-no-reboot"]
    command += ["-nodefaults", "-display", "none", "-serial", "stdio"]
    command += ["-kernel", str(kernel), "-initrd", str(initramfs), "-append", " ".join(words)]
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    initramfs.unlink()
    assert result.returncode == 0, f"{shlex.join(command)}\n{result.stdout}{result.stderr}"
    return result.stdout.replace("\r", "")


def _archive(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """An initramfs: cpio's "newc" format (Documentation/driver-api/early-userspace)."""
    yield _member("dev", stat.S_IFDIR | 0o755)
    yield _member("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE)
    for name, data in files.items():
        yield _member(name, stat.S_IFREG | 0o755, len(data))
        yield data + bytes(-len(data) % 4)
    yield _member("TRAILER!!!", 0)


def _member(name: str, mode: int, size: int = 0, device: int = 0) -> bytes:
    """A header: magic number, thirteen numbers in hexadecimal, the name, all in words of four."""
    inode, owner, links, time = 0, (0, 0), 1, 0
    own_device, its_device = (0, 0), (os.major(device), os.minor(device))
    length = len(name) + 1
    fields = (inode, mode, *owner, links, time, size, *own_device, *its_device, length, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return header + bytes(-len(header) % 4)
