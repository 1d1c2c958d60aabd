"""Looks for requests that are not answered as they should be: python -m fuzz SECONDS.

It starts from those in fuzz/corpus, and keeps what it finds on the way in build/fuzz for the next
time. One that fails is written to fuzz/crashes and ends it with another status than 0:
`python -m fuzz FILE` shows how it fails. `python -m fuzz --keep` adds to fuzz/corpus what takes
the library's code along a path that nothing there takes.
"""

import shutil
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

FOLDER = Path(__file__).parent
CORPUS, CRASHES = FOLDER / "corpus", FOLDER / "crashes"
FOUND = FOLDER.parent / "build" / "fuzz"
LONGEST = 1000  # bytes of a request

# From a line of a function to the next.
Step = tuple[CodeType, int, int]


def fuzz(*arguments: str) -> None:
    """Hand over to atheris, which ends the process."""
    import atheris

    # What is imported in here tells atheris which of its code runs.
    with atheris.instrument_imports(include=["nativecgi", "multipart", "fuzz.exchange"]):
        import multipart  # noqa: F401  # the library does so later

        from fuzz.exchange import check

    options = [f"-max_len={LONGEST}", f"-dict={FOLDER / 'words.dict'}", "-timeout=10"]
    options += ["-print_final_stats=1", f"-artifact_prefix={CRASHES}/"]
    atheris.Setup([sys.argv[0], *options, *arguments], check)
    atheris.Fuzz()


def keep() -> None:
    """Add what has been found to the corpus, the shortest first, where it shows something new."""
    taken: set[Step] = set()
    found = sorted(FOUND.iterdir(), key=lambda path: (path.stat().st_size, path.name))
    for path in [*CORPUS.iterdir(), *found]:
        steps = steps_of(path.read_bytes())
        if path.parent == FOUND and not steps <= taken:
            shutil.copy(path, CORPUS)
            print(f"{path.name}: {len(steps - taken)} new")
        taken |= steps


def steps_of(data: bytes) -> set[Step]:
    """The steps that the library and its parser of forms take for a request."""
    from fuzz.exchange import check

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


def main(argument: str) -> None:
    """Do what the argument says."""
    for folder in (CRASHES, FOUND):
        folder.mkdir(parents=True, exist_ok=True)
    if argument == "--keep":
        keep()
    elif Path(argument).is_file():
        fuzz(argument)
    else:
        fuzz(f"-max_total_time={int(argument)}", str(FOUND), str(CORPUS))


main(*sys.argv[1:])
