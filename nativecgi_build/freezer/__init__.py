"""Freezes a running program into one self-contained ELF executable.

It knows nothing of what it freezes but the freeze point: the program finds FREEZE_POINT in its
environment, gets ready, and stops itself with SIGSTOP. See docs/frozen.md.
"""

from nativecgi_build.freezer.determinism import THEN
from nativecgi_build.freezer.errors import CannotFreeze, FreezerError, Unsupported, WouldBeLost
from nativecgi_build.freezer.freeze import SECONDS, Gain, freeze, require_support
from nativecgi_build.freezer.watch import Trial

__all__ = [
    "SECONDS",
    "THEN",
    "CannotFreeze",
    "FreezerError",
    "Gain",
    "Trial",
    "Unsupported",
    "WouldBeLost",
    "freeze",
    "require_support",
]
