"""A plugin of Nuitka's: prepares the modules that are not compiled for imports after the freeze.

Nuitka loads this file by its path. Each such module has an entry in the table of Nuitka's loader,
with the function that imports it; this plugin puts another there (late_imports.c). It also writes
down the bytecode of those whose entry it has changed, which the build packs beside the program
(packing.py).
"""

import marshal
from pathlib import Path
from typing import Any

from nuitka.plugins.PluginBase import NuitkaPluginBase
from nuitka.utils.ModuleNames import trigger_names

# In the folder that Nuitka is run in: of each module its name, whether it is a package, and its
# code as the program has it.
LIST = Path("bytecode.list")

_SOURCE = Path(__file__).with_suffix(".c")
_NUITKAS, _OURS = "IMPORT_EMBEDDED_MODULE_ENTRY", "nativecgi_import_module"
_DECLARATION = (
    f"extern PyObject *{_OURS}(PyThreadState *,"
    " struct Nuitka_MetaPathBasedLoaderEntry const *, PyObject *);\n"
)


class LateImports(NuitkaPluginBase):
    """Changes the entries of modules that are not compiled."""

    plugin_name = "nativecgi-late-imports"
    plugin_desc = "Import modules that are not compiled as import statements do."

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._listed: list[tuple[str, bool, bytes]] = []

    def onModuleCompleteSet(self, module_set: Any) -> None:  # noqa: N802
        """All modules are known."""
        self._names = {module.getFullName().asString() for module in module_set}

    def onMetaPathLoaderEntryTemplate(  # noqa: N802
        self, module: Any, template_args: dict[str, Any]
    ) -> None:
        """An entry of the table is about to be made."""
        if module.isCompiledPythonModule():
            return
        template = template_args["template"]
        if template.count(_NUITKAS) != 1:
            self.sysexit(
                f"this version of Nuitka imports modules by something else than {_NUITKAS}"
            )
        template_args["template"] = _DECLARATION + template.replace(_NUITKAS, _OURS)
        name = module.getFullName().asString()
        # What Nuitka runs before or after a module only its own loader does.
        is_triggering = any(name + trigger in self._names for trigger in trigger_names)
        if module.isUncompiledPythonModule() and not is_triggering:
            self._listed.append((name, module.isUncompiledPythonPackage(), module.getByteCode()))

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """What is compiled along."""
        return {_SOURCE.name: _SOURCE.read_text()}

    def onGeneratedSourceCode(self, source_dir: str, onefile: bool) -> None:  # noqa: ARG002, N802
        """All entries are made."""
        LIST.write_bytes(marshal.dumps(sorted(self._listed)))
