"""Looks for input that is not treated as it should be: python -m fuzz TARGET SECONDS.

A target is a file beside this one with a function `check`: exchange has requests for it, and
fastcgi what a FastCGI server sends. It starts from those in fuzz/corpus, and keeps what it finds on
the way in build/fuzz for the next time. One that fails is written to fuzz/crashes and ends it with
another status than 0: `python -m fuzz TARGET FILE` shows how it fails. `python -m fuzz TARGET
--keep` adds to fuzz/corpus what takes the library's code along a path that nothing there takes.
"""

import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

FOLDER = Path(__file__).parent
CORPUS, CRASHES = FOLDER / "corpus", FOLDER / "crashes"
FOUND = FOLDER.parent / "build" / "fuzz"
LONGEST = 1000  # bytes of an input

# From a line of a function to the next.
Step = tuple[CodeType, int, int]


def fuzz(target: str, *arguments: str) -> None:
    """Hand over to atheris, which ends the process."""
    import atheris

    # What is imported in here tells atheris which of its code runs.
    with atheris.instrument_imports(include=["nativecgi", "multipart", f"fuzz.{target}"]):
        import multipart  # noqa: F401  # the library does so later

        check = check_of(target)

    options = [f"-max_len={LONGEST}", f"-dict={FOLDER / target}.dict", "-timeout=10"]
    options += ["-print_final_stats=1", f"-artifact_prefix={CRASHES / target}/"]
    atheris.Setup([sys.argv[0], *options, *arguments], check)
    atheris.Fuzz()


def check_of(target: str) -> Callable[[bytes], None]:
    """What a target does with an input: it raises where something is wrong."""
    check: Callable[[bytes], None] = import_module(f"fuzz.{target}").check
    return check


def keep(target: str) -> None:
    """Add what has been found to the corpus, the shortest first, where it shows something new."""
    check, corpus = check_of(target), CORPUS / target
    taken: set[Step] = set()
    found = sorted((FOUND / target).iterdir(), key=lambda path: (path.stat().st_size, path.name))
    for path in [*corpus.iterdir(), *found]:
        steps = steps_of(check, path.read_bytes())
        if path.parent != corpus and not steps <= taken:
            shutil.copy(path, corpus)
            print(f"{path.name}: {len(steps - taken)} new")
        taken |= steps


def steps_of(check: Callable[[bytes], None], data: bytes) -> set[Step]:
    """The steps that the library and its parser of forms take for an input."""
    steps: set[Step] = set()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        if not frame.f_globals.get("__name__", "").startswith(("nativecgi.", "multipart")):
            return None
        last = frame.f_lineno

        def step(frame: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal last
            steps.add((frame.f_code, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return steps


def main(target: str, argument: str) -> None:
    """Do what the argument says."""
    for folder in (CRASHES, FOUND):
        (folder / target).mkdir(parents=True, exist_ok=True)
    if argument == "--keep":
        keep(target)
    elif Path(argument).is_file():
        fuzz(target, argument)
    else:
        time = f"-max_total_time={int(argument)}"
        fuzz(target, time, str(FOUND / target), str(CORPUS / target))


main(*sys.argv[1:])
