"""tools/packages.py: the table of packages, how an answer is judged, and the page that is written.

That the packages work is not tested here: `make packages` tries them, in hours.
"""

import ast
import sys
from pathlib import Path

import msgspec
import pytest

from tools import packages
from tools.packages import Package, Result

TABLE = msgspec.toml.decode(packages.TABLE.read_bytes(), type=dict[str, list[Package]])["package"]


def package(name: str = "shop", code: str = "def use() -> object:\n    return 1") -> Package:
    return Package([f"{name}[extra]==1.2"], "sells", code)


def result(outcome: str, of: Package | None = None, reason: str = "") -> Result:
    digest = (of or package()).digest()
    return Result(digest, "1.2", "2026-01-02", "3.11.2", outcome, reason, 40_000_000, 1.5, 90.0)


# --- the table ---


@pytest.mark.parametrize("tried", TABLE, ids=lambda tried: tried.name)
def test_each_program_is_python_and_requires_pinned_versions(tried: Package) -> None:
    assert all("==" in requirement for requirement in tried.requires)
    tree = ast.parse(tried.program(is_warmed_up=True))
    assert "use" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_no_package_is_there_twice() -> None:
    names = [tried.name.lower() for tried in TABLE]
    assert len(names) == len(set(names)) >= 100


def test_a_package_is_tried_again_when_its_program_changes() -> None:
    assert package().digest() == package().digest()
    assert package().digest() != package(code="def use() -> object:\n    return 2").digest()
    assert (package().name, package().version) == ("shop", "1.2")


# --- how it is judged ---

OK = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@pytest.mark.parametrize(
    ("plain", "built", "outcome", "reason"),
    [
        (f"{OK}a", f"{OK}a", packages.WORKS, ""),
        (f"{OK}a", f"{OK}b", packages.DIFFERS, "b"),
        (f"{OK}a", "Status: 500 Internal Server Error\r\n\r\n", packages.DIFFERS, "no shop"),
        ("Status: 500 Internal Server Error\r\n\r\n", f"{OK}a", packages.INVALID, "no shop"),
    ],
)
def test_an_answer_is_compared_with_plain_python_s(
    tmp_path: Path, plain: str, built: str, outcome: str, reason: str
) -> None:
    for name, output in (("plain", plain), ("built", built)):
        report = "sys.stderr.write('no shop')" if " 500 " in output else ""
        source = f"#!{sys.executable}\nimport sys\nsys.stdout.write({output!r})\n{report}\n"
        (tmp_path / name).write_text(source)
        (tmp_path / name).chmod(0o700)
    judged = result("")
    packages._compare(judged, tmp_path / "plain", tmp_path / "built", Path(sys.executable))
    assert (judged.outcome, judged.reason) == (outcome, reason)
    assert judged.milliseconds > 0
    assert judged.plain_milliseconds > 0


def test_a_reason_has_no_path_of_the_machine_it_failed_on() -> None:
    reason = f'File "{packages.ROOT}/build.py"\nFile "/proc/frozen---/shop.py"\n{Path.home()}/x'
    assert packages._short(reason) == 'File "./build.py"\nFile "shop.py"\n~/x'


# --- the page ---


def test_the_page_has_a_line_for_each_package_and_each_reason_below_it() -> None:
    other = package("mall")
    tried = {
        "shop": result(packages.WORKS),
        "mall": result(packages.DIFFERS, other, "no mall"),
    }
    page = packages.page([package(), other], tried)
    assert "| shop | 1.2 | sells | works | 40 | 1.5 | 90.0 |" in page.splitlines()
    assert "**mall** answers otherwise:\n\n```\nno mall\n```" in page
    assert "2 of 2 packages were tried; 1 work: with Python 3.11.2, 2026-01-02." in page


def test_what_was_only_frozen_is_told_apart() -> None:
    frozen = result(packages.UNCOMPILED)
    frozen.milliseconds = 0
    page = packages.page([package()], {"shop": frozen})
    assert "| shop | 1.2 | sells | works uncompiled | | |" in " ".join(page.split("  "))
    assert "1 of 1 packages were tried; 0 work, 1 work uncompiled" in page


def test_what_was_tried_as_another_program_was_not_tried() -> None:
    page = packages.page([package(code="other")], {"shop": result(packages.WORKS)})
    assert "| shop | 1.2 | sells | not tried | | | |" in page.splitlines()
    assert "0 of 1 packages were tried" in page
