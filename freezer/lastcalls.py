"""What libraries of a stopped process have to be told before its memory is read."""

from freezer import symbols
from freezer.procfs import Mapping
from freezer.tracee import Tracee

# Functions, and their arguments. A generator of random numbers that seeds itself once is to do so
# when it is next used; others ask the kernel each time, or notice that they are in another process.
_CALLS = {"sqlite3_randomness": (0, 0)}  # https://www.sqlite.org/c3ref/randomness.html


def call(tracee: Tracee, mappings: list[Mapping], scratch: int) -> None:
    """Call those of the functions that the process has; `scratch` is free stack."""
    for name, address in symbols.addresses(tracee.pid, mappings, tuple(_CALLS)).items():
        tracee.call_function(address, scratch, *_CALLS[name])
