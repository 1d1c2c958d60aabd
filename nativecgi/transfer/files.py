"""Files as answers."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO
from urllib.parse import quote

from nativecgi.message.dates import format_date
from nativecgi.message.errors import HTTPError
from nativecgi.message.headers import HeaderFields, lower_name, pairs
from nativecgi.message.mediatypes import media_type
from nativecgi.message.response import Response
from nativecgi.transfer.send import file_length

# What an error of open(2) says where the path is at fault. Others are the machine's: descriptors
# that are used up, a disk that fails.
_NO_FILE = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV),
    )
)
# A folder on the way, of which nothing needs to be read.
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# A name in quotes (RFC 9110 5.6.4), and what RFC 8187 3.2.1 has plain in any other.
_QUOTABLE = frozenset(map(chr, range(32, 127))) - {'"', "\\"}


def file(
    path: str | os.PathLike[str],
    content_type: str = "",
    headers: HeaderFields = (),
    *,
    root: str | os.PathLike[str] | None = None,
    download: str = "",
) -> Response:
    """A regular file, which is not read into memory.

    The answer has a Content-Type that depends on the file's name, an ETag and Last-Modified, so
    conditional requests, and requests for a single range of bytes, are answered too. With `root`,
    `path` is below that folder; it may come from a client, because it cannot lead out of the
    folder, not even through a symbolic link. `download` is the name under which a browser saves the
    file.

    A file that does not know its length, such as those in /proc and /sys, is sent to its end
    without these fields.

    Raises HTTPError (404) if there is no such regular file or if it cannot be read, and OSError if
    the machine is at fault.
    """
    given = pairs(headers)
    names = {lower_name(name) for name, _value in given}
    opened = _opened(path, root)
    try:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise HTTPError(404)
        is_measured = file_length(opened) is not None
    except BaseException:
        opened.close()
        raise
    own = _fields(os.fspath(path), content_type, status if is_measured else None, download)
    return Response(opened, 200, given + [pair for pair in own if pair[0].lower() not in names])


def _opened(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> BinaryIO:
    try:
        if root is None:
            return open(path, "rb", opener=_open)
        top = os.path.realpath(root)
        return open(_below(top, path), "rb", opener=partial(_open_below, top))
    except ValueError as error:  # it cannot be a path
        raise HTTPError(404) from error
    except OSError as error:
        if error.errno in _NO_FILE:
            raise HTTPError(404) from error
        raise


def _below(top: str, path: str | os.PathLike[str]) -> str:
    """Where `path` leads from the folder `top`; raises ValueError where that is not below it."""
    if os.fspath(path).rpartition("/")[2] in ("", ".", ".."):
        raise ValueError(f"{path!r} is the path of a folder")
    real = os.path.realpath(os.path.join(top, os.fspath(path).lstrip("/")))
    if os.path.commonpath([top, real]) != top:
        raise ValueError(f"{path!r} is not below {top!r}")
    return real


def _open(path: str, flags: int, folder: int | None = None) -> int:
    """Without waiting for a writer, where it is a FIFO."""
    try:
        return os.open(path, flags | os.O_NONBLOCK, dir_fd=folder)
    except BlockingIOError:  # a regular file of which somebody has a lease (fcntl(2)), as Samba has
        return os.open(path, flags, dir_fd=folder)


def _open_below(top: str, path: str, flags: int) -> int:
    """Step by step from the folder `top`, through no link: the path had none when it was resolved.

    openat2(2) has RESOLVE_BENEATH for this, which Python cannot call.
    """
    *parents, name = path[len(top) :].lstrip("/").split("/")
    try:
        folder = os.open(top, _FOLDER)
    except FileNotFoundError:  # what is packed into the program has no folder, and no links
        return _open(path, flags | os.O_NOFOLLOW)
    try:
        for parent in parents:
            outer, folder = folder, os.open(parent, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(outer)
        return _open(name or ".", flags | os.O_NOFOLLOW, folder)
    finally:
        os.close(folder)


def _fields(
    path: str, content_type: str, status: os.stat_result | None, download: str
) -> Iterator[tuple[str, str]]:
    yield "Content-Type", content_type or media_type(path)
    if status is not None:
        # Not in the future, where a clock has been wrong (RFC 9110 8.8.2.1).
        yield "Last-Modified", format_date(min(status.st_mtime, time.time()))
        yield "ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        yield "Accept-Ranges", "bytes"
    if download:
        yield "Content-Disposition", _attachment(download)


def _attachment(name: str) -> str:
    """RFC 6266: a name of ASCII for all, and the whole name for those who understand it."""
    plain = "".join(character if character in _QUOTABLE else "_" for character in name)
    field = f'attachment; filename="{plain}"'
    if plain != name:
        field += f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return field
