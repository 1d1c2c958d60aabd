"""A plugin of Nuitka's: includes the data files of installed packages, such as translations.

Nuitka loads this file by its path. Of a package with parts in other packages these files count
only where the program has the part.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nuitka.plugins.PluginBase import NuitkaPluginBase

from nuitka_plugins.installed import installed

# What is a module, or made from one, or for a type checker or compiler.
CODE = {".py", ".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h", ".so", ".typed"}


class IncludeData(NuitkaPluginBase):
    """Adds files to a program."""

    plugin_name = "nativecgi-include-data"
    plugin_desc = "Include the data files of installed packages."

    def __init__(self) -> None:
        self._installed = tuple(sorted(installed(sys.path)))

    def considerDataFiles(self, module: Any) -> Iterator[Any]:  # noqa: N802
        """The files that come with a module."""
        name = module.getFullName()
        is_package = Path(module.getCompileTimeFilename()).name == "__init__.py"
        if is_package and name.hasOneOfNamespaces(self._installed):
            folder = Path(module.getCompileTimeDirectory())
            for file in data_files(folder):
                yield self.makeIncludedDataFile(
                    source_path=str(file),
                    dest_path=os.path.join(name.asPath(), file.relative_to(folder)),
                    reason=f"data of package '{name}'",
                    tags="package_data",
                )


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
