"""What an app's docstring says is what the development server shows, and what can be tried."""

from pathlib import Path

import pytest

from nativecgi_build.build.records import Compiled, write_record
from nativecgi_build.devserver import about
from nativecgi_build.devserver.about import About, Try, filled, parsed
from nativecgi_build.settings import Settings
from tests.checkout import ROOT, SETTINGS


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("", About("", ("URL",))),
        ("Greets.", About("Greets.", ("URL",))),
        ("\nGreets.\n\nMore.\n", About("Greets.", ("URL",))),
        ("Greets.\n\nTry: URL/Ann\n", About("Greets.", ("URL/Ann",))),
        (
            "Adds.\n\nTry: curl -d '{\"a\": 1}' URL\nTry:  URL?a=1 \nNo Try: URL/x",
            About("Adds.", ("curl -d '{\"a\": 1}' URL", "URL?a=1")),
        ),
    ],
)
def test_a_docstring_has_a_summary_and_requests(docstring: str, expected: About) -> None:
    assert parsed(docstring) == expected


def test_a_request_is_filled_with_address_and_folder() -> None:
    program = Path("/srv/cgi-bin/app")
    assert filled("URL/a?x=URLS", "http://h/app", program) == Try("http://h/app/a?x=URLS", True)
    assert filled("curl URL", "http://h/app", program) == Try("curl http://h/app", False)
    assert filled("URL | less", "http://h/app", program) == Try("http://h/app | less", False)
    assert filled("w --dir=FOLDER", "", program) == Try("w --dir=/srv/cgi-bin", False)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "apps").glob("*.py")))
def test_every_app_says_what_it_does_in_a_sentence(name: str) -> None:
    summary = about.about(name, SETTINGS).summary
    assert 10 < len(summary) < 100
    assert summary.endswith(".")


def test_a_program_is_told_of_by_what_it_was_last_built_from(
    tmp_path: Path,
) -> None:
    settings = Settings(["apps/*"], cache="work", folder=tmp_path)
    script, package = tmp_path / "shop.cgi", tmp_path / "shop"
    script.write_text('#!/usr/bin/python3\n"""A script."""\n')
    package.mkdir()
    (package / "__main__.py").write_text('"""A package."""\n')
    assert about.about("shop", settings) == About()
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "shop.py").write_text('"""A file."""\n')
    assert about.about("shop", settings) == About("A file.")
    record = settings.work("shop", "x") / "compiled.json"
    record.parent.mkdir(parents=True)
    for source, summary in ((script, "A script."), (package, "A package.")):
        write_record(record, Compiled("shop", "", {}, 1.0, source=str(source)))
        assert about.about("shop", settings) == About(summary)


@pytest.mark.parametrize("source", ["print 'Python 2'", "\0", '"""\udcff"""'])
def test_of_what_cannot_be_read_nothing_is_told(tmp_path: Path, source: str) -> None:
    (tmp_path / "odd.py").write_bytes(source.encode(errors="surrogateescape"))
    assert about.about("odd", Settings(["*"], cache="work", folder=tmp_path)) == About()
