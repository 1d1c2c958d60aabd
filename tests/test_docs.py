"""Links in the pages of the top folder. Those in docs/ are checked by `make docs`."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import nativecgi

ROOT = Path(nativecgi.__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    yield from (link for link in LINK.findall(text_of(page)) if "://" not in link)


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(name: str) -> None:
    for link in links(ROOT / name):
        target, _, anchor = link.partition("#")
        page = ROOT / (target or name)
        assert page.exists(), link
        assert not anchor or anchor in anchors(page), link


def test_the_start_in_the_readme_is_the_one_on_the_site() -> None:
    readme, site = (ROOT / "README.md").read_text(), (ROOT / "docs" / "index.md").read_text()
    start = readme.partition("## Start\n")[2].partition("```sh\n")[2].partition("```")[0]
    assert "nativecgi build" in start
    assert f"```sh\n{start}```" in site


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def python_in(page: str) -> str:
    """The first block of Python in a page of docs/."""
    return (ROOT / "docs" / page).read_text().partition("```python\n")[2].partition("```")[0]


def test_the_handler_that_the_site_shows_passes_the_tests_that_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = ModuleType("shop")
    exec(python_in("tasks/write-a-handler.md"), vars(shop))
    monkeypatch.setitem(sys.modules, "shop", shop)
    tests: dict[str, Callable[[], None]] = {}
    exec(python_in("tasks/test-it.md"), tests)
    shown = [test for name, test in tests.items() if name.startswith("test_")]
    assert len(shown) == 3
    for test in shown:
        test()
