"""The freezer in a checkout: `python -m freezer -o OUT -- PROGRAM ARGS...`.

It is the package nativecgi_build.freezer.
"""

import sys

from nativecgi_build.freezer import (
    SECONDS,
    THEN,
    CannotFreeze,
    FreezerError,
    Unsupported,
    WouldBeLost,
    freeze,
    require_support,
)
from nativecgi_build.freezer.__main__ import main

__all__ = [
    "SECONDS",
    "THEN",
    "CannotFreeze",
    "FreezerError",
    "Unsupported",
    "WouldBeLost",
    "freeze",
    "require_support",
]

if __name__ == "__main__":
    sys.exit(main())
