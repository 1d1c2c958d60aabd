"""The last stage: a finished program answers a request, as under a server."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from nativecgi_build.build.app import TRIAL
from nativecgi_build.build.errors import BuildError

TRIAL_RUNS = 3
TRIAL_SECONDS = 30


def try_program(target: Path, trial: Mapping[str, str] = TRIAL) -> tuple[float, str]:
    """Run a program as a server would: milliseconds it takes, and the status it answers with."""
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        times = []
        for _run in range(TRIAL_RUNS):
            started = time.perf_counter()
            result = subprocess.run(
                [target],
                env=trial,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=TRIAL_SECONDS,
            )
            times.append(time.perf_counter() - started)
            if result.returncode or not result.stdout.startswith(b"Status: "):
                raise BuildError(
                    f"the program is built, but answers a request with exit status "
                    f"{result.returncode} and {result.stdout[:200]!r}\n"
                    + result.stderr.decode(errors="replace")
                )
    return statistics.median(times) * 1000, result.stdout.split()[1].decode()
