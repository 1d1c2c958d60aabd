"""What is compared: CGI programs, each with a request and the answer it has to give."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from bench.errors import BenchError

# What Apache 2.4 tells a CGI program about a GET request of curl's.
_ENVIRONMENT = {
    "HTTP_HOST": "localhost:8080",
    "HTTP_USER_AGENT": "curl/7.88.1",
    "HTTP_ACCEPT": "*/*",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SERVER_SIGNATURE": "",
    "SERVER_SOFTWARE": "Apache/2.4.62 (Unix)",
    "SERVER_NAME": "localhost",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_PORT": "8080",
    "REMOTE_ADDR": "127.0.0.1",
    "DOCUMENT_ROOT": "/var/www/html",
    "REQUEST_SCHEME": "http",
    "CONTEXT_PREFIX": "/cgi-bin/",
    "CONTEXT_DOCUMENT_ROOT": "/usr/lib/cgi-bin/",
    "SERVER_ADMIN": "[no address given]",
    "REMOTE_PORT": "40000",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REQUEST_METHOD": "GET",
    "QUERY_STRING": "",
}

OURS = "nativecgi"  # a name of this project's programs begins with it

_HEADER_END = re.compile(rb"\r?\n\r?\n")


class Program(Struct, frozen=True):
    """A CGI program and the exchange it is measured with: GET, or POST where there is a body."""

    name: str
    path: Path
    answer: bytes = b"Hello world"  # has to be in the response's body
    body: bytes = b""
    media_type: str = ""  # of the request's body
    folder: Path | None = None  # where the program consists of more than the one file
    variables: tuple[tuple[str, str], ...] = ()  # of its environment, beside the request's

    def environment(self) -> dict[str, str]:
        """The meta-variables of its request."""
        script = f"/cgi-bin/{self.path.name}"
        environment = _ENVIRONMENT | dict(self.variables)
        environment |= {
            "SCRIPT_FILENAME": f"/usr/lib{script}",
            "REQUEST_URI": script,
            "SCRIPT_NAME": script,
        }
        if self.body:
            environment |= {
                "REQUEST_METHOD": "POST",
                "CONTENT_TYPE": self.media_type,
                "CONTENT_LENGTH": str(len(self.body)),
            }
        return environment

    def check(self, output: bytes) -> None:
        """Raise BenchError unless `output` is the right answer: a fast failure is no success."""
        header, *rest = _HEADER_END.split(output, maxsplit=1)
        if not header.startswith(b"Status: 200") or not rest or self.answer not in rest[0]:
            raise BenchError(f"{self.path} answers {output[:500]!r}, without {self.answer!r}")

    def files(self) -> Iterator[Path]:
        """The files it consists of."""
        if self.folder is None:
            yield self.path
        else:
            yield from (file for file in self.folder.rglob("*") if file.is_file())

    def size(self) -> int:
        """How many bytes these files have."""
        return sum(file.stat().st_size for file in self.files())


def hello(frozen: Path) -> Program:
    """The program in the folder `frozen`; raises BenchError where it has not been built."""
    return _built(Program(f"{OURS}: hello", frozen / "hello"))


def calculator(frozen: Path) -> Program:
    """Likewise: a typed JSON body, and a JSON answer."""
    return _built(
        Program(
            f"{OURS}: calculator (POST, JSON)",
            frozen / "calculator",
            answer=b"42",
            body=b'{"left": 6, "right": 7, "operator": "*"}',
            media_type="application/json",
        )
    )


def httpbin(frozen: Path) -> Program:
    """Likewise: a JSON answer that tells of the whole request."""
    return _built(
        Program(f"{OURS}: httpbin", frozen / "httpbin", answer=b'"remote_addr":"127.0.0.1"')
    )


def imports(built: Path) -> Program:
    """Likewise: the file itself is given."""
    return _built(Program(f"{OURS}: hello that imports much", built))


def plain(file: Path) -> Program:
    """Likewise, and not frozen."""
    name = "Nuitka --standalone: hello, not frozen"
    return _built(Program(name, file, folder=file.parent))


def _built(program: Program) -> Program:
    if not os.access(program.path, os.X_OK):
        raise BenchError(f"there is no program {program.path}: run make build")
    if program.path.is_symlink():  # as the build leaves it on a machine that cannot freeze
        raise BenchError(f"{program.path} is not frozen: see what make build says")
    return program
