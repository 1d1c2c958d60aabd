"""os.environ of a new process: read late, and as it would have been from the start."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.process.environment import Environment
from nativecgi.process.letterbox import Letterbox

ROOT = Path(__file__).parents[2]

GIVEN_UP = """
import os
from nativecgi.process import environment
environment.give_up()
environment.renew("\\0A=1\\0B=caf\\udce9=x\\0A=2\\0\\0none\\0C=\\0")
"""


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("os.environ['A'], os.getenv('C'), os.environ.get('D')", "('1', '', None)"),
        ("os.environb[b'B']", "b'caf\\xe9=x'"),
        ("os.environ['B']", "'caf\\udce9=x'"),
        ("sorted(os.environ)", "['A', 'B', 'C']"),
        ("len(os.environb), 'A' in os.environ, 'none' in os.environ", "(3, True, False)"),
        ("isinstance(os.environ, os._Environ), sorted(os.environ.copy())",
         "(True, ['A', 'B', 'C'])"),
        ("os.environ.pop('A'), 'A' in os.environ, b'A' in os.environb", "('1', False, False)"),
        ("os.environ.update(N='9') or os.environb[b'N'], os.environ['A']", "(b'9', '1')"),
    ],
)  # fmt: skip
def test_it_has_what_was_given(asked: str, answer: str) -> None:
    command = [sys.executable, "-c", f"{GIVEN_UP}\nprint(ascii(({asked})))"]
    shown = subprocess.check_output(command, env={"PYTHONPATH": str(ROOT)}, text=True)
    assert shown.strip() == ascii(eval(answer)).strip()


def test_what_is_set_is_the_child_s(tmp_path: Path) -> None:
    source = f"{GIVEN_UP}\nimport subprocess\nos.environ['E'] = 'set'\n"
    source += "subprocess.check_call(['/usr/bin/env'], env=os.environ)\n"
    source += "subprocess.check_call(['/usr/bin/env'])"
    command = [sys.executable, "-c", source]
    shown = subprocess.check_output(command, env={"PYTHONPATH": str(ROOT)}).split()
    assert shown.count(b"E=set") == 2


TEXTS = st.binary(max_size=40).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@given(arguments=st.lists(TEXTS), variables=st.lists(TEXTS))
def test_a_letterbox_gives_what_was_posted(arguments: list[str], variables: list[str]) -> None:
    letterbox = Letterbox()
    letterbox.post(arguments, variables, bytes((1, 2, 8)))
    block = "\0" + "".join(f"{variable}\0" for variable in variables)
    assert letterbox.arguments_and_block() == (arguments, block)
    assert letterbox.kinds()[:3] == bytes((1, 2, 8))


@given(variables=st.lists(TEXTS | st.sampled_from(["A=1", "A=2", "B=", "=C", "A"])), name=TEXTS)
def test_a_variable_is_found_as_by_one_that_takes_all_apart(
    variables: list[str], name: str
) -> None:
    expected: dict[str, str] = {}
    for variable in variables:
        key, separator, value = variable.partition("=")
        if separator and key:
            expected.setdefault(key, value)
    environment = Environment("\0" + "".join(f"{variable}\0" for variable in variables))
    for wanted in (name, *expected, *variables, "A", "B", "", "A=1", "A\0B"):
        assert environment.get(wanted) == expected.get(wanted)
        assert (wanted in environment) == (wanted in expected)
    assert dict(environment) == expected
    assert environment.get("A", "none") == expected.get("A", "none")


def test_what_is_set_in_an_environment_is_its_own() -> None:
    environment = Environment("\0A=1\0")
    environment["B"] = "2"
    del environment["A"]
    assert (dict(environment), environment.get("A"), "B" in environment) == ({"B": "2"}, None, True)


def test_a_letterbox_that_was_too_small_sends_to_proc() -> None:
    letterbox = Letterbox()
    letterbox.address(bytes(range(16)))
    letterbox.post([], [], b"")
    letterbox._words[0] = 2**64 - 1
    _arguments, block = letterbox.arguments_and_block()
    assert "python" in block
