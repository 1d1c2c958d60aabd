"""Which files have a say in what a file of requirements installs."""

from pathlib import Path

import pytest

from nativecgi_build.environments.requirements_files import files_named, files_of


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "line",
    [
        "-r more.txt",
        "-rmore.txt",
        "  -c more.txt  # pins",
        "--requirement more.txt",
        "--requirement=more.txt",
        "--constraint=more.txt",
        "--requirement \\\n  more.txt",
        "-r ./x/../more.txt",
        "-r ${NAME_OF_IT}.txt",
    ],
)
def test_a_file_names_another(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME_OF_IT", "more")
    listed = write(tmp_path / "requirements.txt", f"flask==3.1\n{line}\n")
    assert files_of(listed) == [listed, tmp_path / "more.txt"]


def test_a_named_file_names_others_from_where_it_is(tmp_path: Path) -> None:
    listed = write(tmp_path / "requirements.txt", "-r pins/one.txt")
    one = write(tmp_path / "pins" / "one.txt", "-c two.txt\n-r ../requirements.txt")
    assert files_of(listed) == [listed, one, tmp_path / "pins" / "two.txt"]


@pytest.mark.parametrize(
    "line",
    ["flask", "# -r more.txt", "-r https://x.example/r.txt", "--index-url https://x.example", ""],
)
def test_what_names_no_file(tmp_path: Path, line: str) -> None:
    listed = write(tmp_path / "requirements.txt", line)
    assert files_of(listed) == [listed]


@pytest.mark.parametrize(
    "line", ["./shop-1.0.whl", "shop @ {url}", "{url}", "./shop-1.0.whl[x] ; python_version > '3'"]
)
def test_an_archive_on_this_machine_counts(tmp_path: Path, line: str) -> None:
    wheel = write(tmp_path / "shop-1.0.whl")
    listed = write(tmp_path / "requirements.txt", line.format(url=wheel.as_uri()))
    assert wheel in files_of(listed)


@pytest.mark.parametrize(
    "line", ["./shop", "-e ./shop", "--editable={path}", "shop @ file://{path}"]
)
def test_of_a_folder_its_files_count_but_not_what_installing_makes(
    tmp_path: Path, line: str
) -> None:
    folder = tmp_path / "shop"
    expected = [write(folder / name) for name in ("pyproject.toml", "src/shop.py")]
    for name in (".git/x", "build/x", "src/shop.egg-info/x", "src/__pycache__/x"):
        write(folder / name)
    listed = write(tmp_path / "requirements.txt", line.format(path=folder))
    assert [path for path in files_of(listed) if path.is_relative_to(folder)] == expected


def test_requirements_that_are_in_no_file_name_some_too(tmp_path: Path) -> None:
    wheel = write(tmp_path / "shop-1.0.whl")
    assert files_named(f"flask\nshop @ {wheel.as_uri()}", tmp_path) == [wheel]
