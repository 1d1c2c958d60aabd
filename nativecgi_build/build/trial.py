"""The last stage: a finished program answers a request, as under a server."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from nativecgi.frozen.rehearsal import SERVER
from nativecgi_build.build.app import TRIAL, App
from nativecgi_build.build.errors import BuildError
from nativecgi_build.freezer import Trial

# A page that no app has.
_NOWHERE = "/.nativecgi/nowhere"

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


def others_of(app: App, trial: Mapping[str, str], warmup: Iterable[Trial]) -> list[Trial]:
    """All requests but the trial that the memory of an app's program is laid out for.

    These are the others of its `warmup`, the trial as HEAD, and HEAD of a page that is not there.
    What its author has not listed is asked for in no other way: that may have effects. Nor is a
    script or an application asked for what it has not been asked for.
    """
    others = [Trial({**trial, **other.environment}, other.input) for other in warmup]
    if not app.is_foreign:
        head = {**trial, "REQUEST_METHOD": "HEAD"}
        uri = SERVER["SCRIPT_NAME"] + _NOWHERE
        nowhere = {**head, "PATH_INFO": _NOWHERE, "REQUEST_URI": uri, "QUERY_STRING": ""}
        others += [Trial(variables) for variables in (head, nowhere) if variables != trial]
    return others
