"""A frozen C program goes on in a new process as it would have in the old one."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from nativecgi_build.freezer import procfs
from nativecgi_build.freezer.elf import PROGRAM_HEADER_SIZE
from nativecgi_build.freezer.linux import PAGE

Completed = subprocess.CompletedProcess


def run(
    image: Path,
    probe: str = "",
    variables: Mapping[str, str] | None = None,
    prepare: Callable[[], object] | None = None,
) -> "Completed[str]":
    return subprocess.run(
        [image],
        env={"PROBE": probe, "PATH": os.defpath, **(variables or {})},
        capture_output=True,
        preexec_fn=prepare,
        text=True,
        timeout=20,
        check=False,
    )


def answer(image: Path, probe: str, **variables: str) -> str:
    """What a probe prints, if all else is well."""
    result = run(image, probe, variables)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


def default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ignored_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# It goes on.


def test_it_goes_on_behind_its_freeze_point(frozen_hello: Path) -> None:
    result = run(frozen_hello)
    assert (result.stdout, result.stderr) == ("hello from before\n", "")


def test_its_exit_status_is_its_own(frozen_hello: Path) -> None:
    assert run(frozen_hello).returncode == 3


def test_it_goes_on_as_often_as_it_is_run(frozen_hello: Path) -> None:
    assert len({run(frozen_hello).stdout for _time in range(20)}) == 1


def test_it_may_stop_itself_with_raise(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    image = frozen(compiled("hello.c", "-DUSE_RAISE"))
    assert run(image).stdout == "hello from before\n"


def test_a_program_at_a_fixed_address_goes_on(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    image = frozen(compiled("probe.c", "-no-pie"))
    assert answer(image, "getenv_sees", GREETING="hi") == "hi new\nPROBE=getenv_sees"
    assert answer(image, "allocate") == "whole"


def test_a_program_that_has_not_allocated_yet_goes_on(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    assert run(frozen(compiled("bare.c"))).stdout == "bare\n"


def test_memory_around_guard_pages_is_kept_and_they_stay_guards(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    program = compiled("fenced.c")
    plain = run(program)
    if plain.returncode == 77:
        pytest.skip("this kernel has no MADV_GUARD_INSTALL (Linux 6.13)")
    assert run(frozen(program)).stdout == plain.stdout == "one three 0 1 0 1 1\n"


def test_a_program_with_a_guard_page_in_its_stack_goes_on(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    assert run(frozen(compiled("guarded.c"))).stdout == "guarded\n"


def test_a_program_in_more_pieces_than_an_elf_file_can_have_goes_on(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    image = frozen(compiled("pieces.c"))
    assert run(image).stdout == "150 of 150\n"
    with image.open("rb") as file:
        headers = ELFFile(file)["e_phnum"] * PROGRAM_HEADER_SIZE
    assert headers <= PAGE, "most kernels execute no file with more"


def test_another_process_s_sigstop_is_not_the_freeze_point(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> None:
    assert run(frozen(compiled("stopped_by_another.c"))).stdout == "ready\n"


def test_what_it_prints_before_is_shown_and_not_in_the_image(
    compiled: Callable[..., Path],
    freeze: Callable[..., "Completed[str]"],
    tmp_path: Path,
) -> None:
    result = freeze(compiled("hello.c"), output=tmp_path / "image")
    assert (result.stdout, result.stderr) == ("", "almost ready\n")


def test_arguments_and_variables_for_it_are_taken(
    compiled: Callable[..., Path], freeze: Callable[..., "Completed[str]"], tmp_path: Path
) -> None:
    result = freeze(
        *("/bin/sh", "-c", 'echo "$0 $GIVEN ${SECRET-none}"; kill -STOP $$', "argument"),
        output=tmp_path / "image",
        options=["-e", "GIVEN=a=b"],
    )
    assert (result.returncode, result.stderr) == (0, "argument a=b none\n")


# What is new in each process.


def test_getenv_sees_the_new_environment_alone(frozen_probe: Path) -> None:
    expected = "hello new\nPROBE=getenv_sees"
    assert answer(frozen_probe, "getenv_sees", GREETING="hello") == expected


def test_a_child_process_inherits_the_new_environment(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "child_sees", GREETING="hello") == "hello after"


def test_process_and_thread_have_their_own_ids(frozen_probe: Path) -> None:
    with subprocess.Popen(
        [frozen_probe], env={"PROBE": "ids"}, stdout=subprocess.PIPE, text=True
    ) as process:
        output, _errors = process.communicate(timeout=20)
    assert output.split() == [str(process.pid)] * 3, "getpid, gettid, a mutex's owner"


def test_the_clock_is_the_kernel_s(frozen_probe: Path) -> None:
    before = time.time()
    now, source = answer(frozen_probe, "clocks").split()
    assert before <= float(now) <= time.time()
    assert source == "calls", "the vDSO is elsewhere in each process"


def test_the_processor_is_the_one_it_runs_on(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "processors") == "", "rseq(2) would tell the builder's"


# Loads into a register: of AVX2 (vmovdqu), of AVX-512 (vmovdqu64) with 256 and with 512 bits.
LOADS = ("c5fe6f", "62e1fe286f", "62e1fe486f")


def test_functions_for_the_builder_s_processor_are_not_chosen(
    compiled: Callable[..., Path], frozen_probe: Path
) -> None:
    plain = answer(compiled("probe.c"), "memory_code")
    if not any(load in plain for load in LOADS):
        pytest.skip("the C library would not choose AVX here anyway")
    frozen = answer(frozen_probe, "memory_code")
    assert not any(load in frozen for load in LOADS)


def test_each_process_has_a_canary_of_its_own(frozen_probe: Path) -> None:
    canaries = [answer(frozen_probe, "guards").split()[0] for _thaw in range(20)]
    assert len(set(canaries)) == 20
    assert all(canary.endswith("00") for canary in canaries), "no string can hold it"


def test_an_overflow_on_the_stack_is_noticed(frozen_probe: Path) -> None:
    result = run(frozen_probe, "overflow", {"OVERFLOW": "x" * 9})
    assert result.returncode == -signal.SIGABRT
    assert "stack smashing detected" in result.stderr
    assert answer(frozen_probe, "overflow", OVERFLOW="x" * 8) == "written"


# The address space.


def mapped(image: Path) -> tuple[int, list[procfs.Mapping]]:
    """An address on a process's stack, and its mappings."""
    first, rest = answer(image, "mappings").split("\n", 1)
    return int(first, 16), procfs.parse_maps(rest)


def test_no_memory_is_writable_and_executable(frozen_probe: Path) -> None:
    _stack, mappings = mapped(frozen_probe)
    assert mappings
    assert not [it for it in mappings if it.is_writable and "x" in it.permissions]


def test_the_stack_has_a_guard_below_it(frozen_probe: Path) -> None:
    stack, mappings = mapped(frozen_probe)
    (at,) = (n for n, it in enumerate(mappings) if it.start <= stack < it.end)
    lowest = next(it for it in mappings[at::-1] if not it.is_writable)
    assert lowest.permissions == "---p"
    assert lowest.size >= 1 << 20
    assert lowest.end == mappings[mappings.index(lowest) + 1].start


def test_what_the_dynamic_linker_has_made_read_only_stays_so(frozen_probe: Path) -> None:
    assert run(frozen_probe, "write_to_relro").returncode == -signal.SIGSEGV


def test_each_build_has_addresses_and_guards_of_its_own(
    compiled: Callable[..., Path],
    frozen_probe: Path,
    freeze: Callable[..., "Completed[str]"],
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    assert freeze(compiled("probe.c"), output=other).returncode == 0
    for one, another in zip(segments(frozen_probe), segments(other), strict=False):
        assert one != another
    for guard, other_guard in zip(guards(frozen_probe), guards(other), strict=True):
        assert guard != other_guard


def segments(image: Path) -> list[int]:
    with image.open("rb") as file:
        return [it["p_vaddr"] for it in ELFFile(file).iter_segments("PT_LOAD")]


def guards(image: Path) -> list[str]:
    return answer(image, "guards").split()


def test_a_native_image_may_use_what_the_processor_has(
    compiled: Callable[..., Path], frozen: Callable[..., Path], frozen_probe: Path
) -> None:
    plain = answer(compiled("probe.c"), "memory_code")
    native = frozen(compiled("probe.c"), options=("--native",))
    assert answer(native, "memory_code") == plain
    if not any(load in plain for load in LOADS):
        pytest.skip("the C library chooses the same for every processor here")
    assert answer(frozen_probe, "memory_code") != plain


# What works on.


def test_threads_start_and_end(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "threads") == "0 1 4 9"


def test_a_thread_s_stack_has_the_usual_size(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "thread_stack") == str(8 << 20)


def test_small_and_large_blocks_are_allocated(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "allocate") == "whole"


def test_blocks_of_before_are_whole_and_can_be_freed(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "free_old") == "small x\nfreed"


def test_memory_that_was_reserved_can_be_used(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "use_reserved") == "usable"


def test_the_program_break_moves(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "move_break") == "moved"


def test_recursion_has_the_stack_that_was_free(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "recursion") == str((4 << 20) // 4096)


def test_endless_recursion_ends_with_sigsegv(frozen_probe: Path) -> None:
    assert run(frozen_probe, "endless_recursion").returncode == -signal.SIGSEGV


def test_a_library_can_be_loaded(compiled: Callable[..., Path], frozen_probe: Path) -> None:
    plugin = compiled("plugin.c", "-shared", "-fPIC")
    assert answer(frozen_probe, "load_plugin", PLUGIN=str(plugin)) == "42"


def test_exit_runs_its_functions(frozen_probe: Path) -> None:
    result = run(frozen_probe, "leave")
    assert (result.returncode, result.stdout) == (7, "farewell\n")


# What the kernel held for it.


def test_a_signal_handler_stays(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "handler") == "handled"


@pytest.fixture
def after_an_illegal_instruction(
    compiled: Callable[..., Path], frozen: Callable[..., Path]
) -> Callable[..., "Completed[str]"]:
    """Runs a program that comes to one: `after_an_illegal_instruction("none")`."""

    def run_illegal(instruction: str, *flags: str) -> "Completed[str]":
        return run(frozen(compiled("illegal.c", *flags)), variables={"ILLEGAL": instruction})

    return run_illegal


def test_an_instruction_that_the_cpu_lacks_is_said(
    after_an_illegal_instruction: Callable[..., "Completed[str]"],
) -> None:
    result = after_an_illegal_instruction("none")
    assert (result.returncode, result.stdout) == (127, "")
    assert result.stderr.startswith("frozen program: this CPU lacks an instruction")


def test_a_program_that_ends_itself_by_ud2_is_killed_as_ever(
    after_an_illegal_instruction: Callable[..., "Completed[str]"],
) -> None:
    result = after_an_illegal_instruction("ud2")
    assert (result.returncode, result.stderr) == (-signal.SIGILL, "")


@pytest.mark.parametrize("instruction", ["none", "ud2"])
def test_a_program_s_own_handler_of_sigill_stays(
    after_an_illegal_instruction: Callable[..., "Completed[str]"], instruction: str
) -> None:
    result = after_an_illegal_instruction(instruction, "-DHANDLED")
    assert (result.returncode, result.stdout, result.stderr) == (0, "handled\n", "")


def test_the_alternate_signal_stack_stays(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "alternate_stack") == "alternate"


def test_the_kernel_knows_the_robust_mutexes(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "robust_list") == "known"


def test_an_ignored_sigpipe_stays_ignored(frozen_probe: Path) -> None:
    result = run(frozen_probe, "broken_pipe")
    assert (result.returncode, result.stdout) == (0, "EPIPE\n")


def test_the_freezer_s_own_signal_state_is_not_inherited(
    compiled: Callable[..., Path], freeze: Callable[..., "Completed[str]"], tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    prefix = [sys.executable, "-c", code]
    result = freeze(compiled("probe.c"), output=tmp_path / "image", prefix=prefix)
    assert result.returncode == 0, result.stderr
    result = run(
        tmp_path / "image",
        "hangup",
        prepare=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert result.returncode == -signal.SIGHUP


def test_the_handler_of_sigint_stays(frozen_probe: Path) -> None:
    assert run(frozen_probe, "interrupt", prepare=default_interrupt).stdout == "handled\n"


def test_a_sigint_that_is_ignored_at_the_start_stays_ignored(frozen_probe: Path) -> None:
    assert run(frozen_probe, "interrupt", prepare=ignored_interrupt).stdout == "ignored\n"


def test_the_rounding_mode_stays(frozen_probe: Path) -> None:
    assert answer(frozen_probe, "rounding") == "up up", "SSE and x87"


# The letterbox.

BOX, HEAD, TOO_LONG = 4096, 24, 2**64 - 1
PIPE, DEVICE, FILE, SOCKET, CLOSED = 1, 2, 8, 12, 0


class Letter:
    """What a thaw has put into the letterbox."""

    def __init__(self, box: bytes) -> None:
        assert len(box) == BOX
        self.length, self.count = struct.unpack_from("<QQ", box)
        self.kinds = tuple(box[16:19])
        strings = box[HEAD : HEAD + self.length].split(b"\0") if self.length <= BOX else [b""]
        assert strings.pop() == b"", "each string has a NUL behind it"
        self.arguments = strings[: self.count]
        self.variables = strings[self.count :]


@pytest.fixture(scope="module")
def letterbox(compiled: Callable[..., Path], frozen: Callable[..., Path]) -> Path:
    return frozen(compiled("letterbox.c"))


@pytest.fixture
def letter(letterbox: Path, tmp_path: Path) -> Callable[..., Letter]:
    """Runs the program that has a letterbox, and opens it."""

    def run_and_read(
        *arguments: "str | bytes | Path",
        env: Sequence[bytes] = (),
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
    ) -> Letter:
        variables = dict(variable.split(b"=", 1) for variable in env)
        report = os.fsencode(tmp_path / "report")
        subprocess.run(
            arguments or [letterbox],
            env={b"REPORT": report, **(variables or {})},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            timeout=20,
            check=True,
        )
        return Letter((tmp_path / "report").read_bytes())

    return run_and_read


def test_the_letterbox_holds_the_arguments(letterbox: Path, letter: Callable[..., Letter]) -> None:
    arguments = [str(letterbox).encode(), b"two words", b"", b"\xff", "ä".encode()]
    assert letter(*arguments).arguments == arguments


def test_the_letterbox_holds_the_environment(letter: Callable[..., Letter], tmp_path: Path) -> None:
    variables = [b"A=b=c", b"EMPTY=", b"BYTES=\xff\xfe"]
    report = b"REPORT=" + os.fsencode(tmp_path / "report")
    assert letter(env=variables).variables == [report, *variables]


def filling(image: Path, report: Path, spare: int) -> list[bytes]:
    """A variable that leaves `spare` bytes of the letterbox free."""
    used = len(os.fsencode(image)) + 1 + len(b"REPORT=") + len(os.fsencode(report)) + 1
    return [b"FILL=".ljust(BOX - HEAD - used - 1 - spare, b"x")]


def test_strings_that_just_fit_are_delivered(
    letterbox: Path, letter: Callable[..., Letter], tmp_path: Path
) -> None:
    variables = filling(letterbox, tmp_path / "report", spare=0)
    delivered = letter(env=variables)
    assert delivered.length == BOX - HEAD
    assert delivered.variables[-1:] == variables


@pytest.mark.parametrize("excess", [1, 100_000])
def test_strings_that_do_not_fit_are_said_to_be_too_long(
    letterbox: Path, letter: Callable[..., Letter], tmp_path: Path, excess: int
) -> None:
    delivered = letter(env=filling(letterbox, tmp_path / "report", spare=-excess))
    assert delivered.length == TOO_LONG
    assert delivered.count == 1, "the number of arguments is told all the same"


def test_the_letterbox_tells_pipes_files_and_devices(
    letter: Callable[..., Letter], tmp_path: Path
) -> None:
    (tmp_path / "input").touch()
    reader, writer = os.pipe()
    with (tmp_path / "input").open() as file, open(reader), open(writer, "w"):
        delivered = letter(stdin=file.fileno(), stdout=writer, stderr=subprocess.DEVNULL)
    assert delivered.kinds == (FILE, PIPE, DEVICE)


def test_the_letterbox_tells_sockets_and_closed_streams(
    letterbox: Path, letter: Callable[..., Letter]
) -> None:
    one, other = socket.socketpair()
    with one, other:
        shell = ["/bin/sh", "-c", 'exec "$0" >&- 2>&-', letterbox]
        assert letter(*shell, stdin=one.fileno()).kinds == (SOCKET, CLOSED, CLOSED)


def test_two_letterboxes_are_refused(
    compiled: Callable[..., Path], freeze: Callable[..., "Completed[str]"], tmp_path: Path
) -> None:
    result = freeze(compiled("letterbox.c", "-DSECOND"), output=tmp_path / "image")
    assert result.returncode == 1
    assert "more than one letterbox" in result.stderr


# Python programs that know nothing of nativecgi.


def virtual_environment(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


@pytest.mark.parametrize("which", ["the system's", "this one", "a virtual environment's"])
def test_a_plain_python_program_goes_on(
    frozen: Callable[..., Path], programs: Path, tmp_path: Path, which: str
) -> None:
    system = Path("/usr/bin/python3")
    if which == "the system's" and not system.exists():
        pytest.skip(f"there is no {system}")
    python = {
        "the system's": lambda: system,
        "this one": lambda: Path(sys.executable),
        "a virtual environment's": lambda: virtual_environment(tmp_path / "venv"),
    }[which]()
    image = frozen(python, programs / "stops.py")
    with subprocess.Popen([image], env={}, stdout=subprocess.PIPE, text=True) as process:
        output, _errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, f"{process.pid} goes on\n")
