"""The C compiler that is here, for the freezer's few pieces of assembly and C."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nativecgi_build.freezer.errors import Unsupported

# A library of functions that nothing but what is marked as public is seen of.
LIBRARY = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-s")


def compiled(sources: Sequence[Path], output: Path, *options: str) -> Path:
    """Compile files to `output`, which is returned; raises Unsupported where that fails."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unsupported("freezing needs a C compiler (cc): apt-get install gcc libc6-dev")
    command = [compiler, *options, "-o", str(output), *map(str, sources)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Unsupported(f"{' '.join(command)} failed:\n{result.stderr}")
    return output
