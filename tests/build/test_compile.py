"""What a compilation is run with: its caches, its compiler's options, and what programs share."""

import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi_build.build.compile import OPTIMIZATION, variables_for
from nativecgi_build.build.records import Wanted

ROOT = Path(__file__).parents[2]
WANTED = Wanted(Path())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's caches, who has set nothing else."""
    for name in ("NUITKA_CACHE_DIR", "CCACHE_DIR", "CCACHE_MAXSIZE", "CFLAGS", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "nativecgi"


def test_all_projects_share_caches_of_bounded_size(cache: Path) -> None:
    found = variables_for(WANTED)
    assert found["CCACHE_DIR"] == str(cache / "ccache")
    assert found["NUITKA_CACHE_DIR"] == str(cache / "nuitka")
    assert found["CCACHE_MAXSIZE"] == "1G"


def test_caches_that_somebody_has_chosen_are_used_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CCACHE_DIR", "/mine")
    monkeypatch.setenv("NUITKA_CACHE_DIR", "/mine/too")
    found = variables_for(WANTED)
    assert (found["CCACHE_DIR"], found["NUITKA_CACHE_DIR"]) == ("/mine", "/mine/too")
    assert "CCACHE_MAXSIZE" not in found


def test_own_compiler_options_come_last_so_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert variables_for(WANTED)["CFLAGS"] == OPTIMIZATION
    monkeypatch.setenv("CFLAGS", "-O3 -march=native")
    assert variables_for(WANTED)["CFLAGS"] == f"{OPTIMIZATION} -O3 -march=native"


def test_compile_all_is_for_programs_that_compute_and_optimizes_as_nuitka_does() -> None:
    assert "CFLAGS" not in variables_for(Wanted(Path(), compile_all=True))


def test_modules_are_not_looked_for_where_the_builder_s_own_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert "PYTHONPATH" not in variables_for(WANTED)


def shared(folder: Path, main: str) -> None:
    """Have the plugin finish C files of a program with a main module of that name in C.

    In a process of its own, as importing Nuitka has effects.
    """
    code = f"""if True:
        from types import SimpleNamespace
        from nativecgi_build.nuitka_plugins.share_code import ShareCode
        def module(name, is_main):
            return SimpleNamespace(getCodeName=lambda: name, isMainModule=lambda: is_main)
        plugin = ShareCode()
        plugin.onModuleCompleteSet([module("shop", False), module({main!r}, True)])
        plugin.onGeneratedSourceCode({str(folder)!r}, False)
    """
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_module_s_code_is_the_same_in_an_app_of_one_file_and_in_a_package(
    tmp_path: Path,
) -> None:
    file = tmp_path / "module.shop.c"
    codes = []
    for main in ("__main__", "bakery$__main__"):
        file.write_text(f"PyObject *impl_{main}$$$helper_function_call(void);\n")
        shared(tmp_path, main)
        codes.append(file.read_text())
    assert codes[0] == codes[1] == "PyObject *impl___main__$$$helper_function_call(void);\n"


def test_functions_of_other_modules_keep_their_names(tmp_path: Path) -> None:
    file, code = tmp_path / "module.shop.c", "impl_bakery$$$function__1_bake(tstate);\n"
    file.write_text(code)
    shared(tmp_path, "bakery$__main__")
    assert file.read_text() == code


def test_msgspec_stays_bytecode_where_an_app_s_environment_has_only_a_link_to_it() -> None:
    code = """if True:
        import sys
        from nuitka.utils.ModuleNames import ModuleName
        from nativecgi_build.nuitka_plugins.keep_bytecode import KeepBytecode
        sys.path = [path for path in sys.path if "site-packages" not in path]
        print([KeepBytecode().decideCompilation(ModuleName(name))
               for name in ("msgspec.json", "multipart", "nativecgi.run", "shop")])
    """
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout == "['bytecode', None, None, None]\n", result.stderr
