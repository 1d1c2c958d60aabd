"""Makes a compiled program independent of the folder it was compiled to."""

import importlib
import os
import sys
from collections.abc import Iterator

_SUFFIX = ".so"


def import_extension_modules() -> None:
    """Import every extension module that Nuitka put beside the program.

    All other modules are in the program itself and can be imported at any time; these are
    files, which will not be there when a frozen program's handler imports one of them.
    """
    if "__compiled__" not in globals():
        return
    for name in sorted(_extension_modules(os.path.dirname(sys.executable))):
        try:
            importlib.import_module(name)
        except Exception:
            # A library and no module, or a module that needs what this machine has not: its
            # import fails in the handler as it does here.
            continue


def _extension_modules(folder: str) -> Iterator[str]:
    for parent, _folders, files in os.walk(folder):
        package = os.path.relpath(parent, folder).split(os.sep) if parent != folder else []
        for file in files:
            if file.endswith(_SUFFIX):
                yield ".".join([*package, file.removesuffix(_SUFFIX)])
