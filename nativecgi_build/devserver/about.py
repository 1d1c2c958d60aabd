"""What an app says of itself in its docstring: what it does, and a request to try it with.

That is its first line, and those that begin with "Try: ". In these URL stands for the program's
address, and FOLDER for the folder that it is in:

    Try: URL?n=3
    Try: curl -d '{"left": 6}' URL
"""

import ast
import re
import shlex
from pathlib import Path

import msgspec

from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.finding import find_apps
from nativecgi_build.build.kept import kept
from nativecgi_build.settings import Settings

_TRY = re.compile(r"^Try: *(\S.*?) *$", re.MULTILINE)
_URL = "URL"


class About(msgspec.Struct, frozen=True):
    """What is known of a program."""

    summary: str = ""
    tries: tuple[str, ...] = (_URL,)  # of what says nothing, its address


class Try(msgspec.Struct, frozen=True):
    """Something to try."""

    text: str
    is_link: bool  # an address, to be asked for with GET; else a command


def about(name: str, settings: Settings) -> About:
    """What the app says from which a program was made; nothing of an unknown one."""
    source = _source(name, settings)
    try:
        docstring = ast.get_docstring(ast.parse(source.read_bytes())) if source else None
    except (OSError, SyntaxError, ValueError):
        docstring = None  # it was removed since, or is being written
    return parsed(docstring or "")


def parsed(docstring: str) -> About:
    """What a docstring says."""
    tries = tuple(_TRY.findall(docstring)) or (_URL,)
    return About(docstring.strip().partition("\n")[0].rstrip(), tries)


def filled(tried: str, url: str, program: Path) -> Try:
    """A request to try, of the program that is there."""
    names = {_URL: url, "FOLDER": shlex.quote(str(program.parent))}
    text = re.sub(r"\b(URL|FOLDER)\b", lambda it: names[it[1]], tried)
    return Try(text, tried.startswith(_URL) and " " not in tried)


def _source(name: str, settings: Settings) -> Path | None:
    """The file of the app that the build has last made the program of that name from."""
    built = [it for it in kept(settings) if it.name == name and it.source]
    path = max(built, key=lambda it: it.compiled).source if built else None
    if path is None:
        try:
            path = find_apps([name], settings)[0].source
        except BuildError:
            return None
    found = (path / "__main__.py", path)
    return next(filter(Path.is_file, found), None)
