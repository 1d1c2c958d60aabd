"""A plugin of Nuitka's: builds into a program what of nativecgi is written in C.

Nuitka loads this file by its path. Plain Python has nothing of that: there a crash goes unanswered
(crash.c), and Python does what the others do faster.
"""

from pathlib import Path

from nuitka.plugins.PluginBase import NuitkaPluginBase

SOURCES = ("crash.c", "environment.c", "image_heap.c", "zone.c")


class BuildIn(NuitkaPluginBase):
    """Adds C files."""

    plugin_name = "nativecgi-build-in"
    plugin_desc = "Build in the modules written in C."

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """C files, by their names."""
        folder = Path(__file__).parent
        return {name: f"#define BUILT_IN\n{(folder / name).read_text()}" for name in SOURCES}
