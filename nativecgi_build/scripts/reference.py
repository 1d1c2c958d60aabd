"""WSGI and ASGI applications that exist: named as MODULE:ATTRIBUTE, taken without an edited line.

The program's main file is made here. It loads the application either before the freeze, or, where
loading it reads what is a process's own, in each process; then what it imports from others is
imported before the freeze all the same.
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

Interface = Literal["wsgi", "asgi"]

_ENTRY = '''\
"""{reference}, as a program: made by the build."""

from nativecgi.adapters.application import answer
from nativecgi.adapters.{interface} import {adapter}


def load():
    """The application, as a handler."""
    from {module} import {name}

    return {adapter}({expression})


answer(load, {arguments})
'''


class BadReference(Exception):
    """What names no application, and why."""


class Reference(msgspec.Struct, frozen=True):
    """An application by the name that application servers know it by."""

    interface: Interface
    module: str
    expression: str  # a name in the module, or a call of one: create_app("production")
    root: Path  # the folder that the module is imported from
    called: str = ""  # what its program is called, if somebody says

    def __str__(self) -> str:
        """As it was given."""
        return f"{self.module}:{self.expression}"

    @property
    def name(self) -> str:
        """The name in the module."""
        return ast.unparse(_function(ast.parse(self.expression, mode="eval").body))

    @property
    def source(self) -> Path:
        """The module's file."""
        place = self.root.joinpath(*self.module.split("."))
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")

    @property
    def program(self) -> str:
        """What the program is called where nobody says: as the project."""
        first, *rest = self.module.split(".")
        if self.called:
            return self.called
        return first if rest or first not in ("app", "main", "wsgi", "asgi") else self.root.name


def parsed(interface: Interface, text: str, root: Path, called: str = "") -> Reference:
    """The application that MODULE:ATTRIBUTE or MODULE:FACTORY() names, below the folder `root`.

    Raises BadReference.
    """
    module, _, expression = text.partition(":")
    expression = expression or ("application" if interface == "wsgi" else "app")
    if not all(part.isidentifier() for part in module.split(".")):
        raise BadReference(f"{text!r} names no application\nwrite MODULE:ATTRIBUTE")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        _function(tree)
    except (SyntaxError, ValueError):
        raise BadReference(
            f"{expression!r} names no application\nwrite the name of one, or of a function that "
            "makes it with its arguments, such as create_app()"
        ) from None
    for folder in (root, root / "src"):
        found = Reference(interface, module, expression.strip(), folder.resolve(), called)
        if found.source.is_file():
            return found
    raise BadReference(
        f"there is no module {module!r} in {root}\nrun this in the folder that has it"
    )


def _function(tree: ast.expr) -> ast.expr:
    """What is called, or named; raises ValueError where it is neither."""
    if isinstance(tree, ast.Call):
        for value in (*tree.args, *(keyword.value for keyword in tree.keywords)):
            ast.literal_eval(value)
        tree = tree.func
    if not isinstance(tree, ast.Name):
        raise ValueError
    return tree


def entry(
    reference: Reference,
    *,
    is_late: bool,
    modules: Sequence[str],
    warmup: Sequence[str],
    limits: Mapping[str, float],
) -> str:
    """The program's main file.

    With `is_late` the application is made in each process; `modules` are then imported before the
    freeze. Else it answers the paths of `warmup` before.
    """
    adapter = f"from_{reference.interface}"
    arguments = [f"is_late={is_late}", f"modules={list(modules)!r}", f"warmup={list(warmup)!r}"]
    arguments += [f"limits={dict(limits)!r}"]
    return _ENTRY.format(
        reference=reference,
        interface=reference.interface,
        adapter=adapter,
        module=reference.module,
        name=reference.name,
        expression=reference.expression,
        arguments=", ".join(arguments),
    )
