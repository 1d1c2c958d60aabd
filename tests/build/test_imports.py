"""What a module imports, as the build reads it from modules that stay bytecode."""

import ast
import os
import time
from pathlib import Path

import pytest

from nativecgi_build.nuitka_plugins.imports import Import, imports_of
from nativecgi_build.nuitka_plugins.module_cache import Module, ModuleCache


def imported(source: str) -> list[str]:
    """The modules that a source imports, with a dot for each level that is relative."""
    return ["." * it.level + it.name for it in imports_of(ast.parse(source))]


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import shop", ["shop"]),
        ("import shop.cart as cart, mail", ["shop.cart", "mail"]),
        ("import shop.cart", ["shop", "shop.cart"]),
        ("from shop.cart import add", ["shop.cart"]),
        ("from . import cart", ["."]),
        ("from ..mail import order", ["..mail"]),
        ("from shop import *", ["shop"]),
        ("def pay():\n    import bank", ["bank"]),
        ("class Cart:\n    from shop import add", ["shop"]),
        ("try:\n    import fast\nexcept ImportError:\n    import slow", ["fast", "slow"]),
        ("with lock:\n    import shop", ["shop"]),
        ("match x:\n    case 1:\n        import shop", ["shop"]),
        ("for x in y:\n    import shop\nelse:\n    import mail", ["shop", "mail"]),
        ("async def pay():\n    async with lock:\n        import bank", ["bank"]),
    ],
)
def test_each_import_statement_counts_wherever_it_stands(source: str, modules: list[str]) -> None:
    assert imported(source) == modules


@pytest.mark.parametrize(
    "call",
    [
        "__import__('shop')",
        "importlib.import_module('shop')",
        "import_module('shop', package)",
        "x = [import_module('shop') for _ in y]",
        "f(lambda: import_module('shop'))",
        "f(x=import_module('shop'))",
        "def f(x=import_module('shop')): ...",
        "@import_module('shop').wrap\ndef f(): ...",
    ],
)
def test_a_call_that_imports_a_module_by_its_written_name_counts(call: str) -> None:
    assert imported(call) == ["shop"]


@pytest.mark.parametrize(
    "call", ["import_module(name)", "import_module('.shop', 'here')", "f('shop')", "__import__()"]
)
def test_a_call_that_says_its_module_only_when_it_runs_does_not_count(call: str) -> None:
    assert imported(call) == []


@pytest.mark.parametrize(
    "condition",
    [
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
        "sys.platform == 'win32'",
        "sys.platform.startswith('win')",
        "os.name == 'nt'",
        "os.name in ('nt', 'ce')",
        "sys.version_info < (3, 11)",
        "sys.version_info[0] == 2",
        "sys.version_info[:2] < (3, 11)",
        "sys.version_info.major < 3",
        "not __debug__",
        "__name__ == '__main__'",
        "0",
        "TYPE_CHECKING and wanted",
        "wanted and TYPE_CHECKING",
        "TYPE_CHECKING or os.name == 'nt'",
    ],
)
def test_what_stands_behind_a_condition_that_is_never_met_here_is_left_out(condition: str) -> None:
    source = f"if {condition}:\n    import never\nelse:\n    import always"
    assert imported(source) == ["always"]
    assert imported(f"if not ({condition}):\n    import always\nelse:\n    import never") == [
        "always"
    ]


@pytest.mark.parametrize(
    "condition",
    [
        "wanted",
        "wanted or TYPE_CHECKING",
        "sys.maxsize > 2**32",
        "os.environ.get('X')",
        "hasattr(os, 'fork')",
        "sys.platform == wanted",
        "sys.platform.startswith(wanted)",
    ],
)
def test_where_only_the_program_knows_whether_a_condition_is_met_both_sides_count(
    condition: str,
) -> None:
    assert imported(f"if {condition}:\n    import one\nelse:\n    import other") == ["one", "other"]


def test_an_import_says_which_names_may_be_modules_of_the_package_too() -> None:
    tree = ast.parse("from shop import cart, add as plus\nimport mail\nmail.order.send()")
    assert imports_of(tree) == [
        Import("shop", 0, ("cart", "add"), 1),
        Import("mail", 0, ("order",), 2),
    ]


@pytest.fixture
def cache(tmp_path: Path) -> ModuleCache:
    return ModuleCache(tmp_path)


MADE = Module(b"code", [Import("shop", 1, ("cart",), 7)])


def forbidden() -> Module:
    raise AssertionError("it was made before")


def test_what_was_made_from_a_source_is_not_made_again(cache: ModuleCache) -> None:
    assert cache.module("import shop", "by this", lambda: MADE) == MADE
    assert cache.module("import shop", "by this", forbidden) == MADE


def test_another_source_or_maker_makes_anew(cache: ModuleCache) -> None:
    other = Module(b"other", [])
    cache.module("import shop", "by this", lambda: MADE)
    assert cache.module("import shop", "by another", lambda: other) == other
    assert cache.module("import mail", "by this", lambda: other) == other


@pytest.mark.parametrize("content", [b"", b"(", b"i\0\0\0\0", b"N"])
def test_a_broken_file_of_the_cache_is_made_anew(
    content: bytes, cache: ModuleCache, tmp_path: Path
) -> None:
    cache.module("import shop", "by this", lambda: MADE)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(content)
    assert cache.module("import shop", "by this", lambda: MADE) == MADE
    assert cache.module("import shop", "by this", forbidden) == MADE


def test_a_cache_that_cannot_be_written_to_keeps_nothing_and_stops_nobody(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path / "missing")
    assert cache.module("import shop", "by this", lambda: MADE) == MADE


def test_what_was_not_used_for_a_month_is_removed(cache: ModuleCache, tmp_path: Path) -> None:
    cache.module("import shop", "by this", lambda: MADE)
    (old,) = tmp_path.iterdir()
    os.utime(old, (0, time.time() - 40 * 24 * 60 * 60))
    cache.module("import mail", "by this", lambda: MADE)
    cache.prune()
    (kept,) = tmp_path.iterdir()
    assert kept != old


def test_what_is_used_is_not_removed(cache: ModuleCache, tmp_path: Path) -> None:
    cache.module("import shop", "by this", lambda: MADE)
    (kept,) = tmp_path.iterdir()
    os.utime(kept, (0, time.time() - 40 * 24 * 60 * 60))
    cache.module("import shop", "by this", forbidden)
    cache.prune()
    assert kept.exists()
