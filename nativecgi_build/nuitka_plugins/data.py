"""Which files of an installed package are data, and which packages in it are data only."""

import ast
from collections.abc import Iterator
from pathlib import Path

# What is a module, or made from one, or for a type checker or compiler; and what translations are
# made from.
CODE = {
    *(".py", ".pyc", ".pyi", ".so", ".typed"),
    *(".pyx", ".pxd", ".c", ".h"),
    *(".po", ".pot"),
}


def data_files(folder: Path) -> Iterator[Path]:
    """The files of a package that are no code; those of packages in it are not its own."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if not (path / "__init__.py").exists():
                yield from data_files(path)
        elif path.suffix not in CODE:
            yield path


def data_packages(folder: Path) -> list[str]:
    """The names of the packages in a package that are there for the files in them.

    Such a package, and each package in it, has no module and imports none.
    """
    inits = sorted(folder.glob("*/__init__.py"))
    return [init.parent.name for init in inits if _is_data(init.parent)]


def _is_data(package: Path) -> bool:
    files = [path for path in package.rglob("*") if path.is_file()]
    modules = [path for path in files if path.suffix in {".py", ".so"}]
    return any(path.suffix not in CODE for path in files) and all(
        path.name == "__init__.py" and not _imports(path) for path in modules
    )


def _imports(module: Path) -> bool:
    try:
        tree = ast.parse(module.read_bytes())
    except SyntaxError:
        return True  # it is no module, and cannot be included as one
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))
