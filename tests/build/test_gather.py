"""Programs that nothing was compiled for (`--fast`): what they contain, and that it is enough."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi.testing import Client
from nativecgi_build.build.gather import Gathered

ROOT = Path(__file__).parents[2]

FILES = {
    "__init__.py": "",
    "__main__.py": '''
"""Does what the path names."""
import asyncio, importlib, json as codec, os, pkgutil, sys
from importlib import resources
from pathlib import Path
from nativecgi import Request, Response, json, run
import shop

def handle(request: Request) -> Response:
    match request.parts:
        case ["import", name]:
            try:
                module = importlib.import_module(name)
            except ImportError as error:
                return json(repr(error))
            return json([module.__name__, getattr(module, "__file__", None)])
        case ["again", name]:
            importlib.reload(importlib.import_module(name))
            del sys.modules[name]
            return json(importlib.import_module(name).__name__)
        case ["data"]:
            file = Path(__file__).with_name("price.txt")
            read = [file.read_text(), resources.files("shop").joinpath("price.txt").read_text()]
            return json([*read, pkgutil.get_data("shop", "price.txt").decode()])
        case ["names"]:
            return json([it.name for it in pkgutil.iter_modules(shop.__path__)])
        case ["recursion"]:
            return json(handle(request).status)
        case ["about"]:
            about = [sys.path, sys.prefix, sys.executable, sys.argv, handle.__code__.co_filename]
            return json([*about, __file__, __name__, __spec__.name, dict(os.environ)])
        case ["fail"]:
            raise RuntimeError("on purpose")
        case ["crash"]:
            import ctypes
            ctypes.string_at(0)

if __name__ == "__main__":
    run(handle)
''',
    "cart.py": "import shop.late",
    "late.py": "",
    "price.txt": "7",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secretplace") / "shop"


@pytest.fixture(scope="module")
def program(folder: Path, builder: Path) -> Path:
    """An app that is a package; its own folder is gone when it runs."""
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    output = folder.parent / "out"
    command = [builder, ROOT / "build.py", "--fast", folder, "-o", output]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    if (output / "shop").is_symlink():
        pytest.skip("this machine cannot freeze")
    folder.rename(folder.with_name("moved"))
    return output / "shop"


@pytest.fixture(scope="module")
def shop(program: Path) -> Client:
    return Client(program)


@pytest.mark.parametrize("name", ["shop.cart", "xml.dom.minidom", "sqlite3", "_lzma", "msgspec"])
def test_what_was_not_imported_before_the_freeze_is_imported_later(shop: Client, name: str) -> None:
    module, file = shop.get(f"/import/{name}").json()
    assert module == name
    assert file is None or file.startswith("/proc/")


@pytest.mark.parametrize("name", ["shop.late", "json", "_bz2", "_typing", "decimal", "zlib"])
def test_a_module_is_loaded_again_and_again(shop: Client, name: str) -> None:
    assert shop.get(f"/again/{name}").json() == name


@pytest.mark.parametrize("name", ["nuitka", "rich", "pip", "nativecgi_build", "moved"])
def test_nothing_else_of_the_machine_can_be_imported(shop: Client, name: str) -> None:
    assert (
        shop.get(f"/import/{name}").json() == f"ModuleNotFoundError(\"No module named '{name}'\")"
    )


def test_data_of_the_app_is_read_in_each_way(shop: Client) -> None:
    assert shop.get("/data").json() == ["7", "7", "7"]


def test_a_package_lists_what_is_in_it(shop: Client) -> None:
    assert sorted(shop.get("/names").json()) == ["__main__", "cart", "late"]


def test_no_place_on_the_builder_s_disk_is_told(shop: Client, program: Path, folder: Path) -> None:
    path, prefix, executable, arguments, code, file, name, spec, _env = shop.get("/about").json()
    assert all(it.startswith("/proc/") for it in [*path, code, file])
    assert code.endswith("/shop/__main__.py")
    assert (executable, arguments) == (str(program), [str(program)])
    assert (name, spec) == ("__main__", "shop.__main__")
    assert prefix == "/usr" or not Path(prefix).is_relative_to(Path.home())
    image = program.read_bytes()
    for told in (folder.parent, ROOT, Path(sys.prefix)):
        assert bytes(told) not in image


def test_the_loader_s_variable_is_not_left(shop: Client) -> None:
    assert "LD_PRELOAD" not in shop.get("/about").json()[-1]


def test_a_failure_is_answered_and_logged(shop: Client) -> None:
    answer = shop.get("/fail")
    assert answer.status == 500
    assert "on purpose" in answer.log
    assert "/shop/__main__.py" in answer.log


def test_recursion_without_end_is_answered(shop: Client) -> None:
    answer = shop.get("/recursion")
    assert answer.status == 500
    assert "RecursionError" in answer.log


def test_a_crash_in_c_is_answered(shop: Client) -> None:
    assert shop.get("/crash").status == 500


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Makes a package of files: `package(**{"name": "text"})`."""

    def make(*names: str) -> Path:
        for name in names:
            file = tmp_path / "shop" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / "shop"

    return make


def test_a_package_is_gathered_with_its_modules_and_its_data(package: Callable[..., Path]) -> None:
    folder = package(
        "__init__.py",
        "cart.py",
        "fast.cpython-311-x86_64-linux-gnu.so" if sys.version_info[:2] == (3, 11) else "fast.so",
        "price.txt",
        "space/inner.py",
        "__pycache__/cart.cpython-311.pyc",
        "typed.pyi",
    )
    found = Gathered()
    found.tree("shop", folder)
    assert sorted(found.modules) == ["shop", "shop.cart", "shop.space.inner"]
    assert sorted(map(str, found.files)) == ["shop/fast.so", "shop/price.txt"]
    assert found.modules["shop"] == folder / "__init__.py"


def test_the_first_module_of_a_name_counts(package: Callable[..., Path], tmp_path: Path) -> None:
    folder = package("__init__.py")
    other = tmp_path / "shop.py"
    other.touch()
    found = Gathered()
    assert found.named("shop", tmp_path)
    found.module("shop", other)
    assert found.modules == {"shop": folder / "__init__.py"}
    assert not found.named("missing", tmp_path)


@pytest.mark.parametrize("option", ["--no-freeze", "--compile-all", "--reproducible"])
def test_options_for_what_is_compiled_are_refused_beside_fast(builder: Path, option: str) -> None:
    command = [str(builder), str(ROOT / "build.py"), "--fast", option]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "leave out" in result.stderr
