"""A plugin of Nuitka's: has the C code of a module be the same in all programs, for ccache.

Nuitka loads this file by its path. Modules call functions of the main module in C, by names that
begin with its own. Where an app is a package, those would be others in each program. And each app's
environment has a link to Nuitka, so that the compiler would be given another path to its headers.
"""

import os
from pathlib import Path
from typing import Any

from nuitka.plugins.PluginBase import NuitkaPluginBase

_USUAL = "__main__"


class ShareCode(NuitkaPluginBase):
    """Gives the functions of the main module, and Nuitka's headers, the same names everywhere."""

    plugin_name = "nativecgi-share-code"
    plugin_desc = "Have modules compiled once for all programs."

    def onModuleCompleteSet(self, module_set: Any) -> None:  # noqa: N802
        """All modules are known."""
        from nuitka.build import SconsInterface  # which needs options that were not read before

        headers = os.path.realpath(SconsInterface.getSconsDataPath())
        SconsInterface.getSconsDataPath = lambda: headers
        (self._main,) = (it.getCodeName() for it in module_set if it.isMainModule())

    def onGeneratedSourceCode(self, source_dir: str, onefile: bool) -> None:  # noqa: ARG002, N802
        """All C files are written, and none is compiled."""
        if self._main == _USUAL:
            return
        for file in Path(source_dir).glob("*.c"):
            code = file.read_bytes()
            named = code.replace(f"impl_{self._main}$$$".encode(), f"impl_{_USUAL}$$$".encode())
            if named != code:
                file.write_bytes(named)
