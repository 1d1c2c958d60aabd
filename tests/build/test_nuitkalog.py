"""Why a compilation failed, from logs as Nuitka, gcc and ld write them."""

import pytest

from nativecgi_build.build import nuitkalog

STARTED = """\
Nuitka-Options: Used command line options:
Nuitka-Options:   --mode=standalone app.py
Nuitka: Starting Python compilation with:
Nuitka:   Version '4.3.3' on Python 3.11 (flavor 'Debian Python').
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "FATAL: Error, including metadata for distribution 'pycparser' without including\n"
            "    related package 'pycparser'.\nNuitka: Done.\n",
            "FATAL: Error, including metadata for distribution 'pycparser' without including\n"
            "    related package 'pycparser'.",
        ),
        (
            "module.app.c:7:10: fatal error: Python.h: No such file or directory\n"
            "    7 | #include <Python.h>\n"
            "compilation terminated.\n"
            "scons: *** [module.app.o] Error 1\n"
            "FATAL: Failed unexpectedly in Scons C backend compilation.\n",
            "module.app.c:7:10: fatal error: Python.h: No such file or directory\n"
            "    7 | #include <Python.h>",
        ),
        (
            "/usr/bin/ld: main.o: in function `f':\n"
            "main.c:(.text+0x5): undefined reference to `g'\n"
            "collect2: error: ld returned 1 exit status\nFATAL: Failed unexpectedly in Scons\n",
            "main.c:(.text+0x5): undefined reference to `g'",
        ),
        (
            'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n'
            "RecursionError: maximum recursion depth exceeded\n",
            "RecursionError: maximum recursion depth exceeded",
        ),
        ("Usage: python -m nuitka\n\nnuitka: error: no such option: --x\n",
         "nuitka: error: no such option: --x"),
        ("\x1b[31mFATAL: No C compiler was found.\x1b[0m\n", "FATAL: No C compiler was found."),
    ],
    ids=["nuitka", "compiler", "linker", "traceback", "options", "colors"],
)  # fmt: skip
def test_the_line_that_names_the_cause_is_the_reason(log: str, reason: str) -> None:
    assert nuitkalog.reason(STARTED + log) == reason


def test_the_same_line_is_told_once() -> None:
    assert nuitkalog.reason("FATAL: No compiler.\nFATAL: No compiler.\n") == "FATAL: No compiler."


def test_where_no_line_names_a_cause_the_last_lines_are_told() -> None:
    log = "".join(f"line {number}\n\n" for number in range(100))
    assert nuitkalog.reason(log).splitlines() == [f"line {number}" for number in range(88, 100)]


def test_of_many_causes_the_first_are_told() -> None:
    log = "".join(f"a.c:{number}:1: error: wrong\n" for number in range(1, 100))
    assert nuitkalog.reason(log).splitlines()[0] == "a.c:1:1: error: wrong"
    assert len(nuitkalog.reason(log).splitlines()) == 12
