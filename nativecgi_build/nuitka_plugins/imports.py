"""Which modules a module imports, read from its syntax tree."""

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import NamedTuple


class Import(NamedTuple):
    """An import of one module: by a statement, or by a call that names it in a string."""

    name: str  # as written; "" in `from . import names`
    level: int  # the number of dots in front of it
    names: tuple[str, ...]  # that are taken from it, each of which may be a module
    line: int


def imports_of(tree: ast.Module) -> list[Import]:
    """All imports of a module that Python on this machine may come to, in order.

    Left out is what stands behind a condition that is never met here, such as
    `if TYPE_CHECKING`, and what is imported by a name that is not written in the module.
    """
    return list(_imports(tree.body, _attributes(tree)))


def _attributes(tree: ast.Module) -> dict[str, set[str]]:
    """The attributes that a module asks for, by the names that it has what they are of by."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
    return found


def _imports(nodes: Iterable[ast.AST], attributes: Mapping[str, set[str]]) -> Iterator[Import]:
    for node in nodes:
        match node:
            case ast.Import():
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    asked = tuple(sorted(attributes.get(alias.asname or top, ())))
                    if alias.asname or top == alias.name:
                        yield Import(alias.name, 0, asked, node.lineno)
                    else:
                        yield Import(top, 0, asked, node.lineno)
                        yield Import(alias.name, 0, (), node.lineno)
            case ast.ImportFrom():
                names = tuple(alias.name for alias in node.names if alias.name != "*")
                yield Import(node.module or "", node.level, names, node.lineno)
            case ast.If() | ast.IfExp():
                yield from _imports([node.test, *_taken(node)], attributes)
            case ast.Call():
                if name := _imported_by(node):
                    yield Import(name, 0, (), node.lineno)
                yield from _imports(ast.iter_child_nodes(node), attributes)
            case ast.stmt() | ast.expr() | ast.excepthandler() | ast.match_case():
                yield from _imports(ast.iter_child_nodes(node), attributes)
            case ast.keyword() | ast.withitem() | ast.comprehension() | ast.arguments():
                yield from _imports(ast.iter_child_nodes(node), attributes)


def _imported_by(call: ast.Call) -> str:
    """The module that a call such as import_module("x") imports, or ""."""
    match call.func:
        case ast.Name("__import__" | "import_module") | ast.Attribute(attr="import_module"):
            pass
        case _:
            return ""
    match call.args:
        case [ast.Constant(str(name)), *_]:
            return name if all(part.isidentifier() for part in name.split(".")) else ""
    return ""


def _taken(node: ast.If | ast.IfExp) -> Sequence[ast.AST]:
    """The branches of a condition that may be taken."""
    body = node.body if isinstance(node.body, list) else [node.body]
    orelse = node.orelse if isinstance(node.orelse, list) else [node.orelse]
    outcome = _outcome(node.test)
    if outcome is None:
        return [*body, *orelse]
    return body if outcome else orelse


# What a condition may ask about the machine.
_KNOWN = {
    "sys": SimpleNamespace(platform=sys.platform, version_info=sys.version_info),
    "os": SimpleNamespace(name=os.name),
    "typing": SimpleNamespace(TYPE_CHECKING=False),
    "TYPE_CHECKING": False,
    "__debug__": True,
    "__name__": "",
}
_PLAIN = (ast.Constant, ast.Tuple, ast.Compare, ast.UnaryOp, ast.Subscript, ast.Slice,
          ast.Attribute, ast.cmpop, ast.unaryop, ast.expr_context)  # fmt: skip


def _outcome(test: ast.expr) -> bool | None:
    """Whether a condition is met on this machine; None if only the program knows."""
    if isinstance(test, ast.BoolOp):
        decisive = isinstance(test.op, ast.Or)  # one operand of this value is enough
        outcomes = [_outcome(operand) for operand in test.values]
        if decisive in outcomes:
            return decisive
        return None if None in outcomes else not decisive
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        outcome = _outcome(test.operand)
        return None if outcome is None else not outcome
    if not all(map(_is_known, ast.walk(test))):
        return None
    try:
        return bool(eval(compile(ast.Expression(test), "", "eval"), {"__builtins__": {}}, _KNOWN))
    except Exception:
        return None  # it asks for something else, such as sys.maxsize


def _is_known(node: ast.AST) -> bool:
    """Whether a part of a condition has a value that is known, and no effect."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "startswith"
    return isinstance(node, _PLAIN) or (isinstance(node, ast.Name) and node.id in _KNOWN)
