"""Old CGI scripts as programs: finds where one can be frozen, and copies it for that.

The copy has the script's lines at their numbers. What stands above the freeze point runs once, at
the build; so it must be the same for every request: imports, definitions, constants. Settings of
sys.path and os.environ, and names for paths derived from __file__, run at the build and again in
each process. From the freeze point on all lines are indented by a space, below a line that hands
the process over to nativecgi/adapters/script.py.

A script that ends by running a WSGI application, as `CGIHandler().run(app)` does, is frozen at that
call, with the application made. The copy calls nativecgi/adapters/script.py in its place.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from nativecgi_build.scripts import statements
from nativecgi_build.scripts.statements import first_line

# What a file tells of its interpreter and, by PEP 263, its encoding; and a flag for the former.
_TOLD = re.compile(r"#!|[ \t\f]*#.*?coding[:=]")
_UNBUFFERED = re.compile(r"#!.*python.* -[bBdEiIOPqsStvx]*u[bBdEiIOPqsStuvx]*(\s|$)")
_SCRIPT = "__import__('nativecgi.adapters.script').adapters.script"

# cgi and cgitb are legacy-cgi's from Python 3.13 on.
_STANDARD = sys.stdlib_module_names - {"__future__"} | {"cgi", "cgitb"}


class ScriptError(Exception):
    """A script of which no program can be made, and why."""


class Copy(msgspec.Struct, frozen=True):
    """A script as it is compiled, in UTF-8."""

    source: str
    line: int  # the freeze point's
    is_wsgi: bool = False  # whether it is frozen with its WSGI application made
    below: int = 0  # the line of the first statement that each process runs; 0 if there is none
    obstacle: int = 0  # the line for which a WSGI application is made in each process
    late: tuple[str, ...] = ()  # modules, other than Python's own, that are imported below


def name_of(path: Path) -> str:
    """The name of the program that a script becomes."""
    return path.stem if path.suffix in (".cgi", ".py") else path.name


def freezable(path: Path, warmup: Sequence[str] = (), modules: Sequence[str] = ()) -> Copy:
    """The copy of the script `path`; raises ScriptError if it is not written in Python 3.

    `warmup` are paths, each perhaps with a query, that a WSGI application answers before the
    freeze. `modules` are imported before it: those that the script was seen to import later.
    """
    # What is under the freeze point must not be nothing.
    text = _read(path)
    lines = [*text.split("\n"), "", "pass"]
    is_unbuffered = _UNBUFFERED.match(lines[0]) is not None
    lines[:2] = ["#" if _TOLD.match(line) else line for line in lines[:2]]
    source = "\n".join(lines)
    try:
        tree = ast.parse(source)
        starts = _logical_lines(source)
    except (SyntaxError, tokenize.TokenError) as error:
        raise ScriptError(f"{path}: {error}: is it of Python 2?") from None
    _refuse_another_interpreter(tree)
    standard = sorted(set(_standard(tree.body)) - set(modules))
    arguments = ["globals()", *map(repr, [*standard, *modules])]
    served = statements.served(tree.body[:-1])
    if served and not served.obstacle:
        arguments += _named(settings=_source(served.settings), warmup=list(warmup), source=text)
        return _with_application(lines, served, arguments)
    line, settings = _freeze_point(tree.body, len(lines))
    arguments += _named(settings=settings, unbuffered=is_unbuffered, source=text)
    lines[line - 1] = f"with {_SCRIPT}.process({', '.join(arguments)}):"
    for start in starts:
        if start > line:
            lines[start - 1] = re.sub(r"^\f*", r"\g<0> ", lines[start - 1])
    below = [it for it in tree.body[:-1] if it.lineno > line]
    late = dict.fromkeys(name for it in below for name in _imported(it))
    return Copy(
        "\n".join(lines) + "\n",
        line,
        below=first_line(below[0]) if below else 0,
        obstacle=served.obstacle if served else 0,
        late=tuple(name for name in late if not _is_standard(name) and name not in modules),
    )


def imported(source: str | bytes) -> set[str]:
    """The names of the modules that Python source imports, anywhere in it, by a statement.

    Some may be no modules: `from a import b` may mean the module a.b. Source that Python cannot
    parse imports none.
    """
    try:
        return set(_imported(ast.parse(source)))
    except (SyntaxError, ValueError):
        return set()


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ScriptError(
            f"{path}: {error}: name its encoding in the first line or the second, such as "
            "# -*- coding: latin-1 -*-"
        ) from None


def _logical_lines(source: str) -> set[int]:
    """The numbers of the lines in which a logical line begins: all may be indented alike."""
    between = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in between
    ]
    ends = [0, *(n for n, token in enumerate(tokens, 1) if token.type == tokenize.NEWLINE)]
    return {tokens[end].start[0] for end in ends if end < len(tokens)}


def _refuse_another_interpreter(tree: ast.Module) -> None:
    """Refuse a script that starts itself again by the Python of an environment, say."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(ast.Name("os"), name), [interpreter, *arguments]) if (
                name.startswith("exec") and ast.unparse(interpreter) != "sys.executable"
            ):
                if any(_names_script(argument) for argument in arguments):
                    raise ScriptError(
                        f"line {node.lineno} starts the script again by another Python, to which "
                        "its program would be no script: remove it, and name the packages that it "
                        "is for in a block '# /// script' (docs/scripts.md)"
                    )


def _names_script(argument: ast.expr) -> bool:
    return any(
        ast.unparse(node) in ("sys.argv", "__file__")
        for node in ast.walk(argument)
        if isinstance(node, ast.expr)
    )


def _with_application(
    lines: list[str], served: statements.Served, arguments: Sequence[str]
) -> Copy:
    """The copy in which nativecgi is given the application in place of its server."""
    call = served.statement
    first, last = call.lineno - 1, (call.end_lineno or call.lineno) - 1
    # Columns are counted in bytes of UTF-8.
    before = lines[first].encode()[: call.col_offset].decode()
    behind = lines[last].encode()[call.end_col_offset :].decode()
    application = ast.unparse(served.application)
    told = f"{before}{_SCRIPT}.answer({application}, {', '.join(arguments)}){behind}"
    lines[first : last + 1] = [told, *[""] * (last - first)]
    return Copy("\n".join(lines) + "\n", call.lineno, is_wsgi=True)


def _freeze_point(body: Sequence[ast.stmt], last: int) -> tuple[int, str]:
    """The number of the empty line, or comment, at which a script is frozen.

    It is the last one above the first statement that may have to do with the request. Returns
    also the source of the settings above it.
    """
    above = statements.above(body[:-1])
    ends = [0, *(it.end_lineno or last for it in body)]
    begins = [first_line(it) for it in body]
    for number in range(above.count, _earliest(body) - 1, -1):
        if begins[number] - 1 > ends[number]:
            line = begins[number] - 1
            return line, _source(it for it in above.settings if it.lineno < line)
    raise ScriptError(
        f"it is to be frozen above line {begins[above.count]}, in a line that is empty or a "
        "comment: add one there"
    )


def _earliest(body: Sequence[ast.stmt]) -> int:
    """How many statements have to stay at the top: the docstring and imports from __future__."""
    kept = (
        number
        for number, it in enumerate(body, 1)
        if (number == 1 and _is_docstring(it))
        or (isinstance(it, ast.ImportFrom) and it.module == "__future__")
    )
    return max(kept, default=0)


def _is_docstring(it: ast.stmt) -> bool:
    return isinstance(it, ast.Expr) and isinstance(it.value, ast.Constant)


def _source(settings: Iterable[ast.stmt]) -> str:
    return "\n".join(map(ast.unparse, settings))


def _named(**arguments: object) -> list[str]:
    """Arguments as they are written, without empty ones."""
    return [f"{name}={value!r}" for name, value in arguments.items() if value]


def _standard(body: Sequence[ast.stmt]) -> Iterator[str]:
    """The modules of the standard library that are imported anywhere, and what could be ones."""
    return (name for it in body for name in _imported(it) if _is_standard(name))


def _imported(tree: ast.AST) -> Iterator[str]:
    return (name for node in ast.walk(tree) for name in statements.modules(node))


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in _STANDARD
