"""The README's first commands, and a wheel of this checkout to try them with."""

import re
import subprocess
import sys
from pathlib import Path

from tests.checkout import ROOT


def start_commands() -> str:
    """What the section "Start" has one type, word for word."""
    readme = (ROOT / "README.md").read_text()
    section = re.search(r"^## Start\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)
    assert section is not None
    return "".join(re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL))


def start_output() -> str:
    """What the last of the commands prints, as the section shows it."""
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"^## Start\n.*?```text\n(Status:.*?)```", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    return shown[1]


def build_wheel(folder: Path) -> Path:
    """A wheel of this checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, str(folder), str(ROOT)], check=True, cwd=folder)
    (wheel,) = folder.glob("nativecgi-*.whl")
    return wheel
