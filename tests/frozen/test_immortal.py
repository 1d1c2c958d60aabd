"""Objects that live for ever, in each Python, in processes of their own."""

import subprocess
from pathlib import Path

import pytest

from tests import pythons

ROOT = Path(__file__).parents[2]

# Prints whether references to some objects are counted.
PROGRAM = """
import sys
from nativecgi.frozen.immortal import immortalize

class Thing:
    def method(self):
        return "a constant"

class Slotted:
    __slots__ = ("slot",)

# As a framework's lazy object, which makes what it stands for when it is asked for anything.
class Lazy:
    @property
    def __class__(self):
        raise LookupError("not configured")

lazy = Lazy()

def is_counted(it):
    before = sys.getrefcount(it)
    held = [it] * 100
    return sys.getrefcount(it) != before

thing, slotted, parts = Thing(), Slotted(), ["te", "xt"]
thing.text, thing.number, slotted.slot = "".join(parts), 10**20, b"".join([b"by", b"tes"])
immortalize()
later = Thing()
code = Thing.method.__code__
older = (thing, thing.text, thing.number, slotted, slotted.slot, Thing, Thing.method, code)
older += (code.co_consts, code.co_consts[-1], code.co_linetable, sys.modules, __name__)
print(*(is_counted(it) for it in older))
print(is_counted(later))
"""


def found(version: str) -> list[set[str]]:
    """Of what was there before, and of what came later."""
    command = [str(pythons.environment(version)), "-c", PROGRAM]
    shown = subprocess.check_output(command, env={"PYTHONPATH": str(ROOT)}, text=True)
    return [set(line.split()) for line in shown.splitlines()]


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_all_there_is_lives_for_ever(version: str) -> None:
    if pythons.find(version) is None:
        pytest.skip(f"there is no python{version}")
    assert found(version) == [{"False"}, {"True"}]


def test_python_3_11_counts_on() -> None:
    if pythons.find("3.11") is None:
        pytest.skip("there is no python3.11")
    before, later = found("3.11")
    assert "True" in before
    assert later == {"True"}
