"""Imports shutil without the compressors that it looks for.

It imports bz2, lzma and, from Python 3.14 on, zstd to see whether they are there, and forgets them
until somebody asks for an archive. Each program has shutil, because tempfile needs it, and each of
its processes would have the libraries of these modules mapped.
"""

import sys
from importlib.util import find_spec
from types import ModuleType

# The modules that it looks for, and what each of them cannot do without.
_LOOKED_FOR = {"bz2": "_bz2", "lzma": "_lzma", "compression.zstd": "_zstd"}


def import_shutil() -> None:
    """Import it; what it finds is imported when something needs that."""
    if "shutil" in sys.modules:
        return
    found = [
        name
        for name, needed in _LOOKED_FOR.items()
        if name not in sys.modules and find_spec(needed)
    ]
    sys.modules.update((name, ModuleType(name)) for name in found)
    try:
        import shutil  # noqa: F401
    finally:
        for name in found:
            del sys.modules[name]
