"""A plugin of Nuitka's: compiled functions count their calls (count_calls.h).

Nuitka loads this file by its path. It has no hook for a function's C code; so the templates that
the code is made from are changed, each in a line that it has in the pinned version of Nuitka.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

from nuitka.plugins.PluginBase import NuitkaPluginBase

HEADER = Path(__file__).with_name("count_calls.h")
SOURCE = Path(__file__).with_name("count_calls.c")

FUNCTION = "%(parameter_objects_decl)s) {\n"
RESUMED = "PyObject *yield_return_value) {\n"


class CountCalls(NuitkaPluginBase):
    """Adds a line of C to each function."""

    plugin_name = "nativecgi-count-calls"
    plugin_desc = "Count the calls of compiled functions."

    def onModuleCompleteSet(self, module_set: Any) -> None:  # noqa: ARG002, N802
        """All modules are known, and no code is made yet."""
        from nuitka.code_generation import (
            AsyncgenCodes,
            CoroutineCodes,
            FunctionCodes,
            GeneratorCodes,
        )

        _put(FunctionCodes, "template_function_body", FUNCTION, "COUNT_CALL();\n")
        for module, template, it in (
            (GeneratorCodes, "template_generator_context_body_template", "generator"),
            (CoroutineCodes, "template_coroutine_object_body", "coroutine"),
            (AsyncgenCodes, "template_asyncgen_object_body", "asyncgen"),
        ):
            _put(module, template, RESUMED, f"COUNT_RESUMPTION_OF({it});\n")

    def getExtraCodeFiles(self) -> dict[str, str]:  # noqa: N802
        """C files, by their names."""
        return {SOURCE.name: SOURCE.read_text()}

    def getExtraIncludeDirectories(self) -> list[str]:  # noqa: N802
        """Where the header is."""
        return [str(HEADER.parent)]

    def getModuleIncludes(self, context: Any) -> tuple[str]:  # noqa: ARG002, N802
        """What each module's C file includes."""
        return (HEADER.name,)


def _put(module: ModuleType, name: str, line: str, added: str) -> None:
    """Put a line behind another of a template; raises ValueError where that is not found once."""
    template = getattr(module, name)
    if template.count(line) != 1:
        raise ValueError(f"Nuitka's {name} is another than count_calls.py knows")
    setattr(module, name, template.replace(line, line + added))
