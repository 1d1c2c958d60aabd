"""What a program has built in in C, compiled as an extension module for plain Python."""

import subprocess
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_PLUGINS = Path(__file__).parents[1] / "nativecgi_build" / "nuitka_plugins"


def build(name: str, folder: Path) -> Path:
    """Compile NAME.c, as a module for plain Python to import."""
    file = folder / f"_nativecgi_{name}.so"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command += [f"-I{sysconfig.get_path('include')}", "-o", str(file)]
    subprocess.run([*command, str(_PLUGINS / f"{name}.c")], check=True)
    return file


def extension(name: str, folder: Path) -> Any:
    """The module of NAME.c, compiled and imported."""
    file = build(name, folder)
    spec = spec_from_file_location(file.stem, file)
    assert spec
    return module_from_spec(spec)
