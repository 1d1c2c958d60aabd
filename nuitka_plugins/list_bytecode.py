"""A plugin of Nuitka's: writes down which bytecode is in a program.

Nuitka loads this file by its path. The build packs the list beside the program (packing.py).
"""

import marshal
from pathlib import Path
from typing import Any

from nuitka.plugins.PluginBase import NuitkaPluginBase
from nuitka.utils.ModuleNames import trigger_names

# In the folder that Nuitka is run in: of each module its name, whether it is a package, and its
# code as the program has it.
LIST = Path("bytecode.list")


class ListBytecode(NuitkaPluginBase):
    """Looks at a program's modules."""

    plugin_name = "nativecgi-list-bytecode"
    plugin_desc = "Write down which bytecode is in a program."

    def onModuleCompleteSet(self, module_set: Any) -> None:  # noqa: N802
        """All modules are known."""
        modules = {module.getFullName().asString(): module for module in module_set}
        listed = [
            (name, module.kind == "UNCOMPILED_PYTHON_PACKAGE", module.getByteCode())
            for name, module in sorted(modules.items())
            if module.kind.startswith("UNCOMPILED_")
            # What Nuitka runs before or after a module only its own loader does.
            and not any(name + trigger in modules for trigger in trigger_names)
        ]
        LIST.write_bytes(marshal.dumps(listed))
