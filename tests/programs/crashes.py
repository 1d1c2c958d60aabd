"""Reaches its freeze point, then ends as END in its environment names."""

import ctypes
import faulthandler
import os

from nativecgi.frozen.freezepoint import reach


def follow_null() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def fail() -> None:
    raise LookupError("on purpose")


ENDS = {end.__name__: end for end in (follow_null, abort, fail)}

if __name__ == "__main__":
    if "FAULTHANDLER" in os.environ:
        faulthandler.enable()
    reach(lambda: lambda: None)
    ENDS[os.environ["END"]]()
