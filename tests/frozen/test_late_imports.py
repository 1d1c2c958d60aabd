"""Modules that a built program imports when a request asks for them, by every way there is.

One program contains the standard library and a few packages. Each module is imported in a process
of its own, and has to be what it is in plain Python.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest

from nativecgi.testing import Client
from tests.apps.late import uses
from tests.checkout import WORK

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests" / "apps" / "late"

# What is not tested of the standard library, with all that is in it.
LEFT_OUT = {
    "antigravity": "opens a browser",
    "this": "prints a poem",
    **dict.fromkeys(["idlelib", "tkinter", "_tkinter", "turtle", "turtledemo"], "needs a display"),
    "lib2to3": "gone from Python 3.13 on",
    **dict.fromkeys(["ensurepip", "venv"], "installs packages"),
    "builtins": "plain Python has copyright, credits, license and help as well",
    "pydoc_data": "700 KB of help texts",
    **dict.fromkeys(["_frozen_importlib", "_frozen_importlib_external"], "makes imports"),
    **dict.fromkeys(["importlib._bootstrap", "importlib._bootstrap_external"], "makes imports"),
    **dict.fromkeys(["test", "tests"], "Python's own tests"),
    "__main__": "a program, which nothing imports",
}
PACKAGES = [
    *("jinja2", "jinja2.environment", "jinja2.sandbox", "markupsafe", "markupsafe._speedups"),
    *("yaml", "yaml.loader", "yaml._yaml", "msgspec", "msgspec.json", "msgspec._core"),
]

# Prints the names of the standard library's other modules.
LIST = f"""
import importlib.util, json, pkgutil, sys
names, left_out = set(), {sorted(LEFT_OUT)!r}
for name in sys.stdlib_module_names.difference(left_out):
    names.add(name)
    spec = importlib.util.find_spec(name)
    for found in pkgutil.walk_packages(spec and spec.submodule_search_locations or [], name + "."):
        if found.name not in left_out and not set(left_out).intersection(found.name.split(".")):
            names.add(found.name)
print(json.dumps(sorted(names)))
"""
# Prints what each of them is in plain Python.
EXPECTED = """
import importlib, json, sys
app = importlib.import_module("late.__main__")
print(json.dumps({name: app.imported("by_a_name", name) for name in json.load(sys.stdin)}))
"""

# Packages that can be run; those in the second line from Python 3.12 or 3.13 on.
PROGRAMS = ["asyncio", "unittest"]
PROGRAMS += ["_pyrepl", "sqlite3", "sysconfig", "zipfile"] if sys.version_info >= (3, 12) else []

# The app's ways to import a module (codecs, which are all alike, are imported by a name only), and
# which modules are known to be different by each, and why.
WAYS: dict[str, dict[str, str]] = {
    "by_a_statement": {},
    "by_a_statement_in_bytecode": {},
    "by_a_name": {},
    "by_a_constant_name": {},
    "by_the_built_in_function": {},
    "by_its_spec": {},
    "by_its_parent_s_path": {
        "importlib.*": "imported before Nuitka's loader is there, by one that lists no modules",
        "zipimport": "likewise",
    },
    "again_and_again": {},
    "as_a_program": {
        **dict.fromkeys(PROGRAMS, "its __main__ is not in the program"),
        "socket": "plain Python has not imported it before, without which it raises KeyError",
        "site": "Nuitka puts code into it that looks for what only its loaders set",
        "xmlrpc.server": "Nuitka's loader, which has no get_code, has to run code of its own first",
    },
}
TOGETHER = 20  # imports in a function


class Late:
    """The app, as a program and as plain Python."""

    def __init__(self, program: Path, app: Path, modules: list[str]) -> None:
        self._client = Client(program)
        self._app = app
        self._python = WORK / app.name / "venv" / "bin" / "python"
        self.modules = modules
        self._imported = json.loads(self._run("-c", EXPECTED, input=json.dumps(modules)))

    def in_the_program(self, path: str) -> object:
        """What the built program answers."""
        answer = self._client.get(path)
        assert answer.status == 200, answer.log
        return answer.json()

    def in_plain_python(self, path: str) -> object:
        """What the app answers in plain Python."""
        request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "/late"}
        answer = self._run(str(self._app / "__main__.py"), GATEWAY_INTERFACE="CGI/1.1", **request)
        return json.loads(answer.partition("\n\n")[2])

    def _run(self, *arguments: str, input: str = "", **env: str) -> str:
        command = [str(self._python), "-W", "ignore", "-P", *arguments]
        env |= {"PYTHONPATH": f"{self._app.parent}:{ROOT}"}
        done = subprocess.run(
            command, env=env, input=input, capture_output=True, text=True, check=True
        )
        return done.stdout

    def difference(self, way: str, name: str) -> str:
        """How a module that the program imports is not the same; empty if it is."""
        path = f"/{way}/{name}"
        try:
            found = self.in_the_program(path)
        except (AssertionError, ValueError) as error:
            return f"{name}: {error}"
        # Most ways lead to the same module; which do not, a start of Python tells.
        if found == self._imported[name]:
            return ""
        plain = self.in_plain_python(path)
        if found == plain or (isinstance(found, str) and isinstance(plain, str)):
            return ""  # what failed, failed in both
        return f"{name}: {found}, but in plain Python {plain}"


@pytest.fixture(scope="module")
def late(builder: Path) -> Late:
    app = ROOT / "build" / "tests" / "apps" / "late"
    shutil.copytree(APP, app, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    modules = json.loads(subprocess.check_output([builder, "-W", "ignore", "-c", LIST])) + PACKAGES
    (app / "statements.py").write_text(statements(modules))
    output = ROOT / "build" / "tests" / "late"
    command = [builder, ROOT / "build.py", "-o", output, app]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    if (output / "late").is_symlink():
        pytest.skip("this machine cannot freeze")
    return Late(output / "late", app, modules)


def statements(modules: list[str]) -> str:
    """What is in the app's statements.py."""
    lines = ["import importlib"]
    tables: dict[str, list[str]] = {"STATEMENTS": [], "CALLS": []}
    # Codecs are many, and in every program.
    modules = [name for name in modules if not name.startswith("encodings.")]
    for first in range(0, len(modules), TOGETHER):
        for table, entries in tables.items():
            function = f"{table.lower()}_{first}"
            lines.append(f"def {function}(name):")
            for name in modules[first : first + TOGETHER]:
                call = f"return importlib.import_module({name!r})"
                lines.append(f" if name == {name!r}:")
                lines.append(f"  {call if table == 'CALLS' else f'import {name}'}")
                entries.append(f"{name!r}: {function}")
    lines += [f"{table} = {{{', '.join(entries)}}}" for table, entries in tables.items()]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("way", WAYS)
def test_every_module_is_imported_as_in_plain_python(late: Late, way: str) -> None:
    different = [*WAYS[way], *([] if way == "by_a_name" else ["encodings.*"])]
    modules = [name for name in late.modules if not any(fnmatchcase(name, it) for it in different)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        differences = pool.map(partial(late.difference, way), modules)
    assert list(filter(None, differences)) == []


@pytest.mark.parametrize("use", [name for name in uses.USES if name != "source"])
def test_what_is_imported_late_works(late: Late, use: str) -> None:
    answer = late.in_the_program(f"/uses/{use}")
    assert "was raised" not in str(answer)
    assert answer == late.in_plain_python(f"/uses/{use}")


def test_the_source_of_a_function_is_not_there(late: Late) -> None:
    assert late.in_the_program("/uses/source") == "OSError was raised"
