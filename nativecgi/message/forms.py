"""What a form sends: fields of text, and uploads (WHATWG HTML, "form submission"; RFC 7578)."""

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO, cast

from msgspec import Struct

from nativecgi.message.body import read_whole
from nativecgi.message.errors import HTTPError
from nativecgi.message.limits import Limits
from nativecgi.message.multidict import MultiDict
from nativecgi.message.spool import Spool
from nativecgi.message.urlencoded import parse_urlencoded

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_CHUNK = 256 * 1024  # bytes that are read at a time
_IN_MEMORY = 64 * 1024  # bytes of an upload; a longer one goes to a temporary file


class Upload(Struct, eq=False):
    """A file that was sent with a form. Its name and type are what the client says."""

    # Without folders; empty where the form's user chose no file.
    filename: str
    content_type: str
    size: int  # in bytes
    # To be read; in memory, or in a temporary file without a name that all uploads share.
    file: BinaryIO

    def read(self) -> bytes:
        """The whole content."""
        self.file.seek(0)
        return self.file.read()


class Form(MultiDict[str | Upload]):
    """The fields of a form by name: str for text, Upload for a file.

    `texts` and `files` have only the one kind or the other.
    """

    __slots__ = ()

    @property
    def texts(self) -> MultiDict[str]:
        """The text fields."""
        return MultiDict((name, value) for name, value in self.pairs() if isinstance(value, str))

    @property
    def files(self) -> MultiDict[Upload]:
        """The uploads."""
        return MultiDict((name, value) for name, value in self.pairs() if isinstance(value, Upload))


def read_form(content_type: str, body: BinaryIO, length: int | None, limits: Limits) -> Form:
    """Read a form's fields from a body; an empty body has none.

    Text is UTF-8. Other bytes are kept in the way of os.fsdecode: `os.fsencode` gives them back.

    Raises HTTPError: 400 if the body is malformed, 413 if it exceeds a limit, 415 if it has another
    media type.
    """
    if length == 0:
        return Form()
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _URLENCODED:
        return Form(_urlencoded(read_whole(body, length, limits.max_body), limits))
    if media_type == _MULTIPART:
        spool = Spool()
        try:
            return Form(_multipart(content_type, body, length, limits, spool))
        except BaseException:
            spool.close()
            raise
    raise HTTPError(415, f"The body has to be a form: {_URLENCODED} or {_MULTIPART}.")


def prepare_forms() -> None:
    """Import what reads multipart forms. Most programs do not, so this is late."""
    import multipart  # noqa: F401


def temporary_file() -> BinaryIO:
    """A file without a name: in memory while it is short, and gone when nothing refers to it."""
    return cast(BinaryIO, _spooled()(_IN_MEMORY))


def _urlencoded(body: bytes, limits: Limits) -> Iterator[tuple[str, str]]:
    if body.count(b"&") >= limits.max_fields:
        raise _too_many(limits)
    return parse_urlencoded(body)


def _multipart(
    content_type: str, body: BinaryIO, length: int | None, limits: Limits, spool: Spool
) -> Iterator[tuple[str, str | Upload]]:
    import multipart

    if length is not None and length > limits.max_form:
        raise _too_long(limits)
    _media_type, options = multipart.parse_options_header(content_type)
    try:
        # Names may be in any encoding: in Latin-1 every byte is a character.
        parser = multipart.PushMultipartParser(
            options.get("boundary", "").encode("utf-8", "surrogateescape"),
            max_header_size=limits.max_part_header,
            max_segment_count=limits.max_fields,
            header_charset="latin-1",
        )
        yield from _parts(parser, body, limits, spool)
    except multipart.ParserLimitReached as error:
        raise HTTPError(413, f"The form is over a limit: {error}.") from error
    except multipart.MultipartError as error:
        raise HTTPError(400, f"The form is malformed: {error}.") from error


def _parts(
    parser: Any, body: BinaryIO, limits: Limits, spool: Spool
) -> Iterator[tuple[str, str | Upload]]:
    part: _Part | None = None
    received = in_memory = 0
    with parser:
        while not parser.closed:
            chunk = body.read(_CHUNK)
            received += len(chunk)
            if received > limits.max_form:
                raise _too_long(limits)
            for event in parser.parse(chunk):
                if event is None:
                    assert isinstance(part, _Part)
                    yield part.name, part.value()
                    part = None
                elif part is None:
                    part = _Part(event, spool)
                else:
                    part.content.write(event)
                    in_memory += 0 if part.is_upload else len(event)
                    if in_memory > limits.max_body:
                        raise HTTPError(413, f"A form's text may have {limits.max_body} bytes.")


class _Part:
    """A part whose content is being read."""

    def __init__(self, segment: Any, spool: Spool) -> None:
        # What stands before us, such as a firewall, may have read these otherwise.
        if [name for name, _value in segment.headerlist].count("Content-Disposition") > 1:
            raise HTTPError(400, "A part of the form has two Content-Dispositions.")
        if any("\r" in value or "\n" in value for _name, value in segment.headerlist):
            raise HTTPError(400, "A line of a part's header does not end in CR LF.")
        if not segment.name and not _is_named(segment):  # RFC 7578 4.2
            raise HTTPError(400, "A part of the form has no name.")
        filename = segment.filename
        self.is_upload = filename is not None
        self.name = _as_utf_8(segment.name)
        self._filename = _last_segment(_as_utf_8(filename or ""))
        self._content_type = _as_utf_8(segment.header("Content-Type") or "")
        self._spool, self._start = spool, spool.size
        self.content: io.BytesIO | Spool = spool if self.is_upload else io.BytesIO()

    def value(self) -> str | Upload:
        if isinstance(self.content, io.BytesIO):
            return self.content.getvalue().decode("utf-8", "surrogateescape")
        size = self._spool.size - self._start
        content_type = self._content_type or "application/octet-stream"
        return Upload(self._filename, content_type, size, self._spool.part(self._start))


def _is_named(segment: Any) -> bool:
    import multipart

    field = segment.header("Content-Disposition")
    return "name" in multipart.parse_options_header(field)[1]


@cache
def _spooled() -> Callable[[int], object]:
    import tempfile

    class Spooled(tempfile.SpooledTemporaryFile[bytes]):
        # It goes with its upload, without the warning that nobody has closed it.
        def __del__(self) -> None:
            self.close()

    return Spooled


def _as_utf_8(latin_1: str) -> str:
    return latin_1.encode("latin-1").decode("utf-8", "surrogateescape")


def _last_segment(filename: str) -> str:
    """A file's name without the folders that a client may add, whatever its operating system."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    return "" if name in (".", "..") else name


def _too_long(limits: Limits) -> HTTPError:
    return HTTPError(413, f"A form may have {limits.max_form} bytes at most.")


def _too_many(limits: Limits) -> HTTPError:
    return HTTPError(413, f"A form may have {limits.max_fields} fields at most.")
