"""nativecgi.transfer.files: what file() answers, and what leads out of its root."""

import fcntl
import io
import mimetypes
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nativecgi import HTTPError, Request, Response, file
from nativecgi.gateways.conditional import select
from nativecgi.gateways.encode import encode
from nativecgi.message import mediatypes
from nativecgi.message.body import close
from nativecgi.message.headers import HeaderFields, pairs
from nativecgi.testing import Client
from nativecgi.transfer.send import Streamed, send
from tests.gateways.test_cgi import GET, SECONDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with a file and a folder in it, and a secret beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.txt").write_text("b")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "root-too").mkdir()
    (tmp_path / "root-too" / "secret.txt").write_text("secret")
    return root


def fields(response: Response) -> dict[str, str]:
    """The header fields, by name in lower case; the file is closed."""
    close(response.body)
    return {name.lower(): value for name, value in pairs(response.headers)}


def content(response: Response) -> bytes:
    """What is in the file, which is closed."""
    assert isinstance(response.body, io.BufferedReader)
    with response.body as opened:
        return opened.read()


def refused(path: "str | os.PathLike[str]", root: "str | os.PathLike[str] | None" = None) -> bool:
    with pytest.raises(HTTPError) as caught:
        file(path, root=root)
    return caught.value.status == 404


# --- the answer ---


def test_a_file_is_opened_and_not_read(folder: Path) -> None:
    response = file(folder / "a.txt")
    assert response.status == 200
    assert content(response) == b"a"


def test_a_path_can_be_text(folder: Path) -> None:
    assert content(file(str(folder / "a.txt"))) == b"a"


def test_a_file_has_a_type_validators_and_ranges(folder: Path) -> None:
    path = folder / "a.txt"
    os.utime(path, ns=(0, 784111777_000000_001))
    assert fields(file(path)) == {
        "content-type": "text/plain; charset=utf-8",
        "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "etag": f'"{784111777_000000_001:x}-1"',
        "accept-ranges": "bytes",
    }


def test_its_tag_is_another_for_each_time_and_length(folder: Path) -> None:
    path = folder / "a.txt"
    tags = set()
    for text, time_ in (("a", 1), ("b", 2), ("ab", 2)):
        path.write_text(text)
        os.utime(path, ns=(0, time_))
        tags.add(fields(file(path))["etag"])
    assert len(tags) == 3


# RFC 9110 8.8.2.1: "MUST NOT generate a Last-Modified date that is later than [...] Date".
@pytest.mark.parametrize("years", [1, 20_000])
def test_a_time_in_the_future_is_not_told(folder: Path, years: int) -> None:
    path = folder / "a.txt"
    os.utime(path, (0, time.time() + years * 31_556_952))
    assert fields(file(path))["last-modified"] in nows()


def nows() -> list[str]:
    """This second and the one before, as header fields have them."""
    now = time.time()
    form = "%a, %d %b %Y %H:%M:%S GMT"
    return [time.strftime(form, time.gmtime(now - ago)) for ago in (0, 1)]


def test_a_time_before_1970_is_told(folder: Path) -> None:
    os.utime(folder / "a.txt", (0, -1))
    answer = fields(file(folder / "a.txt"))
    assert answer["last-modified"] == "Wed, 31 Dec 1969 23:59:59 GMT"


@pytest.mark.parametrize(
    "given_fields",
    [{"etag": '"mine"', "CONTENT-TYPE": "text/x-mine", "last-modified": "x", "accept-ranges": "x"}],
)
def test_the_authors_fields_come_instead_of_its_own(
    folder: Path, given_fields: HeaderFields
) -> None:
    response = file(folder / "a.txt", headers=given_fields)
    close(response.body)
    assert dict(pairs(response.headers)) == given_fields


def test_the_authors_fields_may_repeat(folder: Path) -> None:
    response = file(folder / "a.txt", headers=[("Link", "<a>"), ("Link", "<b>")])
    close(response.body)
    assert pairs(response.headers)[:2] == [("Link", "<a>"), ("Link", "<b>")]


def test_the_length_is_the_files(folder: Path) -> None:
    response = file(folder / "a.txt")
    output = encode(response)
    close(response.body)
    assert isinstance(output, Streamed)
    assert b"\r\nContent-Length: 1\r\n" in output.head


# --- its type ---


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.pdf", "application/pdf"),
        ("a.b.c.jpg", "image/jpeg"),
        ("a", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("a.nothing-known", "application/octet-stream"),
        ("html", "application/octet-stream"),
        # Nothing is unpacked on the way: these are what they are.
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.txt.gz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a.tar.bz2", "application/x-bzip2"),
        ("a.txt.xz", "application/octet-stream"),
        ("a.txt.Z", "application/octet-stream"),
        # Of the name of a URL these would be other parts.
        ("a.txt?b.html", "text/html; charset=utf-8"),
        ("a.txt#b.html", "text/html; charset=utf-8"),
        ("a:b.html", "text/html; charset=utf-8"),
        ("data:text,x.png", "image/png"),
        ("\udcff.txt", "text/plain; charset=utf-8"),
    ],
)
def test_the_type_is_by_the_name(folder: Path, name: str, media_type: str) -> None:
    (folder / name).touch()
    assert fields(file(folder / name))["content-type"] == media_type
    assert fields(file(name, root=folder))["content-type"] == media_type


def test_a_name_cannot_say_its_type_as_a_url_does(folder: Path) -> None:
    (folder / "data:text").mkdir()
    (folder / "data:text" / "html,x.png").touch()
    answer = fields(file("data:text/html,x.png", root=folder))
    assert answer["content-type"] == "image/png"


def test_a_type_that_is_given_is_taken(folder: Path) -> None:
    assert fields(file(folder / "a.txt", "text/x-own"))["content-type"] == "text/x-own"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        # What not every Python's table has.
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.woff2", "font/woff2"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.webm", "video/webm"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        # A document says its encoding itself.
        ("a.xml", "application/xml"),
    ],
)
def test_the_type_is_no_matter_of_the_building_python(name: str, media_type: str) -> None:
    assert mediatypes.media_type(name) == media_type


def test_every_type_that_python_knows_is_known() -> None:
    known = mimetypes.MimeTypes(filenames=()).types_map[True]
    unknown = {
        ext for ext in known if mediatypes.media_type("a" + ext) == "application/octet-stream"
    }
    assert {known[extension] for extension in unknown} == {"application/octet-stream"}


def test_no_extension_is_listed_twice() -> None:
    listed = [word for line in mediatypes._TABLE.split("\n") for word in line.split()[1:]]
    assert sorted(listed) == sorted(mediatypes._TYPES)


# --- its length ---


@pytest.mark.parametrize(
    "path",
    [
        "/proc/version",
        "/proc/self/status",
        "/sys/devices/system/cpu/online",
    ],
)
@pytest.mark.parametrize("rooted", [False, True])
def test_what_does_not_know_its_length_is_sent_to_its_end(path: str, rooted: bool) -> None:
    def handle(_request: Request) -> Response:
        return file(path, root="/" if rooted else None)

    answer = Client(handle).get(headers={"Range": "bytes=0-0"})
    assert answer.status == 200
    assert answer.exit_status == 0
    if path != "/proc/self/status":
        assert answer.body == Path(path).read_bytes()
    assert answer.body
    assert set(answer.headers) == {"status", "content-type"}


def test_an_open_file_that_does_not_know_its_length_is_sent_to_its_end() -> None:
    answer = Client(lambda _request: Response(Path("/proc/version").open("rb"))).get()  # noqa: SIM115
    assert answer.body == Path("/proc/version").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 4096, 2**20])
def test_a_file_of_which_nothing_is_on_the_disk_has_a_length(folder: Path, size: int) -> None:
    with (folder / "sparse").open("wb") as written:
        written.truncate(size)
    answer = Client(lambda _request: file(folder / "sparse")).get()
    assert (answer.headers["content-length"], len(answer.body)) == (str(size), size)
    assert "etag" in answer.headers


# --- what there is not ---


def test_what_is_not_there_is_404(folder: Path) -> None:
    assert refused(folder / "none.txt")
    assert refused("none.txt", folder)
    assert refused("a.txt/b", folder)
    assert refused("x" * 300, folder)
    assert refused("x/" * 3000, folder)


@pytest.mark.parametrize("path", ["", "/", ".", "sub", "sub/", "sub/..", "a.txt/.."])
def test_a_folder_is_404(folder: Path, path: str) -> None:
    assert refused(path, folder)
    assert refused(folder / path)


def test_an_empty_path_is_404() -> None:
    assert refused("")


@pytest.mark.parametrize("path", ["a\0.txt", "\0", "a.txt\0", "\ud800"])
def test_what_can_be_no_path_is_404(folder: Path, path: str) -> None:
    assert refused(path)
    assert refused(path, folder)


def test_a_fifo_is_404_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    assert refused(folder / "fifo")
    assert refused("fifo", folder)


def test_a_socket_is_404(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # the whole path may be too long for an address
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert refused(folder / "socket")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/proc/self/fd"])
def test_a_device_is_404(path: str) -> None:
    assert refused(path)


def test_links_in_a_circle_are_404(folder: Path) -> None:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert refused("one", folder)
    assert refused(folder / "one")


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("rooted", [False, True])
def test_what_is_the_machines_fault_is_no_404(folder: Path, rooted: bool) -> None:
    def handle(_request: Request) -> Response:
        with no_more_descriptors():
            return file("a.txt", root=folder) if rooted else file(folder / "a.txt")

    answer = Client(handle, raise_errors=False).get()
    assert answer.status == 500
    assert "Too many open files" in answer.log


def test_a_file_of_which_somebody_has_a_lease_is_waited_for(folder: Path) -> None:
    """As Samba has one of what its clients are writing to."""
    opened = os.open(folder / "a.txt", os.O_RDWR)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # that it is asked to give it back
    fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    threading.Timer(0.1, fcntl.fcntl, [opened, fcntl.F_SETLEASE, fcntl.F_UNLCK]).start()
    try:
        assert content(file("a.txt", root=folder)) == b"a"
    finally:
        os.close(opened)
        signal.signal(signal.SIGIO, before)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the superuser's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_404() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for path, mode in (("open", 0o644), ("closed", 0o000)):
            (root / path).write_text(path)
            (root / path).chmod(mode)
        with as_nobody():
            assert content(file("open", root=root)) == b"open"
            assert refused(root / "closed")
            assert refused("closed", root)


def test_what_is_refused_is_closed(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    before = os.listdir("/proc/self/fd")
    assert refused(folder / "fifo")
    assert refused(folder)
    assert os.listdir("/proc/self/fd") == before


# --- the root ---


@pytest.mark.parametrize(
    "path", ["a.txt", "/a.txt", "//a.txt", "./a.txt", "sub/../a.txt", "/sub/../a.txt", "sub//b.txt"]
)
def test_a_path_is_one_below_the_root(folder: Path, path: str) -> None:
    assert content(file(path, root=folder)) == path.rpartition("/")[2][:1].encode()


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.txt", "/../secret.txt", "sub/../../secret.txt", "../../../../etc/passwd"),
        *("/etc/passwd", "//etc/passwd", "///etc/passwd", "..", "../", "sub/../..", "/.."),
        *("../root-too/secret.txt", "../root/../secret.txt", "..\\secret.txt", "%2e%2e/secret.txt"),
        *("..%2fsecret.txt", "....//secret.txt", "~/.profile", "a.txt/../../secret.txt"),
    ],
)
def test_a_path_does_not_lead_out_of_the_root(folder: Path, path: str) -> None:
    assert refused(path, folder)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("link", "../secret.txt"),
        ("link", "/etc/passwd"),
        ("sub/link", "../../secret.txt"),
        ("link", "../root-too/secret.txt"),
    ],
)
def test_a_link_does_not_lead_out_of_the_root(folder: Path, link: str, target: str) -> None:
    (folder / link).symlink_to(target)
    assert refused(link, folder)


def test_a_folder_that_is_a_link_does_not_lead_out_of_the_root(folder: Path) -> None:
    (folder / "link").symlink_to("..")
    assert refused("link/secret.txt", folder)
    assert content(file("link/root/a.txt", root=folder)) == b"a"


def swapping(folder: Path, monkeypatch: pytest.MonkeyPatch, swap: Callable[[], None]) -> None:
    """Have `swap` done when a path has been resolved, and before it is opened."""
    resolve = os.path.realpath

    def resolve_and_swap(path: Any) -> str:
        resolved: str = resolve(path)
        if str(path).endswith(".txt"):
            swap()
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_and_swap)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_folder_that_becomes_a_link_does_not_lead_out_of_the_root(
    folder: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    names = ["one", "two", "three"][:depth]
    (inner := folder.joinpath(*names)).mkdir(parents=True)
    (inner / "secret.txt").write_text("no secret")
    outside = folder.parent / "outside"
    (hidden := outside.joinpath(*names)).mkdir(parents=True)
    (hidden / "secret.txt").write_text("secret")

    def swap() -> None:
        (folder / "one").rename(folder / "away")
        (folder / "one").symlink_to(outside / "one")

    swapping(folder, monkeypatch, swap)
    assert refused("/".join([*names, "secret.txt"]), folder)


def test_a_file_that_becomes_a_link_does_not_lead_out_of_the_root(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap() -> None:
        (folder / "a.txt").unlink()
        (folder / "a.txt").symlink_to("../secret.txt")

    swapping(folder, monkeypatch, swap)
    assert refused("a.txt", folder)


def test_a_link_to_the_root_itself_is_404(folder: Path) -> None:
    (folder / "link").symlink_to(".")
    assert refused("link", folder)


def test_a_file_deep_below_the_root_takes_one_descriptor(folder: Path) -> None:
    deep = folder.joinpath(*["deep"] * 50)
    deep.mkdir(parents=True)
    (deep / "a.txt").write_text("a")
    before = os.listdir("/proc/self/fd")
    response = file("deep/" * 50 + "a.txt", root=folder)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    assert content(response) == b"a"


def test_a_link_within_the_root_is_followed(folder: Path) -> None:
    (folder / "link").symlink_to("sub/b.txt")
    assert content(file("link", root=folder)) == b"b"


def test_the_root_itself_may_be_a_link(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to("root")
    assert content(file("a.txt", root=link)) == b"a"
    assert refused("../secret.txt", link)


def test_the_root_may_be_relative_or_the_systems(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert content(file("b.txt", root="sub")) == b"b"
    assert refused("../a.txt", "sub")
    assert content(file(str(folder / "a.txt"), root="/")) == b"a"


def test_a_root_that_is_not_there_is_404(folder: Path) -> None:
    assert refused("a.txt", folder / "none")


def test_a_root_that_is_a_file_gives_only_itself(folder: Path) -> None:
    assert refused("../secret.txt", folder / "a.txt")


def test_without_a_root_the_path_is_taken_as_it_is(folder: Path) -> None:
    (folder / "link").symlink_to("../secret.txt")
    assert content(file(folder / "link")) == b"secret"
    assert content(file(folder / ".." / "secret.txt")) == b"secret"


SEGMENTS = st.sampled_from(["..", ".", "", "sub", "a.txt", "b.txt", "secret.txt", "up", "\0", "~"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segments=st.lists(SEGMENTS, max_size=6))
def test_no_path_at_all_leads_out_of_the_root(folder: Path, segments: list[str]) -> None:
    if not (folder / "up").is_symlink():
        (folder / "up").symlink_to("..")
    try:
        response = file("/".join(segments), root=folder)
    except HTTPError:
        return
    assert content(response) in (b"a", b"b")


# --- download (RFC 6266) ---


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ("a b;c=d,e.txt", 'attachment; filename="a b;c=d,e.txt"'),
        # RFC 6266 5: the example of a name in UTF-8.
        ("€ rates", "attachment; filename=\"_ rates\"; filename*=UTF-8''%E2%82%AC%20rates"),
        ("ä.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A4.txt"),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("a\\b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%5Cb.txt"),
        ("a\r\nb", "attachment; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab"),
        ("é'*%()", "attachment; filename=\"_'*%()\"; filename*=UTF-8''%C3%A9%27%2A%25%28%29"),
        ("\udcff", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
    ],
)
def test_a_download_has_a_name(folder: Path, name: str, field: str) -> None:
    answer = fields(file(folder / "a.txt", download=name))
    assert answer["content-disposition"] == field


def test_without_a_name_there_is_no_download(folder: Path) -> None:
    assert "content-disposition" not in fields(file(folder / "a.txt"))


# RFC 8187 3.2.1: value-chars = *( pct-encoded / attr-char ).
ATTR_CHAR = set("!#$&+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%")


@settings(deadline=None)
@given(st.text(min_size=1))
def test_any_name_can_be_sent_and_read_again(name: str) -> None:
    response = file(__file__, download=name)
    encode(response)  # no ValueError, whatever is in it
    field = fields(response)["content-disposition"]
    plain, _separator, extended = field.removeprefix('attachment; filename="').partition(
        "\"; filename*=UTF-8''"
    )
    if extended:
        assert ATTR_CHAR.issuperset(extended)
        assert unquote(extended, errors="strict") == name
    else:
        assert plain == f'{name}"'


# --- large files ---


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A file of 5 GiB, with six bytes at 4 GiB and a few at its end, and the rest holes."""
    path = tmp_path / "sparse.bin"
    with path.open("wb") as written:
        written.seek(2**32 - 3)
        written.write(b"abcdef")
        written.seek(5 * 2**30 - 3)
        written.write(b"end")
    return path


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("bytes=4294967293-4294967298", b"abcdef"),
        ("bytes=4294967296-4294967297", b"de"),
        ("bytes=-4", b"\0end"),
        ("bytes=5368709118-", b"nd"),
    ],
)
def test_a_range_can_be_beyond_4_gib(sparse: Path, tmp_path: Path, field: str, body: bytes) -> None:
    response = select(file(sparse), {"REQUEST_METHOD": "GET", "HTTP_RANGE": field})
    assert response.status == 206
    output = encode(response)
    assert isinstance(output, Streamed)
    with (tmp_path / "out").open("w+b") as out:
        send(output, out.fileno())
        out.seek(0)
        assert out.read().partition(b"\r\n\r\n")[2] == body


def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse.bin"
    with path.open("wb") as written:
        written.truncate(2**28)
    large = peak_memory(f"def handle(request): return file({str(path)!r})", tmp_path)
    small = peak_memory("def handle(request): return file(__file__)", tmp_path)
    assert large - small < 4096  # KiB


def peak_memory(source: str, folder: Path) -> int:
    """The most memory that a program has had, in KiB; what it writes is thrown away."""
    program = folder / "program.py"
    program.write_text(f"""
import atexit, sys
from nativecgi import *
{source}
def tell():
    with open("/proc/self/status") as status:
        sys.stderr.write(status.read())
if __name__ == "__main__":
    atexit.register(tell)
    run(handle)
""")
    done = subprocess.run(
        [sys.executable, program],
        env=GET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    (peak,) = re.findall(r"VmHWM:\s+([0-9]+) kB", done.stderr)
    return int(peak)


@pytest.mark.parametrize("path", ["a.txt/", "a.txt/.", "a.txt/x/..", "", "."])
def test_the_path_of_a_folder_is_404(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    with pytest.raises(HTTPError) as raised:
        file(path, root=tmp_path)
    assert raised.value.status == 404
