"""Makes Nuitka's modules of those that stay bytecode, from their sources (read_imports.py)."""

import ast
import hashlib
import marshal
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nuitka.Bytecodes import compileSourceToBytecode
from nuitka.containers.OrderedSets import OrderedSet
from nuitka.freezer.ImportDetection import detectEarlyImports
from nuitka.importing import Importing
from nuitka.importing.ImportResolving import resolveModuleName
from nuitka.nodes.ModuleNodes import makeUncompiledPythonModule
from nuitka.plugins import Plugins
from nuitka.plugins.Hooks import onModuleUsageLookAhead
from nuitka.tree import Building
from nuitka.utils.ModuleNames import ModuleName

from nativecgi_build.nuitka_plugins.imports import Import, imports_of
from nativecgi_build.nuitka_plugins.module_cache import Module, ModuleCache


def install(cache: ModuleCache) -> None:
    """Have Nuitka make modules in this way, where it can be done, and in its own elsewhere."""
    make = Building.buildModule

    def build_module(**given: Any) -> Any:
        """As Nuitka's, with its arguments."""
        return _made(cache, **given) or make(**given)

    Building.buildModule = build_module


def _made(
    cache: ModuleCache,
    module_name: ModuleName,
    module_kind: str,
    module_filename: str,
    reason: str,
    source_code: str | None,
    **given: Any,
) -> Any:
    """A module that stays bytecode; None if it is another, or cannot be made in this way."""
    if module_kind != "py" or source_code is not None or any(map(given.get, _OTHERS)):
        return None
    if Building.decideCompilationMode(False, module_name, module_filename, False) != "bytecode":
        return None
    _, is_package, is_namespace, place, file = Importing.decideModuleSourceRef(
        module_filename, module_name, False, False, None
    )
    if is_namespace or file is None:
        return None
    try:
        # What is read in advance Nuitka keeps, for itself if need be.
        source = Building.readSourceCodeFromFilenameWithInformation(module_name, file, True)[0]
        changes = list(_changes(module_name))
        made_by = f"{_MAKER} {module_name} {changes}"
        made = cache.module(source, made_by, lambda: _module(module_name, source, bool(changes)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # Nuitka includes it all the same, in some way
    module = makeUncompiledPythonModule(
        module_name=module_name,
        reason=reason,
        filename=place.getFilename(),
        bytecode=made.code,
        is_package=is_package,
        technical=module_name in detectEarlyImports(),
    )
    package = module_name if is_package else module_name.getPackageName()
    module.setUsedModules(OrderedSet(_usages(made.imports, package, place)))
    return module


def _module(name: ModuleName, source: str, is_changed: bool) -> Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        code = compileSourceToBytecode(source, f"{name.asPath()}.py")
        tree = ast.parse(source)
    if is_changed:
        _change(name, tree.body, ())
    return Module(marshal.dumps(code), imports_of(tree))


def _changes(name: ModuleName) -> Iterator[Any]:
    """Which functions and classes of a module, and of those below it, Nuitka replaces."""
    plugin = Plugins.active_plugins["anti-bloat"]
    for owner in (name, *name.getParentPackageNames()):
        for entry in plugin.config.get(owner, section="anti-bloat"):
            changed = [entry[key] for key in _REPLACED if key in entry]
            if changed and plugin.evaluateCondition(owner, entry.get("when", "True")):
                yield changed


_REPLACED = ("change_function", "global_change_function", "change_class")


def _change(module: ModuleName, nodes: Iterable[ast.AST], within: tuple[str, ...]) -> None:
    """Replace what Nuitka replaces, such as functions for tests: what only they import is left out.

    That is so in the syntax tree which it takes imports from. In bytecode it replaces nothing.
    """
    plugin = Plugins.active_plugins["anti-bloat"]
    for node in nodes:
        inner = within
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                inner = (*within, node.name, "<locals>")
                path = ".".join((*within, node.name))
                plugin.onFunctionBodyParsing(module, path, node.name, node.body)
            case ast.ClassDef():
                inner = (*within, node.name)
                plugin.onClassBodyParsing(module, node.name, node)
        _change(module, ast.iter_child_nodes(node), inner)


# An interpreter's bytecode is its own.
_MAKER = hashlib.sha256(
    "\n".join(
        [sys.version, *(Path(__file__).with_name(it).read_text() for it in
                        ("bytecode_modules.py", "imports.py", "module_cache.py"))]
    ).encode()
).hexdigest()  # fmt: skip

# Arguments that say that a module is no ordinary one.
_OTHERS = ("is_top", "is_main", "is_fake")


def _usages(imports: list[Import], package: ModuleName | None, place: Any) -> Iterator[Any]:
    """What Nuitka finds for each import of a module in a package."""
    for found in imports:
        name = ModuleName(resolveModuleName(found.name)) if found.name else ModuleName("")
        here = place.atLineNumber(found.line)
        where = package if found.level else None
        name, file, kind, finding = Importing.locateModule(name, where, found.level)
        if not name.getTopLevelPackageName():
            continue
        onModuleUsageLookAhead(name, file, kind)
        usage = _usage((name, file, kind, finding), found.level, here, "import")
        yield from Importing.makeParentModuleUsagesAttempts(usage)
        if file is None or not Importing.isPackageDir(file):
            continue
        for part in found.names:
            # What is no module may be an attribute, or one that a package loads when it is asked.
            for within in (name.getChildNamed(part), *_lazily_loaded(name, part)):
                located = Importing.locateModule(within, None, 0)
                if located[1] is not None:
                    yield _usage(located, 0, here, "import fromlist")


def _lazily_loaded(package: ModuleName, name: str) -> list[ModuleName]:
    """The modules that a package such as pydantic loads when it is asked for an attribute."""
    known = Plugins.active_plugins["implicit-imports"].lazy_loader_usages.get(package, ((), {}))[1]
    return [module for module, names in known.items() if name in names]


def _usage(located: tuple[Any, ...], level: int, place: Any, why: str) -> Any:
    name, file, kind, finding = located
    return Importing.makeModuleUsageAttempt(name, file, kind, finding, level, place, why)
