"""Files as answers."""

import mimetypes
import os
import stat
import time
from collections.abc import Iterator
from urllib.parse import quote

from nativecgi.dates import format_date
from nativecgi.errors import HTTPError
from nativecgi.headers import HeaderFields, lower_name, pairs
from nativecgi.response import Response

# Of Python's own table alone: the build machine's files would make a difference.
_TYPES = mimetypes.MimeTypes(filenames=())
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

    The answer has the type that its name suggests, an ETag and its time of last change; so it
    answers conditional requests and those for a single range of bytes, too. With `root`, `path`
    is one below that folder, may come from a client, and does not lead out of it, not by a
    symbolic link either. `download` is the name under which a browser is to save it.

    Raises HTTPError (404) where there is no such regular file, or where it may not be read.
    """
    given = pairs(headers)
    names = {lower_name(name) for name, _value in given}
    try:
        if root is None:
            opened = open(path, "rb", opener=_open)  # noqa: SIM115
        else:
            opened = open(_below(root, path), "rb", opener=_open_resolved)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise HTTPError(404) from error
    status = os.fstat(opened.fileno())
    if not stat.S_ISREG(status.st_mode):
        opened.close()
        raise HTTPError(404)
    own = _fields(os.fspath(path), content_type, status, download)
    return Response(opened, 200, given + [pair for pair in own if pair[0].lower() not in names])


def _below(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    if os.fspath(path).rpartition("/")[2] in ("", ".", ".."):
        raise ValueError(f"{path!r} is the path of a folder")
    top = os.path.realpath(root)
    real = os.path.realpath(os.path.join(top, os.fspath(path).lstrip("/")))
    if os.path.commonpath([top, real]) != top:
        raise ValueError(f"{path!r} is not below {root!r}")
    return real


def _open(path: str, flags: int) -> int:
    """Without waiting for a writer, where it is a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK)


def _open_resolved(path: str, flags: int) -> int:
    """What is a link now was none when the path was looked at."""
    return _open(path, flags | os.O_NOFOLLOW)


def _fields(
    path: str, content_type: str, status: os.stat_result, download: str
) -> Iterator[tuple[str, str]]:
    yield "Content-Type", content_type or _guessed(path)
    # Not in the future, where a clock has been wrong (RFC 9110 8.8.2.1).
    yield "Last-Modified", format_date(min(status.st_mtime, time.time()))
    yield "ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    yield "Accept-Ranges", "bytes"
    if download:
        yield "Content-Disposition", _attachment(download)


def _guessed(path: str) -> str:
    # With a slash first it is no URL: those of the scheme data: have a type in them.
    media_type, encoding = _TYPES.guess_type("/" + path)
    if encoding:  # x.tar.gz is sent as what it is: it is not for the client to unpack
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}.get(
            encoding, "application/octet-stream"
        )
    if media_type is None:
        return "application/octet-stream"
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def _attachment(name: str) -> str:
    """RFC 6266: a name of ASCII for all, and the whole name for those who understand it."""
    plain = "".join(character if character in _QUOTABLE else "_" for character in name)
    field = f'attachment; filename="{plain}"'
    if plain != name:
        field += f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return field
