"""What the cache has of apps: it explains programs, and is cleaned."""

import fcntl
from pathlib import Path

import pytest

from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.kept import clean, parts_of
from nativecgi_build.build.placing import place_file
from nativecgi_build.build.records import Built, Compiled, write_record
from nativecgi_build.settings import Settings, user_cache


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return user_cache()


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """A project with the program of an app, and another app that another project has."""
    settings = Settings(folder=tmp_path / "project")
    built(settings, settings.folder / "hello.py", "hello's program")
    built(settings, tmp_path / "other" / "hello.py", "the program of the other")
    place_file(frozen(settings, settings.folder / "hello.py"), settings.outputs / "hello")
    return settings


def frozen(settings: Settings, source: Path) -> Path:
    return settings.work(source.stem, str(source)) / f"{source.stem}.frozen"


def built(settings: Settings, source: Path, program: str) -> None:
    """What a build leaves of an app."""
    file = frozen(settings, source)
    file.parent.mkdir(parents=True)
    file.write_text(program)
    write_record(
        file.parent / "compiled.json", Compiled(str(source), "", {}, 1.0, source=str(source))
    )
    parts = {program: len(program)}
    record = Built("", True, 1.0, 1.0, "200", len(program), parts=parts)
    write_record(file.parent / "frozen.json", record)


def built_fast(settings: Settings, source: Path, program: str) -> None:
    """What a build leaves that compiles nothing."""
    folder = frozen(settings, source).parent
    built(settings, source, program)
    kept = [it for it in folder.iterdir() if it.is_file()]
    (folder / "fast").mkdir()
    for path in kept:
        path.rename(folder / "fast" / path.name)


def copied(settings: Settings, target: Path) -> Path:
    """A program that was copied so that its time is another one's."""
    target.write_bytes((settings.outputs / "hello").read_bytes())
    return target


# --- explain ---


def test_a_program_is_found_by_its_path(project: Settings) -> None:
    name, found = parts_of(str(project.outputs / "hello"), project)
    assert (name, list(found.parts)) == ("hello", ["hello's program"])


def test_a_program_is_found_by_its_content_wherever_it_is(
    project: Settings, tmp_path: Path
) -> None:
    name, found = parts_of(str(copied(project, tmp_path / "renamed")), project)
    assert (name, list(found.parts)) == ("hello", ["hello's program"])


def test_a_program_is_found_by_its_name(project: Settings) -> None:
    assert list(parts_of("hello", project)[1].parts) == ["hello's program"]


@pytest.mark.parametrize("program", ["nonesuch", "/bin/sh", "elsewhere/hello"])
def test_what_was_not_built_here_is_an_error_of_two_lines(project: Settings, program: str) -> None:
    with pytest.raises(BuildError, match=f"{program} is no program that was built.*\nbuild it"):
        parts_of(program, project)


# --- clean ---


def test_a_program_that_was_not_compiled_is_found_and_removed(project: Settings) -> None:
    source = project.folder / "quick.py"
    built_fast(project, source, "a quick program")
    file = frozen(project, source)
    place_file(file.parent / "fast" / file.name, project.outputs / "quick")
    assert list(parts_of("quick", project)[1].parts) == ["a quick program"]
    removed = clean(project, everything=False)
    assert {project.outputs / "quick", file.parent} <= set(removed)
    assert not (project.outputs / "quick").exists()


def test_what_was_built_of_a_project_is_removed(project: Settings, tmp_path: Path) -> None:
    (project.outputs / "other").touch()
    removed = clean(project, everything=False)
    work = frozen(project, project.folder / "hello.py").parent
    assert removed == [project.outputs / "hello", work]
    assert [it.name for it in project.outputs.iterdir()] == ["other"]
    assert not work.exists()
    assert frozen(project, tmp_path / "other" / "hello.py").exists()


def test_a_program_of_another_build_stays(project: Settings) -> None:
    (project.outputs / "hello").write_text("somebody's own")
    clean(project, everything=False)
    assert (project.outputs / "hello").exists()


def test_a_program_that_is_not_frozen_is_removed_with_its_folder(project: Settings) -> None:
    program = project.outputs / "hello"
    program.unlink()
    folder = project.outputs / "hello.dist"
    folder.mkdir()
    (folder / "hello.bin").touch()
    program.symlink_to("hello.dist/hello.bin")
    clean(project, everything=False)
    assert list(project.outputs.iterdir()) == []


def test_all_of_the_cache_can_be_removed(project: Settings, cache: Path) -> None:
    (cache / "ccache").mkdir()
    (cache / "of-somebody-else").mkdir()
    clean(project, everything=True)
    assert [it.name for it in cache.iterdir()] == ["of-somebody-else"]


def test_a_cache_that_a_project_names_loses_nothing_else(tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path, cache="build")
    built(settings, tmp_path / "hello.py", "a program")
    (tmp_path / "build" / "notes.txt").touch()
    clean(settings, everything=True)
    assert [it.name for it in (tmp_path / "build").iterdir()] == ["notes.txt"]


def test_what_is_being_built_is_not_removed(project: Settings) -> None:
    work = frozen(project, project.folder / "hello.py").parent
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BuildError, match="hello is being built\nwait"):
            clean(project, everything=False)
    assert work.exists()
