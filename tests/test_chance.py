"""Which generators of `random` each process has to seed, in processes of their own."""

import subprocess
import sys

import pytest

# What a program does at import, and then the names of the generators of which it is found.
PROGRAM = """
import sys
from nativecgi import chance
chance.watch()
{imports}
found = chance.self_seeded()
names = [name for name, it in globals().items() if any(it is each for each in found)]
if "random" in sys.modules and any(it is sys.modules["random"]._inst for it in found):
    names.append("random")
print(*sorted(names))
assert not hasattr(__import__("random").Random.seed, "__wrapped__"), "it is watched no more"
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
