"""A plugin of Nuitka's: includes the data files of installed packages, such as translations.

Nuitka loads this file by its path. Of a package with parts in other packages these files count
only where the program has the part: because something imports it, or because there is nothing but
data in it.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nuitka.plugins.PluginBase import NuitkaPluginBase

from nativecgi_build.nuitka_plugins.data import data_files, data_packages
from nativecgi_build.nuitka_plugins.installed import installed


class IncludeData(NuitkaPluginBase):
    """Adds files to a program."""

    plugin_name = "nativecgi-include-data"
    plugin_desc = "Include the data files of installed packages."

    def __init__(self) -> None:
        self._installed = tuple(sorted(installed(sys.path)))

    def getImplicitImports(self, module: Any) -> Iterator[str]:  # noqa: N802
        """The packages of data in a package, which no code imports that reads files there."""
        name = module.getFullName()
        if self._is_installed_package(module):
            for package in data_packages(Path(module.getCompileTimeDirectory())):
                yield f"{name}.{package}"

    def considerDataFiles(self, module: Any) -> Iterator[Any]:  # noqa: N802
        """The files that come with a module."""
        name = module.getFullName()
        if self._is_installed_package(module):
            folder = Path(module.getCompileTimeDirectory())
            for file in data_files(folder):
                yield self.makeIncludedDataFile(
                    source_path=str(file),
                    dest_path=os.path.join(name.asPath(), file.relative_to(folder)),
                    reason=f"data of package '{name}'",
                    tags="package_data",
                )

    def _is_installed_package(self, module: Any) -> bool:
        is_package = Path(module.getCompileTimeFilename()).name == "__init__.py"
        return is_package and bool(module.getFullName().hasOneOfNamespaces(self._installed))
