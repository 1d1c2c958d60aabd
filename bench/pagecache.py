"""A program's file in the two states that the page cache can have it in.

A file that was just written in large pieces lies in memory in pieces as large (folios), and is
mapped faster than one that was read back since, which is what every file is some day.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.programs import Program

WRITE = 2 * 2**20  # bytes at a time: as large as the largest folio on x86-64

# Folders of names as long: a program that looks for its own path has the same work in both.
_EVICTED, _WRITTEN = "evicted", "written"


class Copies(Struct, frozen=True):
    """A program's files, to be evicted and read back, and just written."""

    evicted: Program
    written: Program | None  # where the program is one binary file


@contextmanager
def copied(programs: list[Program], folder: Path) -> Iterator[dict[Program, Copies]]:
    """Copies of the programs, in a `folder` that is there meanwhile; none is evicted yet.

    A script, whose interpreter is what counts, and a program of several files stay where they are.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for name in (_EVICTED, _WRITTEN):
            (folder / name).mkdir(parents=True)
        yield {program: _copies(program, folder) for program in programs}
    finally:
        shutil.rmtree(folder)


def evict(program: Program) -> None:
    """Drop a program's files from memory, as far as they are no others': as a reboot does."""
    for file in program.files():
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)  # what is not written yet is not dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def is_script(program: Program) -> bool:
    """Whether its file is little of what has to be in memory."""
    with program.path.open("rb") as file:
        return file.read(2) == b"#!"


def _copies(program: Program, folder: Path) -> Copies:
    if program.folder is not None or is_script(program):
        return Copies(program, None)
    evicted, written = (
        replace(program, path=_written(program.path, folder / name / program.path.name))
        for name in (_EVICTED, _WRITTEN)
    )
    return Copies(evicted, written)


def _written(source: Path, target: Path) -> Path:
    data = memoryview(source.read_bytes())
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    for start in range(0, len(data), WRITE):
        os.write(descriptor, data[start : start + WRITE])
    os.fsync(descriptor)  # not while others are timed
    os.close(descriptor)
    return target
