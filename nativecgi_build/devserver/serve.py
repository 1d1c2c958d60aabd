"""Serves built programs on this machine alone, for trying them.

It needs no web server installed. It is for development: a real server is what the programs are
for (README.md says how to set one up).
"""

import html
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet import error, reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web import resource, server, twcgi

from nativecgi_build.devserver import about
from nativecgi_build.settings import Settings

HOST = "127.0.0.1"

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


class Index(resource.Resource):
    """A page that tells what all programs of a folder do, and how to try them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__()
        self._folder = folder
        self._settings = settings

    def render_GET(self, request: server.Request) -> bytes:  # noqa: N802
        """The page."""
        # Not what the client calls it, which may be anything.
        server = f"http://{HOST}:{request.getHost().port}"
        items = [item(program, server, self._settings) for program in programs(self._folder)]
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        page = PAGE.format(folder=html.escape(str(self._folder)), items="\n".join(items))
        return page.encode()


class Program(twcgi.CGIScript):
    """A CGI program."""

    def render(self, request: Any) -> int:
        """Run it for the request."""
        # twcgi joins the path's segments as text, but Twisted keeps them as bytes.
        request.postpath = [os.fsdecode(segment) for segment in request.postpath]
        later: int = super().render(request)
        return later


class ProgramFolder(resource.Resource):
    """/cgi-bin: looked up anew for each request, so that a new build is served at once."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__()
        self._folder = folder
        self._settings = settings

    def getChild(self, path: bytes, request: Any) -> Any:  # noqa: N802
        """The program of that name."""
        for program in programs(self._folder):
            if os.fsencode(program.name) == path:
                return Program(str(program))
        return (
            Index(self._folder, self._settings) if path == b"" else super().getChild(path, request)
        )


class ServeError(Exception):
    """Nothing can be served, and why."""


def serve(folder: Path, port: int, settings: Settings) -> None:
    """Serve the programs of a folder, an absolute path, until interrupted.

    `settings` are the project's, by which the programs' sources are found. Raises ServeError.
    """
    if not programs(folder):
        raise ServeError(f"there is no program in {folder}: build some first")
    root = resource.Resource()
    root.putChild(b"", Index(folder, settings))
    root.putChild(b"cgi-bin", ProgramFolder(folder, settings))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    loop: Any = reactor
    try:
        listening = loop.listenTCP(port, server.Site(root), interface=HOST)
    except error.CannotListenError as failure:
        reason = getattr(failure.socketError, "strerror", failure.socketError)
        raise ServeError(f"port {port}: {reason}. Take another: --port 8001") from None
    address = f"http://{HOST}:{listening.getHost().port}"
    print(f"Serving {address}/ - stop with Ctrl-C", flush=True)
    for program in programs(folder):
        for tried in tries(program, address, settings):
            print(f"  {tried.text}", flush=True)
    loop.run()
