"""os.environ of a new process: read late, and as it would have been from the start."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi.process.environment import Block, parse
from nativecgi.process.letterbox import Letterbox
from tests.extensions import extension

ROOT = Path(__file__).parents[2]

Parse = Callable[[Block, int], tuple[list[str], dict[str, str]]]

GIVEN_UP = """
import os
from nativecgi.process import environment
environment.give_up()
environment.renew(b"A=1\\0B=caf\\xe9=x\\0A=2\\0\\0none\\0C=\\0", 0)
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
    block = b"".join(os.fsencode(variable) + b"\0" for variable in variables)
    strings, count = letterbox.strings()
    assert parse(strings, count)[0] == arguments
    assert bytes(strings).endswith(block)
    assert letterbox.kinds()[:3] == bytes((1, 2, 8))


def test_a_letterbox_that_was_too_small_sends_to_proc() -> None:
    letterbox = Letterbox()
    letterbox.address(bytes(range(16)))
    letterbox.post([], [], b"")
    letterbox._words[0] = 2**64 - 1
    strings, _count = letterbox.strings()
    assert b"python" in bytes(strings)


# --- taking strings apart, in Python and in C ---


@pytest.fixture(params=["python", "c"], scope="module")
def parsed(request: pytest.FixtureRequest) -> Parse:
    return parse if request.param == "python" else request.getfixturevalue("parse_in_c")


@pytest.fixture(scope="module")
def parse_in_c(tmp_path_factory: pytest.TempPathFactory) -> Parse:
    """That of environment.c."""
    found: Parse = extension("environment", tmp_path_factory.mktemp("extension")).parse
    return found


def test_the_first_strings_are_arguments(parsed: Parse) -> None:
    assert parsed(b"hello\0A=1\0A=2\0", 2) == (["hello", "A=1"], {"A": "2"})


def test_there_may_be_fewer_strings_than_arguments(parsed: Parse) -> None:
    assert parsed(b"hello\0", 2) == (["hello"], {})


def test_variables_are_in_their_order(parsed: Parse) -> None:
    assert list(parsed(b"B=1\0A=2\0", 0)[1].items()) == [("B", "1"), ("A", "2")]


def test_of_two_variables_of_one_name_the_first_counts(parsed: Parse) -> None:
    assert parsed(b"A=1\0B=2\0A=3\0", 0)[1] == {"A": "1", "B": "2"}


def test_a_value_may_be_empty_or_have_an_equals_sign(parsed: Parse) -> None:
    assert parsed(b"A=\0B=b=c\0", 0)[1] == {"A": "", "B": "b=c"}


@pytest.mark.parametrize("block", [b"", b"\0", b"\0\0", b"A\0", b"=\0", b"=A\0"])
def test_what_has_no_name_or_no_equals_sign_is_no_variable(parsed: Parse, block: bytes) -> None:
    assert parsed(block, 0) == ([], {})


def test_what_is_not_utf_8_is_kept_as_surrogates(parsed: Parse) -> None:
    expected = ["\udcff"], {"A\udcff": "caf\udce9", "B": "\u00e9"}
    assert parsed(memoryview(b"\xff\0A\xff=caf\xe9\0B=\xc3\xa9\0"), 1) == expected


@given(
    block=st.binary()
    | st.lists(st.sampled_from([b"A=", b"A", b"=", b"\xe9", b"\0"])).map(b"".join),
    count=st.integers(0, 3),
)
def test_c_and_python_find_the_same_in_any_block(
    parse_in_c: Parse, block: bytes, count: int
) -> None:
    arguments, variables = parse(block, count)
    found = parse_in_c(block, count)
    assert (found[0], list(found[1].items())) == (arguments, list(variables.items()))
