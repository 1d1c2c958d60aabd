"""Extension modules that a program has set aside: loaded from memory when they are imported."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LIBRARY = "int answer(void) { return 42; }\n"
MODULE = """
#include <Python.h>
int answer(void);
static PyObject *ask(PyObject *self, PyObject *nothing)
{
    (void)self;
    (void)nothing;
    return PyLong_FromLong(answer());
}
static PyMethodDef methods[] = {{"ask", ask, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "asking", NULL, 0, methods, NULL, NULL, NULL, NULL
};
PyMODINIT_FUNC PyInit_asking(void) { return PyModule_Create(&definition); }
"""
# Takes the files from the folder, and then they are gone.
PROGRAM = """
import os, sys, zlib
from nativecgi.frozen.closedworld import Kept, SetAside
def content(name):
    with open(name, "rb") as file:
        taken = file.read()
    os.unlink(name)
    return Kept(zlib.compress(taken), True) if "PACKED" in os.environ else Kept(taken)
modules = {"asking": content("asking.so")}
libraries = {"libanswer.so.1": content("libanswer.so.1"), "asking.so": modules["asking"]}
sys.meta_path.insert(0, SetAside(modules, libraries))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module in C, and the library that it needs."""
    path = tmp_path_factory.mktemp("modules")
    (path / "answer.c").write_text(LIBRARY)
    (path / "asking.c").write_text(MODULE)
    shared = ["cc", "-shared", "-fPIC"]
    headers = f"-I{sysconfig.get_path('include')}"
    library = ["-Wl,-soname,libanswer.so.1", "-o", "libanswer.so.1", "answer.c"]
    module = [headers, "-o", "asking.so", "asking.c", "libanswer.so.1"]
    subprocess.run([*shared, *library], cwd=path, check=True)
    subprocess.run([*shared, *module], cwd=path, check=True)
    return path


def said(folder: Path, source: str, *before: str, env: dict[str, str] | None = None) -> str:
    """What a program prints that has set the module aside."""
    return subprocess.check_output(
        [*before, sys.executable, "-c", PROGRAM + source],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), **(env or {})},
        text=True,
    )


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    """As the linker has made them, for each test."""
    for name in ("asking.so", "libanswer.so.1"):
        kept = folder / f"{name}.kept"
        if not kept.exists():
            kept.write_bytes((folder / name).read_bytes())
        (folder / name).write_bytes(kept.read_bytes())


@pytest.mark.parametrize("env", [{}, {"PACKED": "1"}], ids=["as it is", "packed"])
def test_a_module_is_loaded_with_the_library_it_needs(folder: Path, env: dict[str, str]) -> None:
    assert said(folder, "import asking; print(asking.ask())", env=env) == "42\n"


def test_it_is_imported_once(folder: Path) -> None:
    source = "import asking as one; import asking as other; print(one is other)"
    assert said(folder, source) == "True\n"


def test_it_says_what_it_is(folder: Path) -> None:
    source = "import asking; print(asking.__name__, asking.__spec__.name, 'asking' in sys.modules)"
    assert said(folder, source) == "asking asking True\n"


def test_it_is_listed_and_can_be_loaded_from_the_list(folder: Path) -> None:
    source = """
import pkgutil
for finder, name, is_package in pkgutil.iter_modules():
    if name == "asking":
        print(finder.find_spec(name).loader.load_module(name).ask(), is_package)
"""
    assert said(folder, source, env={"PYTHONWARNINGS": "ignore"}) == "42 False\n"


def test_other_modules_are_found_as_ever(folder: Path) -> None:
    source = "import decimal\ntry:\n import nonesuch\nexcept ImportError as e: print(e)"
    assert said(folder, source) == "No module named 'nonesuch'\n"


def test_without_proc_it_is_a_temporary_file_for_a_moment(folder: Path, tmp_path: Path) -> None:
    # A mount namespace of its own, in which /proc has nothing of a process.
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"']
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    source = "import asking; print(asking.ask())"
    assert said(folder, source, *hidden, env={"TMPDIR": str(tmp_path)}) == "42\n"
    assert not list(tmp_path.iterdir())
