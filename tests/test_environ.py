"""os.environ of a new process: read late, and as it would have been from the start."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.letterbox import Letterbox

ROOT = Path(__file__).parent.parent

GIVEN_UP = """
import os
from nativecgi import environ
environ.give_up()
environ.renew(["A=1", "B=caf\\udce9=x", "A=2", "", "none", "C="])
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
    # Behind the last there is a NUL, and nothing behind that.
    assert letterbox.arguments_and_variables() == (arguments, [*variables, ""])
    assert letterbox.kinds()[:3] == bytes((1, 2, 8))


def test_a_letterbox_that_was_too_small_sends_to_proc() -> None:
    letterbox = Letterbox()
    letterbox.address(bytes(range(16)))
    letterbox.post([], [], b"")
    letterbox._words[0] = 2**64 - 1
    _arguments, variables = letterbox.arguments_and_variables()
    assert any("python" in variable for variable in variables)
