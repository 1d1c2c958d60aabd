"""Packs what a program may import after it is frozen: it takes that along.

Beside a program are extension modules and libraries, as files. Its modules in bytecode are in the
program, where they cannot be left out of its memory one by one. Of both there are compressed copies
then.
"""

import marshal
import zlib
from pathlib import Path

from nativecgi.frozen.bytecode import CODE, INDEX
from nativecgi.frozen.closedworld import PACKED

# Where nuitka_plugins/late_imports.py has written it, in the folder that Nuitka was run in.
LIST = "bytecode.list"

# What is needed to unpack the others.
_NEEDED = ("zlib.", "libz.")


def pack(folder: Path, listed: Path) -> None:
    """Write the copies into a program's folder; `listed` has the bytecode (late_imports.py)."""
    for library in [*folder.rglob("*.so"), *folder.rglob("*.so.*")]:
        if not library.name.startswith(_NEEDED):
            packed = library.with_name(library.name + PACKED)
            packed.write_bytes(zlib.compress(library.read_bytes()))
    modules = marshal.loads(listed.read_bytes())
    index = [
        (name, is_package, len(code), zlib.compress(code)) for name, is_package, code in modules
    ]
    (folder / INDEX).write_bytes(marshal.dumps(index))
    (folder / CODE).write_bytes(b"".join(code for _name, _is_package, code in modules))
