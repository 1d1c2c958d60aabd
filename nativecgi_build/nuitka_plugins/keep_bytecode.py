"""A plugin of Nuitka's: installed packages stay bytecode, which takes it minutes less.

Nuitka loads this file by its path. The packages are in the program all the same, and what importing
them costs is gone when it is frozen. So it is with nativecgi: in a process that has just begun,
memory that is in no cache counts more than instructions, and with bytecode it is a sixth less.
"""

import sys

from nuitka.plugins.PluginBase import NuitkaPluginBase
from nuitka.utils.ModuleNames import ModuleName, trigger_names

from nativecgi_build.nuitka_plugins.installed import installed, linked

# What is worth it: an upload takes a tenth more instructions with multipart's bytecode.
COMPILED = {"multipart"}
# What of nativecgi's own an app's environment has in a folder of links, which is no site-packages.
LINKED = {"msgspec"}
# The part of nativecgi that takes over the bytecode or asks whether it is compiled; and the modules
# in it that do neither.
FROZEN = "nativecgi.frozen"
NOT_COMPILED = tuple(f"{FROZEN}.{name}" for name in "immortal mersenne openings rehearsal".split())


class KeepBytecode(NuitkaPluginBase):
    """Decides what is compiled."""

    plugin_name = "nativecgi-keep-bytecode"
    plugin_desc = "Keep installed packages as bytecode."

    def __init__(self) -> None:
        others = (installed(sys.path) | LINKED) - linked(sys.path) - COMPILED
        self._bytecode = sorted(others | {"nativecgi"})

    def decideCompilation(self, module_name: ModuleName) -> str | None:  # noqa: N802
        """How a module is included; None leaves it to others."""
        # Nuitka's own code before or behind a module: it fails where it finds that in its cache of
        # bytecode, so in all programs with urllib.request but the first.
        if str(module_name).endswith(trigger_names):
            return "compiled"
        if module_name.hasNamespace(FROZEN) and not module_name.hasOneOfNamespaces(NOT_COMPILED):
            return None
        return "bytecode" if module_name.hasOneOfNamespaces(self._bytecode) else None
