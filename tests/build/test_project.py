"""project.py: what goes into a script's program from the folder that it is in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi_build.scripts import cgiscript
from nativecgi_build.scripts.project import Project, Seen, find, named

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes files into a folder: `folder("a/b.txt", "app.cgi"="import app")` is its path."""

    def write(*empty: str, **texts: str) -> Path:
        for name in empty:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        for name, text in texts.items():
            (tmp_path / name).with_suffix(".cgi" if name == "app" else ".py").write_text(text)
        return tmp_path

    return write


def places(project: Project) -> list[str]:
    return [str(place) for _file, place in project.data]


def left(project: Project, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in project.left]


# --- modules ---


def test_a_script_that_imports_nothing_from_its_folder_has_nothing_of_it(folder: Folder) -> None:
    here = folder("other.py", "shop/__init__.py", "templates/a.html", "data.txt", app="import os\n")
    assert find(here / "app.cgi", Seen()) == Project()


def test_a_module_is_what_the_script_imports_anywhere(folder: Folder) -> None:
    here = folder("one.py", "two.py", "three.py", app="import one\ndef f(): from two import x\n")
    assert find(here / "app.cgi", Seen()).modules == ["one", "two"]


def test_a_module_may_import_further_ones(folder: Folder) -> None:
    here = folder("three.py", "four.py", app="import one", one="import two", two="import three")
    assert find(here / "app.cgi", Seen()).modules == ["one", "two", "three"]


def test_a_module_may_be_seen_to_be_imported(folder: Folder) -> None:
    here = folder("one.py", "two.py", app="")
    seen = Seen(imported={"one": str(here / "one.py"), "json": "/usr/lib/python3/json.py"})
    assert find(here / "app.cgi", seen).modules == ["one"]


def test_all_modules_of_a_package_are_in_the_program(folder: Folder) -> None:
    here = folder("shop/__init__.py", "shop/urls.py", app="import shop.views")
    project = find(here / "app.cgi", Seen())
    assert (project.modules, project.packages) == ([], ["shop"])


def test_a_package_need_not_have_an_init(folder: Folder) -> None:
    here = folder("shop/urls.py", "shop/a/views.py", app="import shop.views")
    assert find(here / "app.cgi", Seen()).modules == ["shop.a.views", "shop.urls"]


def test_a_folder_may_have_the_name_of_a_module_that_is_elsewhere(folder: Folder) -> None:
    here = folder("html/convert.py", "flask/notes.py", app="import html, flask")
    seen = Seen(imported={"flask": "/site-packages/flask/__init__.py"})
    assert find(here / "app.cgi", seen) == Project()


def test_a_folder_that_the_script_adds_to_its_path_has_modules_too(
    folder: Folder, tmp_path: Path
) -> None:
    here = folder("cgi-bin/x", "lib/shop/__init__.py", "lib/shop/a.html", app="import shop")
    script = here / "cgi-bin" / "app.cgi"
    (here / "app.cgi").rename(script)
    project = find(script, Seen(folders=[str(here / "lib"), "/"]))
    assert (project.packages, places(project)) == (["shop"], ["shop/a.html"])


def test_installed_packages_are_none_of_the_script_s(folder: Folder) -> None:
    here = folder("site-packages/flask/__init__.py", app="import flask")
    assert find(here / "app.cgi", Seen(folders=[str(here / "site-packages")])) == Project()


def test_modules_may_be_named_by_strings(folder: Folder) -> None:
    here = folder(
        *("django/__init__.py", "django/db/__init__.py", "django/mail.py", "django/unused.py"),
        one="A = 'django.db.Backend'; B = \"django.mail\"; C = 'os.path'; D = 'django.none.X'",
    )
    assert named([here / "one.py"], here) == {"django.db", "django.mail"}


def test_named_modules_may_name_others(folder: Folder) -> None:
    here = folder("django/__init__.py", "django/c.py", one="A = 'django.b'")
    (here / "django" / "b.py").write_text("A = 'django.c'")
    assert named([here / "one.py"], here) == {"django.b", "django.c"}


# --- data ---


def test_a_package_has_its_data(folder: Folder) -> None:
    here = folder("shop/__init__.py", "shop/a/b.html", "shop/c.pyc", "shop/.env", app="import shop")
    assert places(find(here / "app.cgi", Seen())) == ["shop/a/b.html"]


def test_beside_a_module_folders_that_are_customary_are_data(folder: Folder) -> None:
    here = folder("one.py", "templates/a.html", "static/b/c.css", "uploads/d.gif", app="import one")
    project = find(here / "app.cgi", Seen())
    assert places(project) == ["static/b/c.css", "templates/a.html"]
    assert left(project, here) == ["uploads"]


def test_a_script_with_an_application_looks_for_data_as_a_module_does(folder: Folder) -> None:
    here = folder("templates/a.html", app="import flask")
    assert places(find(here / "app.cgi", Seen(), is_root=True)) == ["templates/a.html"]


def test_data_may_be_named(folder: Folder) -> None:
    here = folder("schemas/a.sql", "schemas/.b", "names.txt", app="")
    project = find(here / "app.cgi", Seen(), listed=["schemas", "names.txt"])
    assert places(project) == ["schemas/a.sql", "names.txt"]


@pytest.mark.parametrize("name", ["none", ".env", "../x", "/etc/passwd", "a/.b"])
def test_data_that_is_not_there_hidden_or_elsewhere_is_refused(folder: Folder, name: str) -> None:
    here = folder(".env", "a/.b", app="")
    with pytest.raises(cgiscript.ScriptError, match="data names"):
        find(here / "app.cgi", Seen(), listed=[name])


@pytest.mark.parametrize(
    "name",
    [
        "app.db", "db.sqlite3", "error.log", "server.key", "cert.pem", "id_rsa", "id_rsa.pub",
        "a.html~", "a.bak", "b.orig", "worker.pid", "a.swp",
    ],
)  # fmt: skip
def test_what_changes_or_is_secret_stays_out_of_a_program(folder: Folder, name: str) -> None:
    here = folder("shop/__init__.py", f"shop/{name}", app="import shop")
    project = find(here / "app.cgi", Seen())
    assert (project.data, left(project, here)) == ([], [f"shop/{name}"])


def test_a_large_file_stays_out_of_a_program(folder: Folder) -> None:
    here = folder("shop/__init__.py", app="import shop")
    with (here / "shop" / "film.mp4").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    assert left(find(here / "app.cgi", Seen()), here) == ["shop/film.mp4"]


def test_a_link_out_of_the_folder_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    here = folder("shop/__init__.py", app="import shop")
    (here / "shop" / "passwd").symlink_to("/etc/passwd")
    assert find(here / "app.cgi", Seen()).data == []


# --- what the build says ---


def test_it_says_what_is_in_the_program_and_what_is_not(folder: Folder) -> None:
    here = folder(
        *("one.py", "shop/__init__.py", "shop/a.html", "templates/a.html", "templates/b.html"),
        *("notes.txt", "uploads/a.gif", "other.cgi", "unused.py", ".env", "shop/x.db"),
        app="import one, shop",
    )
    assert list(find(here / "app.cgi", Seen()).notes()) == [
        "from its folder the program has one.py, shop/, templates/ (2 files)",
        "not in the program, though beside its modules: x.db, notes.txt, uploads/",
    ]


def test_of_a_lone_script_it_says_nothing(folder: Folder) -> None:
    here = folder("notes.txt", app="print()")
    assert list(find(here / "app.cgi", Seen()).notes()) == []
