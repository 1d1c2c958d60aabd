"""A refusal for what a Python program has left open shows the line that opened it, and what to do.

Each program is run by the freezer, and refused.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Refusal = Callable[[str], str]

LOG = "Give the log's handler delay=True"
# What a module does, a line of it, and what its author is told.
CULPRITS = {
    "log": ("import logging\nlogging.basicConfig(filename='app.log')", LOG),
    "rotated log": (
        "import logging.handlers\n"
        "def configure():\n"
        "    return logging.handlers.RotatingFileHandler('app.log')\n"
        "handler = configure()",
        LOG,
    ),
    "database": (
        "import sqlite3\n"
        "connection = sqlite3.connect('shop.db')\n"
        "connection.execute('create table if not exists article (name)')",
        "Connect in the handler, or in a function under @after_thaw; what is needed before, close",
    ),
    "file": ("file = open('/etc/passwd')", "Read it under `with open(...)`, which closes it"),
    "file by its descriptor": ("import os\nfile = os.open('/etc/passwd', 0)", "Read it under"),
    "socket": (
        "import socket\nconnection = socket.socket()",
        "Connect in the handler, or in a function under @after_thaw.",
    ),
    "shared memory": (
        "from multiprocessing.shared_memory import SharedMemory\n"
        "memory = SharedMemory(create=True, size=4096)\n"
        "memory.unlink()",
        "Make shared memory in the handler",
    ),
    "temporary file": (
        "import tempfile\nfile = tempfile.TemporaryFile()",
        "Make temporary files in the handler",
    ),
    "pipe": ("import os\nends = os.pipe()\nimport colorsys", "Open it in the handler"),
}
# The line that opens, which is the last where no other is named.
OPENING = {"database": 2, "shared memory": 2, "rotated log": 3, "pipe": 3}


@pytest.fixture
def refusal(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> Callable[..., str]:
    """Freezes a program of a module in vain, and returns the message."""

    def freeze_in_vain(module: str, program: str = "from nativecgi import run, text") -> str:
        (tmp_path / "opens.py").write_text(module)
        (tmp_path / "program.py").write_text(
            f"{program}\nimport opens\nfrom nativecgi import run, text\n"
            "run(lambda request: text('hello'))\n"
        )
        result = freeze(
            *(sys.executable, tmp_path / "program.py"),
            output=tmp_path / "image",
            options=["-e", f"PYTHONPATH={ROOT}"],
            prefix=("sh", "-c", f'cd {tmp_path} && exec "$@"', "sh"),
        )
        assert result.returncode == 3
        assert "cannot be frozen as it is" in result.stderr
        return result.stderr

    return freeze_in_vain


@pytest.mark.parametrize("culprit", CULPRITS)
def test_the_line_is_shown_with_what_to_do(refusal: Refusal, tmp_path: Path, culprit: str) -> None:
    module, advice = CULPRITS[culprit]
    message = refusal(module)
    number = OPENING.get(culprit, len(module.splitlines()))
    line = module.splitlines()[number - 1].strip()
    shown = message[message.index("descriptor 3 was opened here:\n") :]
    assert f'  File "{tmp_path / "opens.py"}", line {number}, in ' in shown
    assert f"    {line}\n  {advice}" in shown


def test_a_descriptor_that_has_been_closed_is_not_shown(refusal: Refusal) -> None:
    message = refusal("open('/etc/hosts').close()\nfile = open('/etc/passwd')")
    assert "/etc/hosts" not in message
    assert message.count("was opened here") == 1


def test_each_that_is_open_is_shown(refusal: Refusal) -> None:
    message = refusal("first = open('/etc/passwd')\nsecond = open('/etc/passwd')")
    assert "descriptor 3 was opened here:" in message
    assert "    first = open('/etc/passwd')\n" in message
    assert "descriptor 4 was opened here:" in message
    assert "    second = open('/etc/passwd')\n" in message


def test_what_was_opened_before_the_library_was_imported_is_said_to_be(
    refusal: Callable[..., str],
) -> None:
    message = refusal("import sys", program="file = open('/etc/passwd')")
    assert "descriptor 3 was open before nativecgi was imported: import it first" in message


def test_a_log_is_known_whenever_it_was_opened(refusal: Callable[..., str]) -> None:
    """A script does not import the library; its build does, late."""
    program = "import logging\nlogging.basicConfig(filename='app.log')"
    message = refusal("import sys", program=program)
    assert re.search(
        rf"descriptor 3 is open for a log, <FileHandler .*/app.log .*>\n  {LOG}", message
    )


def test_a_program_that_is_refused_for_another_reason_is_run_once(
    refusal: Refusal, tmp_path: Path
) -> None:
    """It may have effects."""
    count = tmp_path / "count"
    module = (
        f"with open('{count}', 'a') as file:\n    file.write('x')\n"
        "import signal\nsignal.alarm(1000)"
    )
    assert "ITIMER_REAL" in refusal(module)
    assert count.read_text() == "x"


def test_where_the_second_run_fails_the_refusal_is_the_first_one_s(
    refusal: Refusal, tmp_path: Path
) -> None:
    """What the first run has done may be in its way."""
    message = refusal(f"import os\nos.mkdir('{tmp_path / 'once'}')\nfile = open('/etc/passwd')")
    assert "descriptor 3 is open on /etc/passwd" in message
    assert "Traceback" not in message


def test_no_audit_hook_is_in_a_program_that_is_frozen(
    freeze: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """It would be called at each event of each process."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "hooks = []\n"
        "add, sys.addaudithook = sys.addaudithook, hooks.append\n"
        "from nativecgi import run, text\n"
        "run(lambda request: text(f'{len(hooks)} hooks'))\n"
    )
    image = tmp_path / "image"
    options = ["-e", f"PYTHONPATH={ROOT}"]
    result = freeze(sys.executable, program, output=image, options=options)
    assert result.returncode == 0, result.stderr
    answer = subprocess.run([image], env={"REQUEST_METHOD": "GET"}, capture_output=True)
    assert answer.stdout.endswith(b"\n0 hooks")
