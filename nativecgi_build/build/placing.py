"""Puts finished programs where they are wanted: `python placing.py FROM TO` copies all of a folder.

A copy has the holes of its file, keeps the mode of the one that it replaces, and is read back into
the page cache in huge pages: a start from what was just written takes longer (docs/frozen.md).
"""

import argparse
import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def place_file(source: Path, target: Path, *, mode: int | None = None) -> None:
    """Replace `target` at once by a copy of `source`, unless it is one already.

    The copy has the mode and owner of the program that it replaces; a new one has `mode`, or what
    the umask leaves.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    older = target.stat() if target.is_file() and not target.is_symlink() else None
    if older is None or not is_copy(source, target):
        is_program = older is not None and older.st_mode & stat.S_IXUSR
        _replace(source, target, older if is_program else None, mode)
    _remove_folder_of(target)


def _replace(source: Path, target: Path, older: os.stat_result | None, mode: int | None) -> None:
    new = _beside(target)
    new.unlink(missing_ok=True)
    try:
        _copy(source, new)
        if older is not None:
            with suppress(PermissionError):  # only root gives files away
                os.chown(new, older.st_uid, older.st_gid)
            mode = stat.S_IMODE(older.st_mode)
        if mode is not None:
            new.chmod(mode)
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def place_folder(program: Path, target: Path) -> None:
    """Copy the folder that a `program` is in to TARGET.dist, and make `target` a link into it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder, new = _folder_of(target), _beside(target)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(program.parent, folder)
    new.unlink(missing_ok=True)
    new.symlink_to(Path(folder.name, program.name))
    new.replace(target)


def is_copy(one: Path, copy: Path) -> bool:
    """Whether `copy` was made by place_file and neither has been written to since."""
    first, second = one.stat(), copy.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)


def programs(folder: Path) -> Iterator[Path]:
    """The files in a folder that their owner may execute."""
    for path in sorted(folder.iterdir()):
        is_file = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
        if is_file and path.stat().st_mode & stat.S_IXUSR:
            yield path


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _folder_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.dist")


def _remove_folder_of(target: Path) -> None:
    """Remove what place_folder has left of an older build."""
    if (_folder_of(target) / f"{target.name}.bin").is_file():
        shutil.rmtree(_folder_of(target))


def _copy(source: Path, new: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    status = source.stat()
    handle = os.open(new, flags, 0o777 if status.st_mode & stat.S_IXUSR else 0o666)
    with source.open("rb", buffering=0) as reading, os.fdopen(handle, "wb", 0) as writing:
        os.truncate(writing.fileno(), status.st_size)
        for start, end in _data(reading.fileno()):
            writing.seek(start)
            while start < end:
                start += os.sendfile(writing.fileno(), reading.fileno(), start, end - start)
        os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        # Only what is on the disk is dropped from the page cache.
        os.fsync(writing.fileno())
        os.posix_fadvise(writing.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _data(handle: int) -> Iterator[tuple[int, int]]:
    """Where an open file has data, between its holes: starts and ends (lseek(2))."""
    end = 0
    while True:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def main() -> int:
    """Copy the programs of a folder; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="FROM", help="the folder of built programs")
    parser.add_argument("target", type=Path, metavar="TO", help="the folder that a server runs")
    options = parser.parse_args()
    if links := [path.name for path in options.source.iterdir() if path.is_symlink()]:
        print(
            f"Not frozen, so not one file each: {', '.join(sorted(links))}. Copy what is in "
            f"{options.source} yourself.",
            file=sys.stderr,
        )
        return 1
    for program in programs(options.source):
        try:
            mode = stat.S_IMODE(program.stat().st_mode)
            place_file(program, options.target / program.name, mode=mode)
        except OSError as error:
            print(f"{program.name} was not installed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
