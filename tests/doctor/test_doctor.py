"""What is said of this machine, as it is and with something really missing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nativecgi_build.doctor.advice import Family, family_of, to_install
from nativecgi_build.doctor.report import Check, lines, reported
from tests.checkout import ROOT

Found = Mapping[str, dict[str, str]]


def doctor(
    *prefix: str, env: Mapping[str, str] | None = None, options: Sequence[str] = ("--json",)
) -> "subprocess.CompletedProcess[str]":
    """Runs the command, behind others."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "nativecgi_build", "doctor", *options],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def found(result: "subprocess.CompletedProcess[str]") -> Found:
    """The checks by their names; the status has to be that of the verdict."""
    report = json.loads(result.stdout)
    assert result.returncode == (0 if report["works"] else 1), result.stderr
    return {it["name"]: it for it in report["checks"]}


def mounted(options: str, folder: Path) -> list[str]:
    """The start of a command for which an empty file system is mounted on the folder."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let its users mount anything")
    mount = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", mount, str(folder)]


def path_without(folder: Path, *names: str) -> str:
    """A folder with links to all commands but some."""
    folder.mkdir()
    for command in Path("/usr/bin").iterdir():
        if command.name not in names:
            (folder / command.name).symlink_to(command)
    return str(folder)


def test_this_machine_builds_programs() -> None:
    result = doctor()
    checks = found(result)
    assert result.returncode == 0
    assert [name for name, it in checks.items() if it["state"] == "missing"] == []
    assert checks["freezing"]["found"] == "a process was frozen and went on"


def test_it_is_said_as_text() -> None:
    result = doctor(options=())
    assert "ok       C compiler" in result.stdout
    assert result.stdout.endswith("\nPrograms can be built on this machine.\n")


def test_without_a_compiler_it_says_what_to_type(tmp_path: Path) -> None:
    path = path_without(tmp_path / "bin", "gcc", "clang", "ccache")
    checks = found(doctor(env={"PATH": path, "CC": ""}))
    assert checks["C compiler"]["state"] == "missing"
    assert "gcc" in checks["C compiler"]["advice"]
    assert checks["ccache"]["state"] == "poor"


@pytest.mark.parametrize(
    ("compiler", "said"), [("/nonesuch", "No such file"), ("false", "it failed")]
)
def test_a_compiler_that_does_not_work_is_none(compiler: str, said: str) -> None:
    check = found(doctor(env={"CC": compiler}))["C compiler"]
    assert (check["state"], said in check["found"]) == ("missing", True)


def test_a_cache_in_which_nothing_can_be_executed_is_told(tmp_path: Path) -> None:
    result = doctor(*mounted("noexec", tmp_path), env={"XDG_CACHE_HOME": str(tmp_path)})
    assert found(result)["cache"]["found"] == f"nothing can be executed in {tmp_path}"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    result = doctor(*mounted("size=100m", tmp_path), env={"XDG_CACHE_HOME": str(tmp_path)})
    check = found(result)["disk space"]
    assert (check["state"], check["found"]) == ("missing", "0.1 GB are free")


def test_temporary_files_may_be_elsewhere_than_in_tmp(tmp_path: Path) -> None:
    if Path(sys.prefix).is_relative_to("/tmp"):
        pytest.skip("this checkout lies in /tmp, from where nothing could be run then")
    elsewhere = Path("/var/tmp") / f"nativecgi-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        result = doctor(*mounted("noexec", Path("/tmp")), env={"TMPDIR": str(elsewhere)})
        assert found(result)["temporary files"]["found"] == str(elsewhere)
        nowhere = doctor(*mounted("noexec", Path("/tmp")), env={"TMPDIR": "/tmp"})
        assert found(nowhere)["temporary files"]["state"] == "missing"
    finally:
        shutil.rmtree(elsewhere)


def test_where_nothing_can_be_traced_it_says_what_to_allow() -> None:
    result = doctor(sys.executable, str(Path(__file__).with_name("without_ptrace.py")))
    if result.returncode == 77:
        pytest.skip("this machine has no seccomp")
    check = found(result)["freezing"]
    assert check["state"] == "missing"
    assert "ptrace" in check["advice"]


@pytest.mark.parametrize(
    ("name", "like", "expected"),
    [
        ("debian", "", "debian"),
        ("ubuntu", "debian", "debian"),
        ("linuxmint", "ubuntu debian", "debian"),
        ("rocky", "rhel centos fedora", "fedora"),
        ("alpine", "", "alpine"),
        ("cachyos", "arch", "arch"),
        ("plan9", "", None),
    ],
)
def test_a_distribution_is_known_by_its_relatives(
    name: str, like: str, expected: Family | None
) -> None:
    assert family_of(name, like) == expected


def test_what_to_type_has_the_python_s_version() -> None:
    assert to_install("headers", "debian", "3.13") == "sudo apt-get install python3.13-dev"
    assert to_install("compiler", "arch", "3.13") == "sudo pacman -S gcc"
    assert to_install("pip", None, "3.13").endswith("pip")


def test_only_what_is_missing_keeps_programs_from_being_built() -> None:
    poor = Check("ccache", "poor", "none", "install it")
    assert reported([poor]).works
    report = reported([poor, Check("C compiler", "missing", "none", "install it")])
    assert not report.works
    assert list(lines(report))[-1].endswith("yet: see C compiler.")


def test_settings_that_cannot_be_read_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.nativecgi")
    command = [sys.executable, "-m", "nativecgi_build", "doctor", "--json"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "freezing" in result.stdout
    assert result.stderr == ""
