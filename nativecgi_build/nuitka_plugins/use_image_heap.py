"""A plugin of Nuitka's: has Python's objects in the freezer's image heap (image_heap.c).

Nuitka loads this file by its path.
"""

from pathlib import Path

from nuitka.plugins.PluginBase import NuitkaPluginBase

SOURCE = Path(__file__).with_name("image_heap.c")


class UseImageHeap(NuitkaPluginBase):
    """Adds a C file."""

    plugin_name = "nativecgi-use-image-heap"
    plugin_desc = "Have Python's objects where the freezer puts them."

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """C files, by their names."""
        return {SOURCE.name: SOURCE.read_text()}
