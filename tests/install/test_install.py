"""Programs are installed in a folder here, or on another machine over a real ssh."""

import os
import resource
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nativecgi_build.install.errors import InstallError
from nativecgi_build.install.install import install, parsed
from nativecgi_build.install.remote import Remote

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
NAME = "odd name $(touch hacked) \"'`*"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder of built programs."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in ("hello", "shop"):
        (folder / name).write_text(f"#!/bin/sh\necho {name}\n")
        (folder / name).chmod(0o700)
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A server's folder of programs, with an older one."""
    folder = tmp_path / "cgi-bin"
    folder.mkdir()
    (folder / "hello").write_text("older")
    (folder / "hello").chmod(0o755)
    return folder


def listed(folder: Path) -> list[tuple[str, str, str]]:
    """The files of a folder: names, modes and contents."""
    files = (it for it in sorted(folder.iterdir()) if it.is_file())
    return [(it.name, stat.filemode(it.stat().st_mode), it.read_text()) for it in files]


HELLO = ("hello", "-rwxr-xr-x", "#!/bin/sh\necho hello\n")
SHOP = ("shop", "-rwxr-xr-x", "#!/bin/sh\necho shop\n")
OLDER = ("hello", "-rwxr-xr-x", "older")


# --- here ---


def test_all_programs_are_installed_with_their_mode(built: Path, target: Path) -> None:
    said: list[str] = []
    assert install([], built, str(target), said.append) == ["hello", "shop"]
    assert listed(target) == [HELLO, SHOP]
    assert said == [f"{name}: installed in {target}" for name in ("hello", "shop")]


def test_only_the_named_ones_are_installed(built: Path, target: Path) -> None:
    install(["shop"], built, str(target), print)
    assert listed(target) == [OLDER, SHOP]


@pytest.mark.parametrize("name", ["nonesuch", "notes.txt"])
def test_what_is_no_program_is_refused(built: Path, target: Path, name: str) -> None:
    with pytest.raises(InstallError, match=f"there is no program '{name}' in .*\nbuild it: "):
        install([name], built, str(target), print)


def test_what_is_not_frozen_is_refused(built: Path, target: Path) -> None:
    (built / "folder").symlink_to("folder.dist/folder.bin")
    with pytest.raises(InstallError, match="not frozen, so not one file each: folder\n"):
        install([], built, str(target), print)
    assert listed(target) == [OLDER]


def test_without_a_build_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"there is no folder .*\nbuild programs first"):
        install([], tmp_path / "dist", str(tmp_path), print)


def test_a_folder_that_cannot_be_written_to_is_an_error(built: Path, target: Path) -> None:
    with pytest.raises(InstallError, match=r"hello was not installed: .*\ninstall to"):
        install([], built, str(target / "hello"), print)


# --- where to ---


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("cgi-bin", Path("cgi-bin")),
        ("/srv/a:b", Path("/srv/a:b")),
        ("./a:b", Path("./a:b")),
        ("example.org:cgi-bin", Remote("example.org", "cgi-bin")),
        ("ann@example.org:/srv/cgi-bin/", Remote("ann@example.org", "/srv/cgi-bin")),
        ("ann@[::1]:~/cgi bin", Remote("ann@[::1]", "cgi bin")),
        ("server:", Remote("server", ".")),
        ("server:/", Remote("server", "/")),
    ],
)
def test_a_destination_is_read_as_scp_does(destination: str, expected: Remote | Path) -> None:
    assert parsed(destination) == expected


@pytest.mark.parametrize(
    "destination",
    [
        "-oProxyCommand=touch x:dir",
        "a b:dir",
        "$(id):dir",
        ":dir",
        "-l:dir",
        "-l@h:dir",
        "a;b:dir",
        "h:a\nb",
    ],
)
def test_what_is_no_host_or_folder_is_refused(destination: str) -> None:
    with pytest.raises(InstallError, match="is no "):
        parsed(destination)


# --- over ssh ---


Connect = Callable[..., str]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Starts an sshd with options of its configuration; returns the host to say."""
    if SSHD is None:
        pytest.skip("there is no sshd")
    folder = tmp_path / "ssh"
    (folder / "bin").mkdir(parents=True)
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd has to have an empty folder
    started: list[subprocess.Popen[bytes]] = []

    def connect(*options: str, largest: int = resource.RLIM_INFINITY) -> str:
        assert SSHD is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lines = [
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'user.pub'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin yes",
            "PidFile none",
            "Subsystem sftp internal-sftp",
            *options,
        ]
        (folder / "sshd_config").write_text("\n".join(lines))
        command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.append(process)
        # The processes of its sessions inherit it.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, largest))
        host = (folder / "host.pub").read_text().rsplit(" ", 1)[0]
        (folder / "known").write_text(f"[127.0.0.1]:{port} {host}\n")
        settings = ["Host server", "HostName 127.0.0.1", f"Port {port}"]
        settings += [f"IdentityFile {folder / 'user'}", f"UserKnownHostsFile {folder / 'known'}"]
        (folder / "config").write_text("\n".join(settings))
        wait_for(port)
        return "server"

    # In place of ~/.ssh/config, which ssh finds without $HOME.
    ssh = folder / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder / "config"} "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    yield connect
    for process in started:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    for _attempt in range(200):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("sshd did not start")


def no_rsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave ssh and sftp on the path alone."""
    ssh = Path(os.environ["PATH"].partition(":")[0])
    (ssh / "sftp").symlink_to("/usr/bin/sftp")
    monkeypatch.setenv("PATH", str(ssh))


@pytest.fixture(params=["rsync", "sftp alone here", "sftp alone there"])
def host(request: pytest.FixtureRequest, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> str:
    """A host that is reached by each way."""
    if request.param == "sftp alone here":
        no_rsync(monkeypatch)
    there = request.param == "sftp alone there"
    return connect(*(["ForceCommand internal-sftp"] if there else []))


def test_programs_go_to_another_machine(host: str, built: Path, target: Path) -> None:
    said: list[str] = []
    install([], built, f"{host}:{target}", said.append)
    assert listed(target) == [HELLO, SHOP]
    assert said == [f"{name}: installed in {host}:{target}" for name in ("hello", "shop")]


def test_a_folder_may_have_any_printable_name(host: str, built: Path, target: Path) -> None:
    folder = target / NAME
    install(["shop"], built, f"{host}:{folder}", print)
    assert listed(folder) == [SHOP]
    assert not list(target.parent.rglob("hacked"))


def test_a_program_may_have_any_printable_name(host: str, built: Path, target: Path) -> None:
    (built / "shop").rename(built / NAME)
    install([NAME], built, f"{host}:{target}", print)
    assert listed(target) == [OLDER, (NAME, *SHOP[1:])]


def test_a_program_that_does_not_fit_leaves_the_older_one(
    connect: Connect, built: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_rsync(monkeypatch)
    host = connect(largest=1_000_000)
    (built / "hello").write_bytes(b"x" * 2_000_000)
    with pytest.raises(InstallError, match="nothing could be installed in server"):
        install(["hello"], built, f"{host}:{target}", print)
    assert listed(target) == [OLDER]


def test_where_a_folder_has_a_program_s_name_nothing_is_left(
    host: str, built: Path, target: Path
) -> None:
    (target / "shop" / "inner").mkdir(parents=True)
    with pytest.raises(InstallError, match=r"(?s)nothing could be .*see that this works: ssh"):
        install(["shop"], built, f"{host}:{target}", print)
    assert sorted(it.name for it in target.iterdir()) == ["hello", "shop"]


def test_what_ssh_says_is_passed_on(connect: Connect, built: Path) -> None:
    connect("DenyUsers *")
    with pytest.raises(InstallError, match="Permission denied"):
        install([], built, "server:cgi-bin", print)


def test_an_unknown_host_is_refused(connect: Connect, built: Path) -> None:
    host = connect()
    known = built.parent / "ssh" / "known"
    key = known.read_text().split()
    known.write_text(f"{key[0]} {key[1]} {key[2][:-4]}AAAA\n")
    with pytest.raises(InstallError, match="Host key verification failed"):
        install([], built, f"{host}:cgi-bin", print)
