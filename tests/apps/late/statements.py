"""Imports modules by statements, and by calls with constant names. A test writes these.

    def statements_0(name: str) -> object:
        if name == "colorsys":
            import colorsys
        elif name == "ctypes":
            ...

Nuitka finds the modules by these; and it compiles some statements, and all such calls, into imports
of another kind than a call with a variable.
"""

from collections.abc import Callable

# By a module's name, the function that imports it if it is called with that name.
STATEMENTS: dict[str, Callable[[str], object]] = {}
CALLS: dict[str, Callable[[str], object]] = {}
