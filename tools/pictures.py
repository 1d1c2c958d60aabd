"""Draws what a terminal shows of the first steps: `python -m tools.pictures`.

The commands of the README's start run in an empty folder, and what they print becomes the SVG files
of docs/terminal/. The first build of a program takes a minute.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "terminal"
COLUMNS = 80
STEPS = {
    "new": ["nativecgi new hello", "cd hello", "ls"],
    "build": ["nativecgi build"],
    "request": [
        "REQUEST_METHOD=GET ./dist/hello",
        "REQUEST_METHOD=GET PATH_INFO=/Ann ./dist/hello | tail -1",
    ],
}
# Rich has the page load a font from elsewhere.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Run all steps, one after the other, and write a picture of each."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, commands in STEPS.items():
            shown = Text()
            for command in commands:
                shown.append("$ ", "green").append(f"{command}\n", "bold")
                if command.startswith("cd "):
                    folder /= command.removeprefix("cd ")
                else:
                    shown.append(_output(command, folder))
            (PICTURES / f"{name}.svg").write_text(picture(shown, commands[0]))


def picture(shown: Text, title: str) -> str:
    """A terminal window (SVG) that needs nothing from elsewhere."""
    shown.rstrip()
    shown.append("\n")  # the window ends where the last line does, which cuts off underscores
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(shown)
    drawn = console.export_svg(title=title, theme=MONOKAI, unique_id=re.sub(r"\W", "-", title))
    drawn = _FONTS.sub("", drawn).replace("Fira Code", "DejaVu Sans Mono")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def _output(command: str, folder: Path) -> str:
    environment = os.environ | {"COLUMNS": str(COLUMNS)}
    # The command is this Python's: what stands in its place is found first.
    with tempfile.TemporaryDirectory() as tools:
        tool = Path(tools, "nativecgi")
        tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m nativecgi_build "$@"\n')
        tool.chmod(0o755)
        environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE
        )
    return done.stdout.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    main()
