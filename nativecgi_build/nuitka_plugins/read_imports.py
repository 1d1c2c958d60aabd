"""A plugin of Nuitka's: reads what a module imports from its source, if it stays bytecode.

Nuitka loads this file by its path. By itself Nuitka optimizes each module as if it were to compile
it, only to see its imports, and then throws that away: half a minute for the standard library. It
has no hook for that, so its function that makes a module is replaced (bytecode_modules.py).
"""

from pathlib import Path

from nuitka.plugins.PluginBase import NuitkaPluginBase
from nuitka.utils.AppDirs import getCacheDir

from nativecgi_build.nuitka_plugins.module_cache import ModuleCache


class ReadImports(NuitkaPluginBase):
    """Makes the modules that stay bytecode."""

    plugin_name = "nativecgi-read-imports"
    plugin_desc = "Read the imports of modules that stay bytecode."

    def onCompilationStartChecks(self) -> None:  # noqa: N802
        """All options are read, and no module is made."""
        # Much of Nuitka cannot be imported before.
        from nativecgi_build.nuitka_plugins.bytecode_modules import install

        self._cache = ModuleCache(Path(getCacheDir("nativecgi-modules", create=True)))
        install(self._cache)

    def onGeneratedSourceCode(self, source_dir: str, onefile: bool) -> None:  # noqa: ARG002, N802
        """All modules are made."""
        self._cache.prune()
