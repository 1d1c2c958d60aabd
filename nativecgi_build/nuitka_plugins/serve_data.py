"""A plugin of Nuitka's: has the program serve data files from memory, to code in C as well.

Nuitka loads this file by its path. What it adds is in C, since only a program's own functions come
before those of the C library (datafiles.c); nativecgi/frozen/packagedata.py says which files there
are.
"""

from pathlib import Path

from nuitka.plugins.PluginBase import NuitkaPluginBase

SOURCES = ("datafiles.c", "datafiles_module.c")
_HEADER = "datafiles.h"


class ServeData(NuitkaPluginBase):
    """Adds C to a program."""

    plugin_name = "nativecgi-serve-data"
    plugin_desc = "Serve data files from memory."

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """The sources, by their names; each has the header in it, as Nuitka copies no header."""
        folder = Path(__file__).parent
        include, header = f'#include "{_HEADER}"\n', (folder / _HEADER).read_text()
        return {name: (folder / name).read_text().replace(include, header) for name in SOURCES}
