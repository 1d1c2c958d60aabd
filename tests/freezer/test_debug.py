"""A frozen program that crashes tells where: by Python's own means, and to gdb by its side file."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

ROOT = Path(__file__).parents[2]
Freeze = Callable[..., "subprocess.CompletedProcess[str]"]
Core = Callable[..., Path]
SECONDS = 60

# Where the core file of a process goes that ends in its folder.
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()


class Program:
    """An image and its side file, alone in a folder."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "program"
        self.side_file = folder / "program.debug"

    def run(
        self, env: Mapping[str, str], cwd: Path | None = None, *, core: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        return subprocess.run(
            [self.image],
            env=env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard * core, hard)),
        )


@pytest.fixture(scope="module")
def freeze_with_side_file(
    freeze: Freeze, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Program]:
    def frozen(*command: "str | Path", options: tuple[str, ...] = ()) -> Program:
        program = Program(tmp_path_factory.mktemp("with-side-file"))
        options = (*options, "--debug", str(program.side_file))
        result = freeze(*command, output=program.image, options=options)
        assert result.returncode == 0, result.stderr
        return program

    return frozen


@pytest.fixture(scope="module")
def aborting(
    freeze_with_side_file: Callable[..., Program], compiled: Callable[..., Path]
) -> Program:
    """A C program that aborts, some calls deep."""
    return freeze_with_side_file(compiled("aborts.c"))


@pytest.fixture(scope="module")
def plain(freeze_with_side_file: Callable[..., Program], programs: Path) -> Program:
    """A Python program that ends as END says."""
    command = (sys.executable, programs / "crashes.py")
    return freeze_with_side_file(*command, options=("-e", f"PYTHONPATH={ROOT}"))


@pytest.fixture(scope="module")
def handling_faults(freeze_with_side_file: Callable[..., Program], programs: Path) -> Program:
    """The same, with faulthandler enabled before its freeze point."""
    command = (sys.executable, programs / "crashes.py")
    options = ("-e", f"PYTHONPATH={ROOT}", "-e", "FAULTHANDLER=1")
    return freeze_with_side_file(*command, options=options)


@pytest.fixture
def core(tmp_path: Path) -> Core:
    """Has a program end by a signal: `core(program, variables, signal)` is its core file."""

    def crash(program: Program, env: Mapping[str, str], number: signal.Signals) -> Path:
        if "/" in CORE_PATTERN or CORE_PATTERN.startswith("|"):
            pytest.skip(f"core files do not go where a program ends, but to {CORE_PATTERN}")
        if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
            pytest.skip("core files are forbidden here: their size has a hard limit of 0")
        folder = tmp_path / "crashed"
        folder.mkdir()
        result = program.run(env, folder, core=True)
        assert result.returncode == -number, result.stderr
        (file,) = folder.iterdir()
        return file

    return crash


def backtrace(*arguments: "str | Path") -> list[str]:
    """The names of the functions that gdb finds on the stack, the innermost first."""
    if shutil.which("gdb") is None:
        pytest.skip("there is no gdb")
    command = ["gdb", "-batch", "-nx", *map(str, arguments), "-ex", "echo \\nSTACK\\n", "-ex", "bt"]
    # It is to find what it is given, and nothing on a server of debugging information.
    env = {**os.environ, "LC_ALL": "C", "DEBUGINFOD_URLS": ""}
    result = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    stack = result.stdout.partition("\nSTACK\n")[2]
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(<.*>|\S+)", stack, re.MULTILINE)


def line_of(path: Path, text: str) -> int:
    """The number of the only line that has this text."""
    (number,) = [n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return number


def is_in_order(names: list[str], stack: list[str]) -> bool:
    """These are on the stack in this order, with others between them."""
    rest = iter(stack)
    return all(name in rest for name in names)


# Python's own means.


def test_an_exception_s_traceback_has_file_and_line(plain: Program, programs: Path) -> None:
    source = programs / "crashes.py"
    result = plain.run({"END": "fail"})
    assert result.returncode == 1
    line = line_of(source, 'raise LookupError("on purpose")')
    assert f'File "{source}", line {line}, in fail\n' in result.stderr
    assert result.stderr.endswith("\nLookupError: on purpose\n")


@pytest.mark.parametrize(
    ("end", "number", "called", "line"),
    [
        ("follow_null", signal.SIGSEGV, "Segmentation fault", "ctypes.string_at(0)"),
        ("abort", signal.SIGABRT, "Aborted", "os.abort()"),
    ],
)
def test_faulthandler_tells_of_a_crash_with_file_and_line(
    handling_faults: Program,
    programs: Path,
    end: str,
    number: signal.Signals,
    called: str,
    line: str,
) -> None:
    source = programs / "crashes.py"
    result = handling_faults.run({"END": end})
    assert result.returncode == -number
    assert result.stderr.startswith(f"Fatal Python error: {called}\n")
    assert f'File "{source}", line {line_of(source, line)} in {end}\n' in result.stderr


def test_without_faulthandler_a_crash_is_silent(plain: Program) -> None:
    result = plain.run({"END": "follow_null"})
    assert (result.returncode, result.stderr) == (-signal.SIGSEGV, "")


# A core file in gdb.


def test_a_backtrace_has_the_functions_of_the_program_and_of_libc(
    aborting: Program, core: Core
) -> None:
    stack = backtrace(aborting.side_file, core(aborting, {}, signal.SIGABRT))
    assert is_in_order(["raise", "abort", "give_up", "go_on", "go_on", "go_on", "main"], stack)


def test_a_backtrace_has_the_functions_of_libpython(plain: Program, core: Core) -> None:
    stack = backtrace(plain.side_file, core(plain, {"END": "abort"}, signal.SIGABRT))
    names = ["abort", "_PyEval_EvalFrameDefault", "PyEval_EvalCode", "Py_RunMain", "Py_BytesMain"]
    assert is_in_order(names, stack)


def test_a_backtrace_goes_through_a_signal_s_handler(handling_faults: Program, core: Core) -> None:
    file = core(handling_faults, {"END": "follow_null"}, signal.SIGSEGV)
    stack = backtrace(handling_faults.side_file, file)
    names = ["raise", "<signal handler called>", "ffi_call", "_PyEval_EvalFrameDefault"]
    assert is_in_order(names, stack)


def test_a_function_without_a_name_is_called_by_its_place(
    freeze_with_side_file: Callable[..., Program], compiled: Callable[..., Path], core: Core
) -> None:
    """Most libraries are stripped; what is left is for addr2line, or objdump, to look up."""
    program = freeze_with_side_file(compiled("aborts.c", "-s"))
    stack = backtrace(program.side_file, core(program, {}, signal.SIGABRT))
    assert "??" not in stack
    assert "main" not in stack
    assert len([name for name in stack if re.fullmatch(r"aborts\+0x[0-9a-f]+", name)]) >= 5


def test_a_backtrace_needs_nothing_but_side_file_and_core_file(
    freeze_with_side_file: Callable[..., Program],
    compiled: Callable[..., Path],
    core: Core,
    tmp_path: Path,
) -> None:
    executable = tmp_path / "aborts"
    shutil.copy2(compiled("aborts.c"), executable)
    program = freeze_with_side_file(executable)
    file = core(program, {}, signal.SIGABRT)
    executable.unlink()
    program.image.unlink()
    stack = backtrace("-iex", "set sysroot /nonexistent", program.side_file, file)
    assert is_in_order(["raise", "abort", "give_up", "go_on", "main"], stack)


def test_the_side_file_may_be_named_beside_the_image(aborting: Program, core: Core) -> None:
    """Then gdb does not remark that the core file's program has another name."""
    file = core(aborting, {}, signal.SIGABRT)
    stack = backtrace("-e", aborting.image, "-s", aborting.side_file, "-c", file)
    assert is_in_order(["raise", "abort", "give_up", "go_on", "main"], stack)


def test_without_a_side_file_there_is_no_backtrace(aborting: Program, core: Core) -> None:
    """So that the tests above find what they look for in the side file alone."""
    assert "abort" not in backtrace(aborting.image, core(aborting, {}, signal.SIGABRT))


# The side file.


def test_readelf_finds_nothing_wrong_with_it(plain: Program) -> None:
    command = ["readelf", "--wide", "--all", "--debug-dump=frames", str(plain.side_file)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert "_PyEval_EvalFrameDefault" in result.stdout


@pytest.fixture(scope="module")
def side_file(aborting: Program) -> ELFFile:
    return ELFFile(BytesIO(aborting.side_file.read_bytes()))


@pytest.fixture(scope="module")
def symbols(side_file: ELFFile) -> SymbolTableSection:
    table = side_file.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    return table


def test_its_sections_lie_where_the_image_has_the_files(
    side_file: ELFFile, aborting: Program
) -> None:
    with aborting.image.open("rb") as file:
        segments = [
            (s["p_vaddr"], s["p_vaddr"] + s["p_memsz"])
            for s in ELFFile(file).iter_segments("PT_LOAD")
        ]
    code = [s for s in side_file.iter_sections() if s["sh_flags"] & 4]
    assert {s.name for s in code} >= {"aborts", "libc.so.6"}
    for section in code:
        start, end = section["sh_addr"], section["sh_addr"] + section["sh_size"]
        assert any(first <= start and end <= last for first, last in segments)


def test_it_holds_nothing_of_memory_itself(side_file: ELFFile) -> None:
    kinds = {s.name: s["sh_type"] for s in side_file.iter_sections() if s["sh_flags"] & 2}
    assert set(kinds.values()) == {"SHT_NOBITS"}


def test_every_symbol_lies_in_its_section(side_file: ELFFile, symbols: SymbolTableSection) -> None:
    count = 0
    for symbol in symbols.iter_symbols():
        if isinstance(index := symbol["st_shndx"], int):
            section = side_file.get_section(index)
            assert 0 <= symbol["st_value"] - section["sh_addr"] < section["sh_size"], symbol.name
            count += 1
    assert count > 1000


def test_its_entry_is_the_executable_s(side_file: ELFFile, symbols: SymbolTableSection) -> None:
    """Where gdb takes a stack to end."""
    starts = [
        symbol
        for symbol in symbols.get_symbol_by_name("_start") or ()
        if symbol["st_value"] == side_file["e_entry"]
    ]
    assert [side_file.get_section(symbol["st_shndx"]).name for symbol in starts] == ["aborts"]


def test_local_symbols_come_first(symbols: SymbolTableSection) -> None:
    bindings = [symbol["st_info"]["bind"] == "STB_LOCAL" for symbol in symbols.iter_symbols()]
    assert bindings == sorted(bindings, reverse=True)
    assert sum(bindings) == symbols["sh_info"]


def test_every_code_address_is_at_most_once_in_its_unwinding_table(aborting: Program) -> None:
    command = ["readelf", "--debug-dump=frames", str(aborting.side_file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    places = re.findall(r" FDE cie=\S+ pc=([0-9a-f]+)\.\.([0-9a-f]+)$", output, re.MULTILINE)
    entries = sorted((int(start, 16), int(end, 16)) for start, end in places)
    assert len(entries) > 1000
    for (_start, end), (following, _end) in pairwise(entries):
        assert end <= following


def test_a_debugger_does_not_look_for_libraries_by_it(symbols: SymbolTableSection) -> None:
    """It would read what lies at their places now, which may be other versions."""
    assert symbols.get_symbol_by_name("_r_debug") is None
    assert symbols.get_symbol_by_name("__libc_enable_secure")  # of the dynamic linker too


def test_it_knows_nothing_of_the_builder_s_folders(
    freeze_with_side_file: Callable[..., Program], compiled: Callable[..., Path], tmp_path: Path
) -> None:
    executable = tmp_path / "the-builder-s-folder" / "aborts"
    executable.parent.mkdir()
    shutil.copy2(compiled("aborts.c", "-g"), executable)
    content = freeze_with_side_file(executable, "the-argument").side_file.read_bytes()
    assert b"aborts\0" in content
    for trace in (b"the-builder-s-folder", b"the-argument", b"/lib", str(ROOT).encode()):
        assert trace not in content


def test_it_is_no_program(aborting: Program) -> None:
    assert aborting.side_file.stat().st_mode & 0o111 == 0


def test_a_refused_program_leaves_none(
    freeze: Freeze, compiled: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    options = ["--debug", str(out / "program.debug")]
    result = freeze(compiled("refused.c"), "leave", output=out / "program", options=options)
    assert result.returncode == 1
    assert not list(out.iterdir())


def test_a_folder_that_does_not_exist_is_named_before_anything_is_run(
    freeze: Freeze, tmp_path: Path
) -> None:
    options = ["--debug", str(tmp_path / "nowhere" / "program.debug")]
    result = freeze("/bin/touch", tmp_path / "run", output=tmp_path / "program", options=options)
    assert result.returncode == 1
    assert f"there is no folder {tmp_path / 'nowhere'} to write program.debug to" in result.stderr
    assert not list(tmp_path.iterdir())
