"""Builds the peers: the hello program in other languages, from the sources in peers/."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from bench.errors import BenchError
from bench.programs import Program

_ROOT = Path(__file__).resolve().parent.parent
_SOURCES = Path(__file__).with_name("peers")

# The peers that others are compared with.
DYNAMIC_C = "C, dynamic (glibc)"
GO = "Go, net/http/cgi"
WSGIREF = "Python, wsgiref"


class Peer(Struct, frozen=True):
    """How one peer is built."""

    name: str
    source: str
    output: str
    tools: tuple[str, ...]  # its compiler or interpreter: the first that there is
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    version: tuple[str, ...] = ("--version",)
    is_script: bool = False


class Built(Struct, frozen=True):
    """A peer that is ready, and what its compiler or interpreter says it is."""

    program: Program
    version: str


# A peer more is one source file and one line here.
PEERS = (
    Peer("C, static (musl)", "hello.c", "c-static", ("musl-gcc",), ("-O2", "-static")),
    Peer(DYNAMIC_C, "hello.c", "c", ("cc",), ("-O2",)),
    Peer("Rust, std", "hello.rs", "rust", ("rustc",), ("-O",)),
    Peer(
        GO, "hello.go", "go", ("go",), ("build",), version=("version",),
        # GOTOOLCHAIN: a newer Go must not look for another version of itself on the network.
        environment={"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"},
    ),
    Peer("Perl, no modules", "hello.pl", "perl", ("perl",), is_script=True),
    Peer(WSGIREF, "hello_wsgiref.py", "wsgiref", ("/usr/bin/python3", "python3"), is_script=True),
)  # fmt: skip


def build(folder: Path, skip: Callable[[str], None]) -> list[Built]:
    """Build all peers into `folder`, but those that are there and up to date.

    Calls `skip` with a line for each whose compiler is missing; raises BenchError where one
    cannot be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    built = []
    for peer in PEERS:
        tool = next(filter(None, map(shutil.which, peer.tools)), None)
        if tool is None:
            skip(f"{peer.name}: there is no {peer.tools[-1]}")
        else:
            built.append(_built(peer, tool, folder))
    return built


def frozen(source: Path, folder: Path) -> Path:
    """Build a program of this project's into `folder`, as `make build` does; raises BenchError."""
    python = _ROOT / ".venv" / "bin" / "python"
    _run([str(python), str(_ROOT / "build.py"), "-o", str(folder), str(source)])
    return folder / source.stem


def _built(peer: Peer, tool: str, folder: Path) -> Built:
    source, output = _SOURCES / peer.source, folder / peer.output
    version = _first_line(_run([tool, *peer.version]))
    recipe = f"{tool}\n{version}\n{peer.options}\n{peer.environment}\n{source.read_text()}"
    digest = hashlib.sha256(recipe.encode()).hexdigest()
    stamp = folder / f"{peer.output}.sha256"
    if not (output.exists() and stamp.exists() and stamp.read_text() == digest):
        if peer.is_script:
            _install_script(source, output, tool)
        else:
            _run([tool, *peer.options, "-o", str(output), str(source)], peer.environment)
        stamp.write_text(digest)
    return Built(Program(peer.name, output), version)


def _install_script(source: Path, output: Path, interpreter: str) -> None:
    """Copy a script, with the interpreter itself in its first line: env(1) would be timed too."""
    first, rest = source.read_text().split("\n", 1)
    if not first.startswith("#!"):
        raise BenchError(f"{source} does not start with #!")
    output.write_text(f"#!{_resolved(interpreter)}\n{rest}")
    output.chmod(0o755)


def _resolved(interpreter: str) -> str:
    """What an interpreter's name stands for: version managers put slow scripts in its place."""
    if "python" in Path(interpreter).name:
        return _run([interpreter, "-c", "import sys; print(sys.executable)"]).strip()
    return interpreter


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    variables = os.environ | (environment or {})
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
