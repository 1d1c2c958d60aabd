"""A plugin of Nuitka's: builds into a program the modules of nativecgi's that are written in C.

Nuitka loads this file by its path. Plain Python has no such modules: there a crash goes unanswered
(crash.c), and Python does what the others do faster.
"""

from pathlib import Path

from nuitka.plugins.PluginBase import NuitkaPluginBase

SOURCES = ("crash.c", "environment.c", "zone.c")


class BuildIn(NuitkaPluginBase):
    """Adds modules written in C."""

    plugin_name = "nativecgi-build-in"
    plugin_desc = "Build in the modules written in C."

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """C files, by their names."""
        folder = Path(__file__).parent
        return {name: f"#define BUILT_IN\n{(folder / name).read_text()}" for name in SOURCES}
