"""The whole of freezing, step by step."""

import platform
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from freezer import checks, image, tracee
from freezer.capture import capture
from freezer.debug import mapped_files, side_file
from freezer.errors import CannotFreeze, Unsupported
from freezer.prepare import prepare
from freezer.trial import written_to

# Set for the traced program, to 32 hexadecimal digits that mark its letterbox. A program that
# finds it stops itself with SIGSTOP at its freeze point.
FREEZE_POINT = "FREEZE_POINT"

# glibc chooses among its functions by what the CPU can do, once, and the choice is frozen; what
# is taken from it here was added after the first x86-64 CPUs. rseq(2) registers memory with the
# kernel, for which a thaw could not answer.
_TUNABLES = (
    "glibc.pthread.rseq=0:glibc.cpu.hwcaps=-SSSE3,-SSE4_1,-SSE4_2,-POPCNT,-AVX,-AVX2,-AVX512F,"
    "-FMA,-FMA4,-BMI1,-BMI2,-LZCNT,-MOVBE,-XSAVE,-XSAVEC,-AVX_Fast_Unaligned_Load"
)
# OpenSSL chooses likewise (OPENSSL_ia32cap(3)). From the first of its five words the upper half
# is taken, in which CPUID tells what came after SSE2; the others are about later CPUs still.
_OPENSSL_CAPABILITIES = "~0xffffffff00000000:0:0:0:0"
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Without them a program that asks for its home gets the builder's, from the user database.
    "HOME": "/nonexistent",
    "USER": "nobody",
    "LOGNAME": "nobody",
    "GLIBC_TUNABLES": _TUNABLES,
    "OPENSSL_ia32cap": _OPENSSL_CAPABILITIES,
    # Every symbol is looked up now: a thaw has no time for it, and less memory to write to.
    "LD_BIND_NOW": "1",
    # numpy's and scipy's library starts threads when it is loaded, which cannot be frozen.
    "OPENBLAS_NUM_THREADS": "1",
}

SECONDS = 60.0


def freeze(
    command: Sequence[str],
    output: Path,
    *,
    environment: Mapping[str, str] | None = None,
    trial: Mapping[str, str] | None = None,
    forget: Path | None = None,
    debug: Path | None = None,
    seconds: float = SECONDS,
) -> str:
    """Run `command` up to its freeze point and write it as an executable file to `output`.

    It runs with a minimal environment of its own, to which `environment` is added, and has
    `seconds` to get there. With `trial`, an environment, the frozen program is then run once
    in an empty folder to learn which memory it writes to, and made faster by that. `forget` is
    the path of a folder that the image must not know, such as a temporary one that anybody
    could make again. `debug` is a file to write beside the image what a debugger has to know.
    Returns what the program printed on its way to the freeze point.

    Raises CannotFreeze or Unsupported, having written nothing, where the program or this
    machine do not allow it, and OSError where `output` cannot be written.
    """
    require_support()
    for path in filter(None, (output, debug)):
        if not path.parent.is_dir():
            raise CannotFreeze(f"there is no folder {path.parent} to write {path.name} to")
    token = secrets.token_bytes(16)
    environment = {**ENVIRONMENT, **(environment or {}), FREEZE_POINT: token.hex()}
    older_files = checks.temporary_files()
    with tracee.started(command, environment) as process:
        prepared = prepare(process)
        process.run_to_freeze_point(seconds)
        snapshot = capture(process, prepared, token, older_files, forget)
        printed = process.output.text()
        mapped = [] if debug is None else list(mapped_files(process.pid))
    if trial is None:
        image.write(output, snapshot, prepared.stub_address)
    else:
        # Beside the output, where programs may be executed: a /tmp may forbid it.
        with tempfile.TemporaryDirectory(prefix=".freezer-", dir=output.parent) as folder:
            draft = Path(folder, "draft")
            image.write(draft, snapshot, prepared.stub_address)
            ranges = written_to(draft, trial, seconds)
        image.write(output, snapshot, prepared.stub_address, ranges)
    if debug is not None:
        debug.write_bytes(side_file(mapped))
    return printed


def require_support() -> None:
    """Raise Unsupported unless this is a machine whose processes can be frozen."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        raise Unsupported(
            f"freezing needs 64-bit Linux on x86-64; this is {platform.system()} on "
            f"{platform.machine()}"
        )
    if platform.libc_ver()[0] != "glibc":
        raise Unsupported("freezing needs the GNU C library, and this Python runs on another")
