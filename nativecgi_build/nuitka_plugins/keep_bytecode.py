"""A plugin of Nuitka's: installed packages stay bytecode, which takes it minutes less.

Nuitka loads this file by its path. The packages are in the program all the same, and what importing
them costs is gone when it is frozen.
"""

import sys

from nuitka.plugins.PluginBase import NuitkaPluginBase
from nuitka.utils.ModuleNames import ModuleName, trigger_names

from nativecgi_build.nuitka_plugins.installed import installed, linked

# What nativecgi runs in each request. An upload takes a tenth more instructions with multipart's
# bytecode; msgspec is in C.
COMPILED = {"nativecgi", "multipart"}
# What of nativecgi's own an app's environment has in a folder of links, which is no site-packages.
LINKED = {"msgspec"}
# Of nativecgi what runs at the build alone. Not those that ask whether they are compiled.
AT_THE_BUILD = tuple(
    f"nativecgi.frozen.{name}" for name in "immortal memory mersenne openings rehearsal".split()
)


class KeepBytecode(NuitkaPluginBase):
    """Decides what is compiled."""

    plugin_name = "nativecgi-keep-bytecode"
    plugin_desc = "Keep installed packages as bytecode."

    def __init__(self) -> None:
        own = linked(sys.path) | COMPILED
        self._bytecode = (*sorted((installed(sys.path) | LINKED) - own), *AT_THE_BUILD)

    def decideCompilation(self, module_name: ModuleName) -> str | None:  # noqa: N802
        """How a module is included; None leaves it to others."""
        # Nuitka's own code before or behind a module: it fails where it finds that in its cache of
        # bytecode, so in all programs with urllib.request but the first.
        if str(module_name).endswith(trigger_names):
            return "compiled"
        return "bytecode" if module_name.hasOneOfNamespaces(self._bytecode) else None
