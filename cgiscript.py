"""Old CGI scripts as programs: finds where one can be frozen, and copies it for that.

The copy has the script's lines at their numbers. What stands above the freeze point runs once, at
the build; so it must be what is the same for every request: imports, definitions, constants. From
there on all is indented by a space, below a line that hands the process over to
nativecgi/script.py.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import msgspec

# What a file tells of its interpreter and, by PEP 263, its encoding; and a flag for the former.
_TOLD = re.compile(r"#!|[ \t\f]*#.*?coding[:=]")
_UNBUFFERED = re.compile(r"#!.*python.* -[bBdEiIOPqsStvx]*u[bBdEiIOPqsStuvx]*(\s|$)")

# What is known to give the same whenever it is called with constants.
_CALLS = frozenset(
    "collections.namedtuple dict float frozenset int list os.path.join re.compile set "
    "str.maketrans string.Template tuple".split()
)
_DECORATORS = frozenset(("classmethod", "property", "staticmethod"))
# They are others in each process.
_STREAMS = frozenset(("*", "executable", "stderr", "stdin", "stdout"))
# cgi and cgitb are legacy-cgi's from Python 3.13 on.
_STANDARD = sys.stdlib_module_names - {"__future__"} | {"cgi", "cgitb"}


class ScriptError(Exception):
    """A script of which no program can be made, and why."""


class Copy(msgspec.Struct, frozen=True):
    """A script as it is compiled, in UTF-8."""

    source: str
    line: int  # the freeze point's


def name_of(path: Path) -> str:
    """The name of the program that a script becomes."""
    return path.stem if path.suffix in (".cgi", ".py") else path.name


def freezable(path: Path) -> Copy:
    """The copy of the script `path`; raises ScriptError where it is none of Python 3."""
    # What is under the freeze point must not be nothing.
    lines = [*_read(path).split("\n"), "", "pass"]
    is_unbuffered = _UNBUFFERED.match(lines[0]) is not None
    lines[:2] = ["#" if _TOLD.match(line) else line for line in lines[:2]]
    source = "\n".join(lines)
    try:
        tree = ast.parse(source)
        starts = _logical_lines(source)
    except (SyntaxError, tokenize.TokenError) as error:
        raise ScriptError(f"{path}: {error}: is it of Python 2?") from None
    line = _freeze_point(tree.body, len(lines))
    modules = sorted(set(_imported(tree.body)))
    arguments = ["globals()", *map(repr, modules), *(["unbuffered=True"] if is_unbuffered else [])]
    lines[line - 1] = f"with __import__('nativecgi.script').script.process({', '.join(arguments)}):"
    for start in starts:
        if start > line:
            lines[start - 1] = re.sub(r"^\f*", r"\g<0> ", lines[start - 1])
    return Copy("\n".join(lines) + "\n", line)


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


def _freeze_point(body: Sequence[ast.stmt], last: int) -> int:
    """The number of the empty line, or comment, at which a script is frozen.

    It is the last one above the first statement that may have to do with the request.
    """
    constants: set[str] = set()
    harmless = len(list(takewhile(lambda it: _is_harmless(it, constants), body[:-1])))
    ends = [0, *(it.end_lineno or last for it in body)]
    begins = [_first_line(it) for it in body]
    for number in range(harmless, _earliest(body) - 1, -1):
        if begins[number] - 1 > ends[number]:
            return begins[number] - 1
    raise ScriptError(
        f"it is to be frozen above line {begins[harmless]}, in a line that is empty or a comment: "
        "add one there"
    )


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(it.lineno for it in decorators)])


def _earliest(body: Sequence[ast.stmt]) -> int:
    """How many statements have to stay at the top: the docstring, and what is from __future__."""
    kept = (
        number
        for number, it in enumerate(body, 1)
        if (number == 1 and _is_docstring(it))
        or (isinstance(it, ast.ImportFrom) and it.module == "__future__")
    )
    return max(kept, default=0)


def _is_docstring(it: ast.stmt) -> bool:
    return isinstance(it, ast.Expr) and isinstance(it.value, ast.Constant)


def _is_harmless(it: ast.stmt, constants: set[str]) -> bool:
    """Whether a statement does the same at the build as it would do in each process.

    `constants` are the names of those there are so far, to which its own are added.
    """
    match it:
        case ast.Import() | ast.Pass() | ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call(function, arguments, keywords)):
            # It holds the standard output there is, which is set right (nativecgi/script.py).
            return ast.unparse(function) == "cgitb.enable" and _are_constant(
                [*arguments, *(keyword.value for keyword in keywords)], constants
            )
        case ast.ImportFrom(module, names):
            return module != "sys" or not _STREAMS & {name.name for name in names}
        case ast.Assign(targets, value):
            return _is_constant(value, constants) and all(_add(it, constants) for it in targets)
        case ast.AnnAssign(target, annotation, value):
            is_constant = value is None or _is_constant(value, constants)
            return is_constant and _is_type(annotation) and _add(target, constants)
        case ast.AugAssign(ast.Name(name), _, value):
            return name in constants and _is_constant(value, constants)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            constants.discard(it.name)
            return _is_harmless_function(it, constants)
        case ast.ClassDef(name, bases, [], body, decorators):
            constants.discard(name)
            own = set(constants)
            return (
                not decorators
                and all(map(_is_type, bases))
                and all(_is_harmless(part, own) for part in body)
            )
        case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), _, orelse):
            return all(_is_harmless(part, constants) for part in orelse)
        case ast.Try(body, handlers, orelse, finalbody):
            types = [handler.type for handler in handlers if handler.type]
            parts = [*body, *(part for it in handlers for part in it.body), *orelse, *finalbody]
            return all(map(_is_type, types)) and all(_is_harmless(it, constants) for it in parts)
    return False


def _is_harmless_function(it: ast.FunctionDef | ast.AsyncFunctionDef, constants: set[str]) -> bool:
    arguments = it.args
    defaults = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
    everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    everything += filter(None, (arguments.vararg, arguments.kwarg))
    annotations = [it.returns, *(argument.annotation for argument in everything)]
    return (
        _are_constant(defaults, constants)
        and all(map(_is_type, filter(None, annotations)))
        and all(isinstance(d, ast.Name) and d.id in _DECORATORS for d in it.decorator_list)
    )


def _add(target: ast.expr, constants: set[str]) -> bool:
    """Note a constant's names; returns whether that is all that is assigned to."""
    parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    names = {it.id for it in parts if isinstance(it, ast.Name)}
    constants |= names
    return len(names) == len(parts)


def _is_constant(it: ast.expr | None, constants: set[str]) -> bool:
    """Whether an expression is made of constants alone."""
    match it:
        case None | ast.Constant():
            return True
        case ast.Name(name):
            return name in constants
        case ast.Tuple(elts) | ast.List(elts) | ast.Set(elts) | ast.JoinedStr(elts):
            parts: list[ast.expr | None] = [*elts]
        case ast.Dict(keys, values):
            parts = [*keys, *values]
        case ast.UnaryOp(_, operand):
            parts = [operand]
        case ast.BinOp(left, _, right):
            parts = [left, right]
        case ast.FormattedValue(value, _, format_spec):
            parts = [value, format_spec]
        case ast.Lambda(arguments):
            parts = [*arguments.defaults, *arguments.kw_defaults]
        case ast.Call(function, arguments, keywords):
            if not _is_known(function, constants):
                return False
            parts = [*arguments, *(keyword.value for keyword in keywords)]
        case _:
            return False
    return _are_constant(parts, constants)


def _are_constant(parts: Iterable[ast.expr | None], constants: set[str]) -> bool:
    return all(_is_constant(part, constants) for part in parts)


def _is_known(function: ast.expr, constants: set[str]) -> bool:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant):
        return True  # a method of a string, such as "a b c".split
    name = ast.unparse(function)
    return name in _CALLS and name.partition(".")[0] not in constants


def _is_type(it: ast.expr) -> bool:
    """Whether an expression is a class's name, or of the forms that annotations have."""
    parts = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.BinOp)
    kinds = (*parts, ast.expr_context, ast.operator)
    return all(isinstance(node, kinds) for node in ast.walk(it))


def _imported(body: Sequence[ast.stmt]) -> Iterator[str]:
    """The modules of the standard library that are imported anywhere, and what could be ones."""
    for node in (node for it in body for node in ast.walk(it)):
        match node:
            case ast.Import(names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(str(module), names, 0):
                modules = [module, *(f"{module}.{it.name}" for it in names if it.name != "*")]
            case _:
                continue
        yield from (name for name in modules if name.partition(".")[0] in _STANDARD)
