"""The whole of freezing, step by step."""

import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from nativecgi_build.freezer import checks, heap, image, paths, placement, procfs, tracee
from nativecgi_build.freezer.capture import capture
from nativecgi_build.freezer.chance import Chance
from nativecgi_build.freezer.debug import MappedFile, mapped_files, side_file
from nativecgi_build.freezer.determinism import THEN, Determinism
from nativecgi_build.freezer.errors import CannotFreeze, FreezerError, Unsupported, WouldBeLost
from nativecgi_build.freezer.linux import PAGE
from nativecgi_build.freezer.mapfile import map_file
from nativecgi_build.freezer.prepare import prepare
from nativecgi_build.freezer.snapshot import Area, Snapshot, Touch
from nativecgi_build.freezer.trial import touched
from nativecgi_build.freezer.watch import Touched, Trial, merged, watched

# Set for the traced program, to 32 hexadecimal digits that mark its letterbox. A program that
# finds it stops itself with SIGSTOP at its freeze point.
FREEZE_POINT = "FREEZE_POINT"
# Set as well when a program runs once more, since it is refused for what it has left open: it may
# print where that was opened.
FREEZE_EXPLAIN = "FREEZE_EXPLAIN"

# What a map of the memory calls the image heap.
_HEAP = "[image heap]"

# rseq(2) registers memory with the kernel, for which a thaw could not answer.
_TUNABLES = "glibc.pthread.rseq=0"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Without them a program that asks for its home gets the builder's, from the user database.
    "HOME": "/nonexistent",
    "USER": "nobody",
    "LOGNAME": "nobody",
    "GLIBC_TUNABLES": _TUNABLES,
    # Every symbol is looked up now: a thaw has no time for it, and less memory to write to.
    "LD_BIND_NOW": "1",
    # numpy's and scipy's library starts threads when it is loaded, which cannot be frozen.
    "OPENBLAS_NUM_THREADS": "1",
}
# For an image that runs on any x86-64 CPU, too.
PORTABLE = {
    # glibc chooses among its functions by what the CPU can do, once, and the choice is frozen; what
    # is taken from it here was added after the first x86-64 CPUs.
    "GLIBC_TUNABLES": f"{_TUNABLES}:glibc.cpu.hwcaps=-SSSE3,-SSE4_1,-SSE4_2,-POPCNT,-AVX,-AVX2,"
    "-AVX512F,-FMA,-FMA4,-BMI1,-BMI2,-LZCNT,-MOVBE,-XSAVE,-XSAVEC,-AVX_Fast_Unaligned_Load",
    # OpenSSL chooses likewise (OPENSSL_ia32cap(3)). From the first of its five words the upper half
    # is taken, in which CPUID tells what came after SSE2; the others are about later CPUs still.
    "OPENSSL_ia32cap": "~0xffffffff00000000:0:0:0:0",
}

SECONDS = 60.0
# A program that is to be reproducible is stopped at each of its system calls: where there are a
# hundred thousand, as where objects become immortal, that takes ten times as long.
TIMES_AS_LONG = 10


class Gain(Struct, frozen=True):
    """On how many pages of the program's heap there is what a process writes to."""

    before: int
    after: int


class Result(Struct, frozen=True):
    """What there is to say of a program that has been frozen."""

    printed: str  # by it, on its way to the freeze point
    gain: Gain | None = None  # if its memory was laid out


def freeze(
    command: Sequence[str],
    output: Path,
    *,
    environment: Mapping[str, str] | None = None,
    trial: Mapping[str, str] | None = None,
    also: Sequence[Trial] = (),
    forget: Sequence[Path] = (),
    debug: Path | None = None,
    map: Path | None = None,
    seconds: float = SECONDS,
    seed: bytes | None = None,
    native: bool = False,
) -> Result:
    """Run `command` up to its freeze point and write it as an executable file to `output`.

    It runs with a minimal environment of its own, to which `environment` is added, and has
    `seconds` to get there, or ten times as long with a `seed`. With `trial`, an environment, its
    memory is laid out for a process: the frozen program is run in an empty folder, to see what it
    touches of its memory, and so it is with what there is in `also`. `forget` are the paths of
    folders that the image must not know, such as a
    temporary one that anybody could make again. `debug` is a file to write beside the image what
    a debugger has to know, and `map` one for what its memory was mapped from (mapfile.py).
    A `native` image may be faster than others, and not run on CPUs that lack what this one has.
    With a `seed` the same program gives the same image; who knows the seed can tell its addresses
    and random values.

    Raises CannotFreeze or Unsupported, having written nothing, where the program or this
    machine do not allow it, and OSError where `output` cannot be written.
    """
    require_support()
    for path in filter(None, (output, debug, map)):
        if not path.parent.is_dir():
            raise CannotFreeze(f"there is no folder {path.parent} to write {path.name} to")
    for path in forget:
        if len(os.fspath(path)) <= paths.TOO_SHORT:
            raise CannotFreeze(f"{path} is too short to be replaced by a path below /proc")
    chance = Chance(seed)
    if chance.is_seeded:
        seconds *= TIMES_AS_LONG
    token = chance.bytes(16)
    basis = ENVIRONMENT if native else ENVIRONMENT | PORTABLE
    program = _Program(
        command,
        {**basis, **(environment or {}), FREEZE_POINT: token.hex()},
        token,
        seconds,
        forget,
        has_debugger=debug is not None,
    )
    touches: list[Touch] = []
    gain = None
    try:
        if trial is None:
            frozen = _frozen(program, chance)
        else:
            frozen, touches, gain = _laid_out(program, chance, (Trial(trial), *also), output.parent)
    except WouldBeLost as refusal:
        explained = _explained(program, chance) if refusal.has_descriptors else None
        raise explained or refusal from None
    image.write(output, frozen.snapshot, frozen.stub_address, touches)
    if debug is not None:
        debug.write_bytes(side_file(frozen.files))
    if map is not None:
        map.write_text(map_file(frozen.mappings, frozen.snapshot.memory))
    return Result(frozen.printed, gain)


class _Program(Struct, frozen=True):
    """The program to freeze."""

    command: Sequence[str]
    environment: dict[str, str]
    token: bytes
    seconds: float
    forget: Sequence[Path]
    has_debugger: bool  # that is to be told of its files


class _Frozen(Struct, frozen=True):
    """What is read from the program at its freeze point."""

    snapshot: Snapshot
    stub_address: int
    printed: str
    mappings: list[procfs.Mapping]
    files: list[MappedFile]  # for a debugger
    sealed: heap.Sealed


def _laid_out(
    program: _Program, chance: Chance, trials: Sequence[Trial], where: Path
) -> tuple[_Frozen, list[Touch], Gain | None]:
    """Freeze the program with its memory laid out for a process (heap.c).

    Which pages a process touches shows in a first image, which blocks on them in a second, where
    each has a page.

    Returns it with what a process is to touch first, and what was gained. Programs may be executed
    in the folder `where`: a /tmp may forbid it.
    """
    with tempfile.TemporaryDirectory(prefix=".freezer-", dir=where) as name:
        folder, draft = Path(name), Path(name, "draft")
        library = heap.library(folder, chance)

        def started(preload: Path) -> _Frozen:
            frozen = _frozen(program, chance, preload)
            image.write(draft, frozen.snapshot, frozen.stub_address)
            return frozen

        def seen(areas: list[Area]) -> Touched:
            return merged(watched(draft, trial, program.seconds, areas) for trial in trials)

        plan: heap.Plan = {}
        gain = None
        if not chance.is_seeded:  # what is touched is not the same each time
            first = started(library.recording())
            blocks = first.sealed.blocks
            pages = seen(heap.areas(blocks, first.snapshot.memory))
            found = heap.on_pages(blocks, pages)
            apart = heap.apart(found)
            start = started(library.planned(apart)).sealed.start
            area = (start, start + len(apart) * PAGE)
            needed = seen([area] if start else [])
            written, read = (
                heap.at_pages(apart, start, which) for which in (needed.written, needed.read)
            )
            plan = heap.together(written, read, found, blocks)
            gain = Gain(len(pages.written), heap.page_count(written))
        frozen = started(library.planned(plan))
        touches = touched(draft, trials[0].environment, program.seconds, _answers(chance))
        return frozen, touches, gain


def _frozen(program: _Program, chance: Chance, preload: Path | None = None) -> _Frozen:
    """Run the program to its freeze point and read it there; raises what `freeze` raises.

    `preload` is a library that is loaded before its own.
    """
    older_files = checks.temporary_files()
    answers = _answers(chance)
    with tracee.started(
        program.command, program.environment, answers=answers, preload=preload
    ) as process:
        placed = placement.place(process, chance)
        prepared = prepare(process, placed.stack_area)
        process.run_to_freeze_point(program.seconds)
        placement.give_back(process, placed)
        sealed = heap.seal(process) if preload else heap.Sealed()
        snapshot = capture(process, prepared, program.token, older_files, program.forget)
        return _Frozen(
            snapshot,
            prepared.stub_address,
            process.output.text(),
            [_named(mapping, preload) for mapping in procfs.mappings(process.pid)],
            list(mapped_files(process.pid)) if program.has_debugger else [],
            sealed,
        )


def _named(mapping: procfs.Mapping, preload: Path | None) -> procfs.Mapping:
    """The mapping, which is of no file if it is of a library that is about to be removed."""
    is_ours = preload is not None and mapping.path == os.path.realpath(preload)
    return replace(mapping, path=_HEAP) if is_ours else mapping


def _explained(program: _Program, chance: Chance) -> WouldBeLost | None:
    """The refusal of a program that has been asked to tell more; None if it is another matter."""
    environment = program.environment | {FREEZE_EXPLAIN: "1"}
    try:
        _frozen(replace(program, environment=environment), chance)
    except WouldBeLost as refusal:
        return refusal
    except FreezerError:
        pass
    return None


def _answers(chance: Chance) -> Determinism | None:
    """What the program hears of chance and time, where that is not the kernel's to say."""
    return Determinism(chance, _now()) if chance.is_seeded else None


def _now() -> int:
    """The time of a reproducible build; see https://reproducible-builds.org/specs/."""
    try:
        return int(os.environ.get("SOURCE_DATE_EPOCH", THEN))
    except ValueError as error:
        raise Unsupported(f"SOURCE_DATE_EPOCH is no number of seconds: {error}") from error


def require_support() -> None:
    """Raise Unsupported unless this is a machine whose processes can be frozen."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        raise Unsupported(
            f"freezing needs 64-bit Linux on x86-64; this is {platform.system()} on "
            f"{platform.machine()}"
        )
    if platform.libc_ver()[0] != "glibc":
        raise Unsupported("freezing needs the GNU C library, and this Python runs on another")
