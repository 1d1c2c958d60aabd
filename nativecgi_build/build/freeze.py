"""The third stage: a program is run to its freeze point, and written as one file."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import msgspec

from nativecgi_build.build.app import HOOKS, SCRIPT_TRIAL, TRIAL
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.records import Compiled, hashed
from nativecgi_build.freezer import SECONDS, THEN, Gain, Trial, WouldBeLost

TEMPORARY = Path("/tmp")
# The folder of our own packages, which the freezer is one of.
PACKAGES = Path(__file__).resolve().parents[2]
# Where a program lies as it is frozen to be reproducible, with files of one time: the same in every
# build of it. Others see the name, from which the seed cannot be had.
SAME_FOLDER = "/tmp/nativecgi-{name:.16}"


def freeze(
    command: list[str],
    target: Path,
    *,
    hint: str = HOOKS,
    trial: Mapping[str, str] = TRIAL,
    others: Sequence[Trial] = (),
    folder: Path | None = None,
    forget: Path | None = None,
    debug: Path | None = None,
    map: Path | None = None,
    seed: str | None = None,
    native: bool = False,
    seconds: float = SECONDS,
    preload: Path | None = None,
) -> list[str]:
    """Freeze a command that runs in `folder`; returns what to tell whoever builds it.

    With a folder to `forget`, which it runs in then, for good: tried and made fast.
    """
    # -P: what lies in the folder that the program runs in is not the freezer's.
    freezer = [sys.executable, "-P", "-m", "nativecgi_build.freezer", "--output", str(target)]
    freezer.append(f"--timeout={seconds:g}")
    if forget is not None:
        freezer += [f"--trial={name}={value}" for name, value in trial.items()]
        freezer += [f"--also={msgspec.json.encode(other).decode()}" for other in others]
        freezer += [f"--forget={folder}" for folder in (forget, *_own_python())]
    if debug is not None:
        freezer += ["--debug", str(debug)]
    if map is not None:
        freezer += ["--map", str(map)]
    if seed is not None:
        freezer += ["--seed-file", "/dev/stdin"]  # arguments are everybody's to read
    if native:
        freezer.append("--native")
    if preload is not None:
        freezer += ["--env", f"LD_PRELOAD={preload}"]
    result = subprocess.run(
        [*freezer, "--", *command],
        cwd=forget or folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        input=seed or "",
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        reason = result.stderr.strip().removeprefix("freezer: ")
        is_refused = result.returncode == WouldBeLost.status
        raise BuildError(f"{reason}\n{hint}" if is_refused else reason)
    if not result.stdout:
        return []
    gain = msgspec.json.decode(result.stdout, type=Gain)
    return [f"its heap is laid out: requests write to {gain.after} pages instead of {gain.before}"]


@contextmanager
def neutral_copy(program: Path) -> Iterator[Path]:
    """The program in a folder of its own, whose name tells nothing of the builder.

    Parts of it may stay in memory that has been freed; so it is not where TMPDIR says.
    """
    parent = TEMPORARY if not os.statvfs(TEMPORARY).f_flag & os.ST_NOEXEC else None
    with tempfile.TemporaryDirectory(prefix="nativecgi-", dir=parent) as folder:
        yield Path(shutil.copytree(program.parent, folder, dirs_exist_ok=True), program.name)


@contextmanager
def same_copy(program: Path, seed: str, warn: Callable[[str], None]) -> Iterator[Path]:
    """The program in a folder of its own that is the same in every build of it."""
    folder = _same_folder(seed, warn)
    try:
        shutil.copytree(program.parent, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            os.utime(path, (THEN, THEN))
        yield folder / program.name
    finally:
        shutil.rmtree(folder)


def _same_folder(seed: str, warn: Callable[[str], None]) -> Path:
    """A new folder by the seed; the next one where another user is in the way of the first.

    Raises BuildError where another build uses it.
    """
    for number in count():
        name = hashed(msgspec.json.encode(["the folder's name", seed, number]))
        folder = Path(SAME_FOLDER.format(name=name))
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if (owner := folder.lstat().st_uid) == os.geteuid():
                raise BuildError(
                    f"{folder} is there: wait for the other build of this program, or remove it"
                ) from None
            warn(
                f"user {owner} has made {folder}, so the program is frozen in another folder, and "
                "other builds of it have other bytes: have that folder removed and build again"
            )
        else:
            return folder
    raise AssertionError("there is always a next number")


def _own_python() -> Iterator[Path]:
    """The folder that Python is installed in, if it may tell of who has installed it."""
    if not sys.base_prefix.startswith("/usr"):
        yield Path(sys.base_prefix)


def seed_of(compiled: Compiled, secret: str) -> str:
    """What a reproducible program derives from: not from where its sources lie."""
    contents = sorted(compiled.sources.values())
    now = os.environ.get("SOURCE_DATE_EPOCH")  # what the program takes for the time
    return hashed(msgspec.json.encode([contents, compiled.tools, freezer_hash(), secret, now]))


def freezer_hash() -> str:
    """The digest of all that has a say in how a program is frozen."""
    own = Path(__file__).resolve().parent
    files = [*sorted((own.parent / "freezer").glob("*.[pSc]*")), Path(__file__)]
    files += [own / "packing.py", own / "pipeline.py", own / "gather.py", own.parent / "explain.py"]
    return hashed(b"".join(path.read_bytes() for path in files) + repr(SCRIPT_TRIAL).encode())
