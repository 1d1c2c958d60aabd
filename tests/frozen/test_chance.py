"""Which generators of `random` each process has to seed, in processes of their own."""

import subprocess
import sys

import pytest

# What a program does at import, and then the names of the generators of which it is found.
PROGRAM = """
import sys
from nativecgi.frozen import chance
chance.watch()
{imports}
found = chance.self_seeded()
names = [name for name, it in globals().items() if any(it is each for each in found)]
if "random" in sys.modules and any(it is sys.modules["random"]._inst for it in found):
    names.append("random")
print(*sorted(names))
random = __import__("random")
for name in ("seed", "getstate", "setstate"):
    assert not hasattr(getattr(random.Random, name), "__wrapped__"), "it is watched no more"
"""


def found(imports: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM.format(imports=imports)]
    return subprocess.check_output(command, text=True).split()


@pytest.mark.parametrize(
    "imports",
    [
        "import random",
        "import random as other_name",
        "from random import choice",
        "draw = (__import__('random').random,)",
        "def handle(): return handle.module\nhandle.module = __import__('random')",
    ],
)
def test_the_modules_own_is_seeded_if_somebody_has_it(imports: str) -> None:
    assert found(imports) == ["random"]


def test_the_modules_own_is_left_alone_if_nobody_has_it() -> None:
    assert found("") == []
    assert found("import tempfile") == [], "it has but the class"


@pytest.mark.parametrize("seed", ["", "None", "a=None"])
def test_a_generator_that_seeds_itself_is_found(seed: str) -> None:
    assert "own" in found(f"import random; own = random.Random({seed.removeprefix('a=')})")
    assert "own" in found(f"import random; own = random.Random(7); own.seed({seed})")


@pytest.mark.parametrize("seed", ["7", "a=7", "'text'", "0"])
def test_a_generator_that_was_given_a_seed_is_not(seed: str) -> None:
    assert "own" not in found(f"import random; own = random.Random(); own.seed({seed})")


def test_a_generator_of_another_class_is_found() -> None:
    assert "own" in found("import random; own = type('Own', (random.Random,), {})()")


def test_one_without_state_is_not() -> None:
    assert "own" not in found("import random; own = random.SystemRandom()")


@pytest.mark.parametrize("seed", ["", "None"])
def test_one_of_the_module_in_c_is_found(seed: str) -> None:
    assert "own" in found(f"import _random; own = _random.Random({seed})")


@pytest.mark.parametrize("holder", ["[own]", "(own,)", "{'key': (own,)}", "type('Own', (), {})"])
def test_it_is_found_wherever_it_is(holder: str) -> None:
    """The garbage collector knows nothing of it."""
    imports = "import _random; own = _random.Random(); held = {holder}; held.own = held"
    if not holder.startswith("type"):
        imports = "import _random; own = _random.Random(); held = {holder}"
    assert "own" in found(imports.format(holder=holder))


@pytest.mark.parametrize("seed", ["7", "'text'", "2**100"])
def test_one_of_the_module_in_c_that_was_given_a_seed_is_not(seed: str) -> None:
    assert "own" not in found(f"import _random; own = _random.Random({seed}); own.random()")


GIVEN = "import random; other = random.Random(7); state = other.getstate(); "
DRAWN = "import random; other = random.Random(); state = other.getstate(); "


def test_a_generator_whose_state_was_given_is_not() -> None:
    assert "own" not in found(GIVEN + "own = random.Random(); own.setstate(state)")


def test_a_generator_whose_state_is_a_given_one_s_copy_is_not() -> None:
    assert "own" not in found(GIVEN + "import copy; own = copy.copy(other)")


def test_a_generator_that_is_put_back_is_found() -> None:
    """As is done around a part of a program that is to be the same each time."""
    assert "own" in found(DRAWN + "own = other; own.seed(7); own.setstate(state)")


def test_a_copy_of_a_generator_that_has_seeded_itself_is_found() -> None:
    assert "own" in found(DRAWN + "import copy; own = copy.copy(other)")
    assert "own" in found("import random; own = random.Random(7); own.setstate(random.getstate())")
