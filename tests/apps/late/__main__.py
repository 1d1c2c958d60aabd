"""Imports a module when a request asks for it: /WAY/MODULE. And does things with such: /uses/NAME.

What is imported is answered by the public names in it. tests/test_late_imports.py builds it, with
statements.py, which has a statement for each module.
"""

# /// script
# dependencies = ["jinja2==3.1.6", "PyYAML==6.0.3"]
# ///

import importlib
import importlib.util
import pkgutil
import runpy
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from nativecgi import Request, Response, json, run

statements: Any = importlib.import_module("late.statements")
uses: Any = importlib.import_module("late.uses")


def by_a_statement(name: str) -> ModuleType:
    statements.STATEMENTS[name](name)
    return sys.modules[name]


def by_a_statement_in_bytecode(name: str) -> ModuleType:
    exec(f"import {name}", {})
    return sys.modules[name]


def by_a_name(name: str) -> ModuleType:
    return importlib.import_module(name)


def by_a_constant_name(name: str) -> ModuleType:
    module = statements.CALLS[name](name)
    assert isinstance(module, ModuleType)
    return module


def by_the_built_in_function(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def by_its_spec(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return sys.modules[name]


def by_its_parent_s_path(name: str) -> ModuleType:
    """As plugins are found: by what is in the folder of a package."""
    parent, _, child = name.rpartition(".")
    path = list(importlib.import_module(parent).__path__) if parent else None
    for found in pkgutil.iter_modules(path):
        if found.name == child:
            finder: Any = found.module_finder
            module = finder.find_spec(name).loader.load_module(name)
            assert isinstance(module, ModuleType)
            return module
    raise ModuleNotFoundError(name)


def again_and_again(name: str) -> ModuleType:
    """Imported, loaded again, and imported after it was removed."""
    first = importlib.import_module(name)
    assert importlib.reload(first) is sys.modules[name]
    del sys.modules[name]
    return importlib.import_module(name)


def as_a_program(name: str) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(runpy.run_module(name))
    return module


WAYS: dict[str, Callable[[str], ModuleType]] = {
    way.__name__: way
    for way in (
        by_a_statement,
        by_a_statement_in_bytecode,
        by_a_name,
        by_a_constant_name,
        by_the_built_in_function,
        by_its_spec,
        by_its_parent_s_path,
        again_and_again,
        as_a_program,
    )
}


def outcome(do: Callable[[], object]) -> object:
    """What something returns, or what it raises: the type alone, as messages have paths in them."""
    try:
        return do()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__} was raised"


def imported(way: str, name: str) -> object:
    return outcome(lambda: public(WAYS[way](name)))


def public(module: ModuleType) -> list[str]:
    """The names in a module, but for those of modules: some are added by who imports them."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    )


def handle(request: Request) -> Response:
    match request.parts:
        case ["uses", name]:
            return json(outcome(uses.USES[name]))
        case [way, name]:
            return json(imported(way, name))
        case _:
            return json(sorted(WAYS))


if __name__ == "__main__":
    run(handle)
