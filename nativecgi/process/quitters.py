"""exit and quit, which Python's module `site` defines, and which compiled programs would lack."""

import builtins
from _sitebuiltins import Quitter

_END_OF_INPUT = "Ctrl-D (i.e. EOF)"


def define_quitters() -> None:
    """Have exit and quit be defined, as they are in a Python without the option -S."""
    for name in ("exit", "quit"):
        if not hasattr(builtins, name):
            setattr(builtins, name, Quitter(name, _END_OF_INPUT))
