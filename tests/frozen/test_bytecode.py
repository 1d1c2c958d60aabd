"""Modules whose bytecode a program keeps packed: found, loaded, and what they say of themselves."""

import ctypes
import importlib
import importlib.util
import marshal
import runpy
import sys
import zlib
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from nativecgi.frozen import bytecode
from nativecgi.frozen.bytecode import CODE, INDEX, STAND_IN, Packed
from nativecgi_build.build.packing import pack

FOLDER = "/program"
SOURCES = {
    "packed_one": (False, "answer = 42"),
    "packed_many": (True, "from packed_many.inner import answer"),
    "packed_many.inner": (False, "answer = __name__"),
    "packed_function": (False, "def answer(): pass"),
    "packed_bad": (False, "raise ValueError('a reason')"),
}


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    modules = {
        name: (is_package, zlib.compress(marshal.dumps(compile(source, f"{name}.py", "exec"))))
        for name, (is_package, source) in SOURCES.items()
    }
    monkeypatch.setattr(sys, "meta_path", [Packed(modules, FOLDER), *sys.meta_path])
    yield
    for name in SOURCES:
        sys.modules.pop(name, None)


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_a_module_is_imported() -> None:
    assert imported("packed_one").answer == 42


def test_a_package_imports_its_own() -> None:
    assert imported("packed_many").answer == "packed_many.inner"


def test_a_module_can_be_loaded_again() -> None:
    module = imported("packed_one")
    del module.answer
    assert importlib.reload(module).answer == 42


def test_a_module_says_where_it_would_be() -> None:
    module = imported("packed_one")
    assert module.__file__ == f"{FOLDER}/packed_one.py"
    assert module.__spec__ is not None
    assert module.__spec__.origin == module.__file__
    assert module.__package__ == ""


def test_a_package_says_where_its_modules_would_be() -> None:
    module = imported("packed_many")
    assert module.__file__ == f"{FOLDER}/packed_many/__init__.py"
    assert list(module.__path__) == [f"{FOLDER}/packed_many"]
    assert imported("packed_many.inner").__package__ == "packed_many"


def test_code_is_in_the_file_that_its_module_names() -> None:
    function = imported("packed_function").answer
    assert function.__code__.co_filename == f"{FOLDER}/packed_function.py"


def test_a_module_can_be_run_as_a_program() -> None:
    assert runpy.run_module("packed_one", run_name="__main__")["answer"] == 42


def test_what_stands_in_for_code_runs_the_module_s(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.util.module_from_spec(ModuleSpec("stood_in_for", None, origin="file.py"))
    code = marshal.dumps(compile("answer = __name__", "other.py", "exec"))
    monkeypatch.setitem(bytecode._kept, "stood_in_for", (False, zlib.compress(code)))
    exec(marshal.loads(STAND_IN + b"what is left of the code"), vars(module))
    assert module.answer == "stood_in_for"


def test_pointers_to_code_lead_to_what_stands_in_for_it() -> None:
    codes = ctypes.create_string_buffer(b"\1" * 2000)
    base = ctypes.addressof(codes)
    pointers = (ctypes.c_uint64 * 4)(base, base + 1000, base + 8, 7)
    page = ctypes.addressof(pointers) & -4096
    places = [(0, 1000), (1000, 2000)]
    with bytecode._own_memory() as memory:
        found = bytecode._pointers(memory, [(page, page + 2 * 4096)], base, {0, 1000})
        bytecode._replace(memory, base, places, found)
    assert list(pointers) == [base, base, base + 8, 7]
    assert codes.raw[:2000] == STAND_IN + bytes(2000 - len(STAND_IN))


def test_what_a_module_raises_comes_through() -> None:
    with pytest.raises(ValueError, match="a reason"):
        imported("packed_bad")
    assert "packed_bad" not in sys.modules


def test_other_modules_are_found_as_ever() -> None:
    assert imported("colorsys").__file__ != f"{FOLDER}/colorsys.py"
    with pytest.raises(ModuleNotFoundError, match="packed_none"):
        imported("packed_none")


def test_the_build_packs_libraries_and_code(tmp_path: Path) -> None:
    folder, listed = tmp_path / "program", tmp_path / "listed"
    (folder / "package").mkdir(parents=True)
    files = {"libx.so.1": b"x" * 5000, "package/_y.so": b"y", "zlib.so": b"z", "page.html": b"p"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    listed.write_bytes(marshal.dumps([("a", True, b"one"), ("a.b", False, b"two")]))
    pack(folder, listed)
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert made - set(files) == {"libx.so.1.zlib", "package/_y.so.zlib", INDEX, CODE}
    assert zlib.decompress((folder / "libx.so.1.zlib").read_bytes()) == files["libx.so.1"]
    index = marshal.loads((folder / INDEX).read_bytes())
    assert [entry[:3] for entry in index] == [("a", True, 3), ("a.b", False, 3)]
    assert zlib.decompress(index[1][3]) == b"two"
    assert (folder / CODE).read_bytes() == b"onetwo"
