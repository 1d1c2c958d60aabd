"""procfs: what the kernel tells about a process is read as it was written."""

import mmap
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer import procfs
from nativecgi_build.freezer.procfs import Mapping

ADDRESSES = st.integers(0, 2**47 - 1)
# The kernel writes a newline as \012, and no name holds NUL or what is no character.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"))
PATHS = st.one_of(st.just(""), st.just("[heap]"), NAMES.map("/".__add__))
MAPPINGS = st.builds(
    Mapping,
    start=ADDRESSES,
    end=ADDRESSES,
    permissions=st.sampled_from(["r--p", "r-xp", "rw-p", "rw-s", "---p", "rwxp"]),
    offset=ADDRESSES,
    path=PATHS,
)


def maps_line(mapping: Mapping) -> str:
    """As show_map_vma in fs/proc/task_mmu.c writes it: names begin in column 73."""
    line = (
        f"{mapping.start:08x}-{mapping.end:08x} {mapping.permissions} {mapping.offset:08x} "
        f"fe:00 4711 "
    )
    return (line.ljust(73) + mapping.path if mapping.path else line) + "\n"


@given(st.lists(MAPPINGS))
def test_maps_are_read_as_the_kernel_writes_them(mappings: list[Mapping]) -> None:
    assert procfs.parse_maps("".join(map(maps_line, mappings))) == mappings


@given(NAMES, st.sampled_from("RSDZTt"), st.integers(0, 2**22))
def test_stat_is_read_whatever_the_name_holds(name: str, state: str, parent: int) -> None:
    stat = procfs.parse_stat(f"4711 ({name}) {state} {parent} 4711 4711 0 -1 4194560\n")
    assert stat == procfs.Stat(name, state, parent)


@pytest.mark.parametrize("name", ["a b", "(sd-pam)", "x) R 1 (", ")", " ", ""])
def test_stat_of_names_with_blanks_and_parentheses(name: str) -> None:
    assert procfs.parse_stat(f"1 ({name}) S 99 1 1 0").name == name


def test_a_mapping_knows_its_size_and_who_sees_what_is_written_to_it() -> None:
    mapping = Mapping(0x1000, 0x3000, "rw-s", 0, "")
    assert (mapping.size, mapping.is_writable, mapping.is_shared) == (0x2000, True, True)
    mapping = Mapping(0x1000, 0x3000, "r-xp", 0, "")
    assert (mapping.is_writable, mapping.is_shared) == (False, False)


@pytest.mark.parametrize("name", ["plain", "two words (deleted)", "a\rb", "a\x85b\u2028c"])
def test_a_mapped_file_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(mmap.PAGESIZE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        assert str(path) in [mapping.path for mapping in procfs.mappings(os.getpid())]


def test_the_main_thread_comes_first_and_each_has_its_name() -> None:
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        threads = procfs.threads(os.getpid())
        name = Path("/proc/self/comm").read_text().strip()
        assert threads[0] == procfs.Thread(os.getpid(), name)
        assert other.native_id in [thread.tid for thread in threads[1:]]
    finally:
        end.set()
        other.join()


def test_the_main_thread_comes_first_where_ids_have_begun_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Behind the highest id (pid_max, proc(5)) come low ones again."""
    for tid, name in [(32767, "main"), (301, "second"), (32768, "third")]:
        (tmp_path / "task" / str(tid)).mkdir(parents=True)
        (tmp_path / "task" / str(tid) / "comm").write_text(f"{name}\n")
    monkeypatch.setattr(procfs, "_proc", lambda _pid, name: tmp_path / name)
    names = [thread.name for thread in procfs.threads(32767)]
    assert names == ["main", "second", "third"]


def test_children_are_told_from_zombies() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (found,) = [c for c in procfs.children(os.getpid()) if c.pid == child.pid]
        assert not found.is_zombie
        assert child.stdin is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        (found,) = [c for c in procfs.children(os.getpid()) if c.pid == child.pid]
        assert found.is_zombie


def test_descriptors_come_in_order_with_what_they_are_open_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        (tmp_path / "file").open() as file,
        subprocess.Popen(
            ["sh", "-c", "echo ready; kill -STOP $$"], stdin=file, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        descriptors = procfs.descriptors(child.pid)
        child.kill()
    assert [descriptor.number for descriptor in descriptors][:3] == [0, 1, 2]
    assert descriptors[0].target == str(tmp_path / "file")
    assert descriptors[1].target.startswith("pipe:[")


def test_a_signal_set_is_what_the_process_has_set() -> None:
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGRTMAX])
    try:
        blocked = procfs.signal_set(threading.get_native_id(), "SigBlk")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
    assert blocked == {*usual, signal.SIGUSR1, signal.SIGRTMAX}


def test_an_unknown_signal_set_is_an_error() -> None:
    with pytest.raises(LookupError, match="SigNone"):
        procfs.signal_set(os.getpid(), "SigNone")


def test_the_executable_is_the_file_itself() -> None:
    assert procfs.executable(os.getpid()) == Path(sys.executable).resolve()


def test_limits_are_read_by_name() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max cpu time              unlimited            unlimited            seconds   \n"
        "Max nice priority         0                    0                    \n"
    )
    limits = {"Max cpu time": "unlimited unlimited seconds", "Max nice priority": "0 0"}
    assert procfs.parse_limits(text) == limits


def test_the_status_of_this_process_is_read() -> None:
    assert procfs.status(os.getpid())["Pid"] == str(os.getpid())
    assert procfs.tracer(os.getpid()) == 0


def test_memory_that_a_fork_wipes_is_told_from_other() -> None:
    if not hasattr(mmap, "MADV_NORMAL"):
        pytest.skip("this Python has no madvise")
    wipe_on_fork = 18  # MADV_WIPEONFORK
    before = procfs.wiped_on_fork(os.getpid())
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(wipe_on_fork)
        (start,) = procfs.wiped_on_fork(os.getpid()) - before
        assert any(mapping.start == start for mapping in procfs.mappings(os.getpid()))
    assert procfs.wiped_on_fork(os.getpid()) == before
