"""Installs programs on another machine over ssh: with rsync where both have it, else with sftp.

Both write beside the program under another name, and rename that when it is complete. Names and
paths are arguments, or quoted for sftp's batches: no shell reads them, neither here nor there.
Ports, keys and names of hosts are a matter of ~/.ssh/config.
"""

import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from nativecgi_build.install.errors import InstallError

# What rsync ends with where the other side has none: the shell's status, or no protocol of its own.
_NO_RSYNC = (2, 12, 126, 127)
_NOT_FOUND = ("not found", "No such file or directory", "protocol version mismatch", "not allowed")
_NOISE = (
    *("remote mkdir", "rsync error:", "rsync: connection unexpectedly closed"),
    *("Connected to ", "sftp> "),
)


class Remote(msgspec.Struct, frozen=True):
    """A folder on another machine."""

    host: str  # as ssh knows it, with a user or without
    folder: str  # absolute, or from the home folder

    def __str__(self) -> str:
        """As users write it."""
        return f"{self.host}:{self.folder}"


def upload(programs: Sequence[Path], remote: Remote, report: Callable[[str], None]) -> None:
    """Install programs; each is there completely, or as it was before. Raises InstallError."""
    if shutil.which("ssh") is None:
        raise InstallError("there is no ssh\ninstall it (Debian: openssh-client)")
    if not (shutil.which("rsync") and _by_rsync(programs, remote)):
        if shutil.which("sftp") is None:
            raise InstallError("there is neither rsync nor sftp\ninstall one (Debian: rsync)")
        _by_sftp(programs, remote)
    for program in programs:
        report(f"{program.name}: installed in {remote}")


def _by_rsync(programs: Sequence[Path], remote: Remote) -> bool:
    """Whether the other machine has an rsync; if so all is done when this returns."""
    # It writes to .NAME.XXXXXX in the folder. --protect-args: the remote shell does not see paths.
    options = ["--protect-args", "--times", "--perms", "--chmod=F755", "--sparse", "--compress"]
    paths = [str(it.resolve().parent / it.name) for it in programs]
    target = f"{remote.host}:{remote.folder.rstrip('/')}/"
    result = _run(["rsync", *options, "--rsh=ssh", "--", *paths, target])
    if result.returncode == 0:
        return True
    if result.returncode in _NO_RSYNC and any(it in result.stderr for it in _NOT_FOUND):
        return False
    raise _failed(remote, result.stderr)


def _by_sftp(programs: Sequence[Path], remote: Remote) -> None:
    mark = secrets.token_hex(4)
    result = _batch(remote, _installing(programs, remote, mark))
    if result.returncode:
        removing = (f"-rm {_quoted(_beside(it, remote, mark))}" for it in programs)
        _batch(remote, removing)  # what has come of the one that failed; others have no such file
        raise _failed(remote, result.stderr)


def _installing(programs: Sequence[Path], remote: Remote, mark: str) -> Iterator[str]:
    yield f"-mkdir {_quoted(remote.folder)}"
    for program in programs:
        new, target = _beside(program, remote, mark), f"{remote.folder}/{program.name}"
        yield f"put {_quoted(str(program.resolve()))} {_quoted(new)}"
        yield f"chmod 755 {_quoted(new)}"
        # OpenSSH renames as rename(2) does; another server may refuse where there is a file.
        yield f"rename {_quoted(new)} {_quoted(target)}"


def _beside(program: Path, remote: Remote, mark: str) -> str:
    return f"{remote.folder}/.{program.name}.{mark}"


def _quoted(path: str) -> str:
    """A path for sftp's batches, which have a quoting of their own."""
    if any(not character.isprintable() for character in path):
        raise InstallError(f"{path!r} cannot be named to sftp\nrename it")
    if path.startswith("-"):
        path = f"./{path}"
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _batch(remote: Remote, commands: Iterator[str]) -> "subprocess.CompletedProcess[str]":
    # A batch forbids questions; a password is asked for at the terminal all the same.
    ssh = shutil.which("ssh") or "ssh"
    options = ["-oBatchMode=no", "-S", ssh, "-b", "-"]
    return _run(["sftp", *options, "--", remote.host], "".join(f"{it}\n" for it in commands))


def _run(command: list[str], given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def _failed(remote: Remote, said: str) -> InstallError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_NOISE)] or lines
    return InstallError(
        f"nothing could be installed in {remote}: {'; '.join(told)}\n"
        f"see that this works: ssh {remote.host} true"
    )
