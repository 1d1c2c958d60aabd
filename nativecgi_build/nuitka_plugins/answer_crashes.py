"""A plugin of Nuitka's: builds into a program what answers its crashes (crash.c).

Nuitka loads this file by its path. In plain Python, which has no such module, a crash goes
unanswered.
"""

from pathlib import Path

from nuitka.plugins.PluginBase import NuitkaPluginBase

SOURCE = Path(__file__).with_name("crash.c")


class AnswerCrashes(NuitkaPluginBase):
    """Adds a module written in C."""

    plugin_name = "nativecgi-answer-crashes"
    plugin_desc = "Build in what answers crashes."

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """C files, by their names."""
        return {SOURCE.name: f"#define BUILT_IN\n{SOURCE.read_text()}"}
