"""Generators of random numbers in libraries, of which no two thaws may have the same state.

A library that asks the kernel each time, or notices that it is in another process, needs nothing.
"""

from freezer import symbols
from freezer.procfs import Mapping
from freezer.tracee import Tracee

# Functions that make a generator seed itself when it is next used, and their arguments.
# sqlite3_randomness(0, NULL): https://www.sqlite.org/c3ref/randomness.html
_RESET = {"sqlite3_randomness": (0, 0)}


def renew(tracee: Tracee, mappings: list[Mapping], scratch: int) -> None:
    """Have the libraries of a stopped process forget their seeds; `scratch` is free stack."""
    for name, address in symbols.addresses(tracee.pid, mappings, tuple(_RESET)).items():
        tracee.call_function(address, scratch, *_RESET[name])
