"""Serves built programs on this machine alone, for trying them.

It needs no web server installed. It is for development: a real server is what the programs are
for (README.md says how to set one up).
"""

import html
import os
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from nativecgi_build.devserver import about
from nativecgi_build.devserver.cgi import CannotStart, Running, end, respond, variables_of
from nativecgi_build.devserver.http import (
    LOOPBACK,
    Environ,
    Listener,
    ServeError,
    StartResponse,
    interruptible,
    page,
)
from nativecgi_build.settings import Settings

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>nativecgi</title>
<style>
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; margin: 10vh auto; max-width: 34rem;
    padding: 0 1rem; color-scheme: light dark }}
  dt {{ margin-top: 1.2rem }}
  dd {{ margin: .2rem 0 0 1rem }}
  small {{ opacity: .7 }}
  pre {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
</style>
<h1>nativecgi</h1>
<p>The programs in <code>{folder}</code>:
<dl>
{items}
</dl>
"""
ITEM = "<dt><strong>{name}</strong> <small>{size:.1f} MB</small>\n<dd>{summary}"
LINK = '<dd><a href="{path}">{text}</a>'
COMMAND = "<dd><pre>{text}</pre>"


def programs(folder: Path) -> list[Path]:
    """The files in a folder that can be executed."""
    return [
        path for path in sorted(folder.glob("*")) if path.is_file() and os.access(path, os.X_OK)
    ]


def item(program: Path, server: str, settings: Settings) -> str:
    """What a page says of a program that is served at an address."""
    said, text = about.about(program.name, settings), html.escape
    size = program.stat().st_size / 1e6
    lines = [ITEM.format(name=text(program.name), size=size, summary=text(said.summary))]
    for tried in tries(program, server, settings):
        # A link leads to this server under whatever name the browser knows it.
        path = text(tried.text.removeprefix(server))
        lines.append((LINK if tried.is_link else COMMAND).format(text=text(tried.text), path=path))
    return "\n".join(lines)


def tries(program: Path, server: str, settings: Settings) -> list[about.Try]:
    """What there is to try of a program that is served at an address."""
    url = f"{server}/cgi-bin/{quote(program.name)}"
    said = about.about(program.name, settings)
    return [about.filled(tried, url, program) for tried in said.tries]


class Processes:
    """The processes of built programs that answer requests."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._lock = Lock()

    def start(self, program: Path, variables: dict[str, str], stdin: int) -> Running:
        """Start a program in its folder, as servers do; raises CannotStart."""
        stdout, written = os.pipe()
        try:
            process = subprocess.Popen(
                [program],
                cwd=program.parent,
                env={**variables, "SCRIPT_FILENAME": str(program)},
                stdin=stdin,
                stdout=written,
                start_new_session=True,  # Ctrl-C is for the server, which ends it
            )
        except OSError as error:
            os.close(stdout)
            raise CannotStart(f"{program} cannot be started: {error.strerror}") from None
        finally:
            os.close(written)
        with self._lock:
            self._running = [it for it in self._running if it.poll() is None] + [process]
        return Running(os.pidfd_open(process.pid), stdout)

    def end(self) -> None:
        """End all of them."""
        for process in self._running:
            if process.poll() is None:
                pidfd = os.pidfd_open(process.pid)
                end(pidfd)
                os.close(pidfd)
                process.wait()


class Folder:
    """A WSGI application: an index at "/" and "/cgi-bin/", and below that the programs.

    They are looked up for each request, so that a new build is served at once.
    """

    def __init__(self, folder: Path, settings: Settings, processes: Processes) -> None:
        self._folder = folder
        self._settings = settings
        self._processes = processes
        self.url = ""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        match environ["PATH_INFO"].split("/"):
            case ["", ""] | ["", "cgi-bin", ""]:
                return page(environ, start_response, "200 OK", self._index(), "text/html")
            case ["", "cgi-bin", name, *rest] if program := self._program(name):
                info = "".join(f"/{part}" for part in rest)
                variables = variables_of(environ, f"/cgi-bin/{name}", info)
                start = partial(self._processes.start, program)
                return respond(environ, start_response, start, variables, self)
        return page(environ, start_response, "404 Not Found", "There is no such program.\n")

    def _program(self, name: str) -> Path | None:
        wanted = os.fsdecode(name.encode("latin-1"))
        return next((it for it in programs(self._folder) if it.name == wanted), None)

    def _index(self) -> str:
        # Not by what the client calls this server, which may be anything.
        items = [item(program, self.url, self._settings) for program in programs(self._folder)]
        return PAGE.format(folder=html.escape(str(self._folder)), items="\n".join(items))


def serve(folder: Path, port: int, settings: Settings) -> None:
    """Serve the programs of a folder, an absolute path, until interrupted.

    `settings` are the project's, by which the programs' sources are found. Raises ServeError.
    """
    if not programs(folder):
        raise ServeError(f"there is no program in {folder}\nBuild one first: nativecgi build")
    processes = Processes()
    application = Folder(folder, settings, processes)
    listener = Listener(application, LOOPBACK, port)
    application.url = listener.url
    print(f"Serving {listener.url}/ - stop with Ctrl-C", flush=True)
    for program in programs(folder):
        for tried in tries(program, listener.url, settings):
            print(f"  {tried.text}", flush=True)
    try:
        with interruptible():
            listener.run()
    finally:
        processes.end()
