"""The table of cases, each in five ways: see docs/contract.md."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from servers import apache, lighttpd, nginx
from tests.contract.case import SERVERS, WAYS, Case, differences
from tests.contract.cases import CASES
from tests.contract.page import PAGE, with_table
from tests.contract.ways import Way, behind, in_process, of_binary

BUILT = Path(__file__).parent.parent / "build" / "tests" / "contract"
SERVING = dict(zip(SERVERS, (apache.serving, nginx.serving, lighttpd.serving), strict=True))

# Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 5.6.7.
LAST_CHANGE = 784111777
FILES = {
    "digits.txt": b"0123456789",
    "empty.txt": b"",
    "page.html": b"<p>page</p>",
    "large.bin": bytes(range(256)) * 20_480,
    "archive.tar.gz": b"\x1f\x8b",
    "folder/a b.json": b"{}",
}


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What the server adds to a program's environment: the name of a folder that all can read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name, content in FILES.items():
            path = Path(folder, name)
            path.parent.mkdir(mode=0o755, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)
            os.utime(path, (LAST_CHANGE, LAST_CHANGE))
        Path(folder, "outside").symlink_to("/etc/passwd")
        yield {"CONTRACT_FILES": folder}


@pytest.fixture(scope="module")
def programs_folder(cgi_bin: Path) -> Path:
    """The program under all of its names."""
    BUILT.mkdir(exist_ok=True)
    for name in ("contract", "nph-contract", "other-contract"):
        (BUILT / name).unlink(missing_ok=True)
        (BUILT / name).hardlink_to((cgi_bin / "contract").resolve())
    return BUILT


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[tuple[str, Way]]:
    name = request.param
    if name == "process":
        yield name, in_process(environment)
        return
    folder = request.getfixturevalue("programs_folder")
    if name == "binary":
        yield name, of_binary(folder, environment)
        return
    with SERVING[name](folder, environment=environment) as server:
        yield name, behind(server)


@pytest.mark.parametrize(
    ("way", "case"),
    [
        pytest.param(way, case, id=f"{way}: {case.name}")
        for way in WAYS
        for case in CASES
        if way in case.only_on
    ],
    indirect=["way"],
    scope="module",
)
def test_the_answer_is_as_it_should_be(way: tuple[str, Way], case: Case) -> None:
    name, answer_to = way
    assert differences(answer_to(case), case.on(name)) == []


# --- the table itself ---


def test_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert [name for name in names if names.count(name) > 1] == []


def test_an_answer_that_differs_says_why() -> None:
    reasons = [reason.because for case in CASES for reason in case.except_on.values()]
    assert [reason for reason in reasons if not reason.endswith(".")] == []


def test_an_answer_that_differs_is_another() -> None:
    for case in CASES:
        for way, expected in case.except_on.items():
            assert msgspec.structs.replace(expected, because="") != case.expected, (case.name, way)


def test_a_request_that_some_ways_do_not_have_says_why() -> None:
    for case in CASES:
        assert set(case.except_on) <= set(case.only_on) <= set(WAYS), case.name
        assert case.because.endswith(".") == (case.only_on != WAYS), case.name


def test_the_page_says_where_answers_differ() -> None:
    page = PAGE.read_text()
    assert page == with_table(page, CASES), "run python -m tests.contract"
