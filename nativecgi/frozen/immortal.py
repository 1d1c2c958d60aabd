"""Objects that live for ever (PEP 683): nothing counts the references to them.

A reference count that is written to costs a process the page of memory that it is in. From Python
3.12 on an object whose count has a certain value is left alone, and this gives all objects there
are that value before the freeze. They are not freed then, and no finalizer of theirs runs: a
process ends as a whole.
"""

import gc
import os
import sys
from types import CodeType
from typing import Any

# Include/refcount.h and its forerunner Include/object.h: what is written to the lower half of
# ob_refcnt, an object's first word. An object is immortal if that is negative as an int32_t.
_IMMORTAL_COUNT = (0xC000_0000 if sys.version_info >= (3, 14) else 0xFFFF_FFFF).to_bytes(
    4, "little"
)
# The garbage collector does not look into code objects.
_PARTS_OF_CODE = (
    "co_consts co_exceptiontable co_filename co_linetable co_name co_names co_qualname".split()
)


def immortalize() -> None:
    """Have all objects that can be reached live for ever, where this Python has such objects."""
    if sys.version_info < (3, 12) or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return
    # An object's id is its address; this is the way to write there without a module in C.
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        for it in _reachable():
            os.pwrite(memory.fileno(), _IMMORTAL_COUNT, id(it))


def _reachable() -> list[Any]:
    """All objects that the garbage collector knows, and what they refer to."""
    reached: list[Any] = []
    found = gc.get_objects()
    seen = {id(found), id(reached)}
    while found:
        it = found.pop()
        if id(it) not in seen:
            seen.add(id(it))
            reached.append(it)
            found += gc.get_referents(it)
            # Not isinstance(): an object may claim another class, or fail when it is asked for it.
            if type(it) is CodeType:
                found += [getattr(it, name) for name in _PARTS_OF_CODE]
    return reached
