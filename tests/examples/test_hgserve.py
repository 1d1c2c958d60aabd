"""Mercurial's hgweb as one file, behind Apache: pages for a browser, and a server for hg itself."""

import io
import os
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from nativecgi.testing import Answer, Client
from servers import apache
from tests.remote import Remote

ROOT = Path(__file__).parents[2]
NAME = "hgserve"
HG = ROOT / "build" / "apps" / NAME / "venv" / "bin" / "hg"
ENVIRONMENT = {
    "PATH": os.defpath,
    "LC_ALL": "C.UTF-8",
    "HGRCPATH": "",
    "HGUSER": "Ann <ann@example.org>",
}

Hg = Callable[..., "subprocess.CompletedProcess[str]"]


def client(folder: Path) -> Hg:
    """Runs Mercurial's client, of the server's version: `hg("clone", url, name)`, in a folder."""

    def run(*arguments: str | Path, fails: bool = False) -> "subprocess.CompletedProcess[str]":
        result = subprocess.run(
            [HG, "--noninteractive", *arguments],
            env={**ENVIRONMENT, "HOME": str(folder)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert bool(result.returncode) == fails, result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def hg(example: Callable[[str], Path], tmp_path: Path) -> Hg:
    example(NAME)  # has it installed
    return client(tmp_path)


@pytest.fixture(scope="module")
def history(example: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two changes."""
    example(NAME)
    folder = tmp_path_factory.mktemp("history")
    hg = client(folder)
    hg("init")
    for content in ("one\n", "one\ntwo\n"):
        (folder / "list.txt").write_text(content)
        hg("commit", "--addremove", "--message", f"Now {content.split()[-1]}")
    return folder


@pytest.fixture
def repository(history: Path, served: Path) -> Path:
    """A copy of it, which everybody may push to."""
    folder = shutil.copytree(history, served / "repositories" / "shop", symlinks=True)
    configure(folder, "allow-push = *", "push_ssl = false", "allow-archive = zip, gz")
    return folder


def configure(repository: Path, *settings: str, more: Sequence[str] = ()) -> None:
    (repository / ".hg" / "hgrc").write_text("\n".join(["[web]", *settings, *more, ""]))
    for path in (repository.parent, *repository.parent.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)  # for the server's user


@pytest.fixture
def environment(repository: Path, served: Path) -> dict[str, str]:
    """What the server sets for the program."""
    configuration = served / "hgweb.config"
    configuration.write_text(f"[paths]\n/ = {repository.parent}/*\n")
    # Mercurial reads a repository's settings if the owner is the user, or one that is trusted.
    trust = served / "hgrc"
    trust.write_text("[trusted]\nusers = *\n")
    return {"HGWEB_CONFIG": str(configuration), "HGRCPATH": str(trust)}


@pytest.fixture
def url(deployed: Callable[[str], Path], environment: dict[str, str]) -> Iterator[str]:
    """Where Apache has the repositories."""
    with apache.serving(deployed(NAME), environment=environment) as server:
        yield f"{server.url}/{NAME}"


@pytest.fixture
def pages(url: str) -> Client:
    return Remote(url)


def test_repositories_are_listed(pages: Client) -> None:
    answer = pages.get("/")
    assert answer.status == 200
    assert f'<a href="/cgi-bin/{NAME}/shop/">shop</a>' in answer.text


def test_pages_of_a_repository(pages: Client) -> None:
    assert "Now two" in pages.get("/shop").text
    assert "Now one" in pages.get("/shop/summary?style=gitweb").text
    assert "Now one" in pages.get("/shop/log").text
    assert "<rss" in pages.get("/shop/rss-log").text
    assert 'class="annotate' in pages.get("/shop/annotate/tip/list.txt").text
    assert "two" in pages.get("/shop/file/tip/list.txt").text
    assert "+two" in pages.get("/shop/rev/tip").text
    assert "changegroup" in pages.get("/shop/help/internals.bundle2").text


def test_json_of_a_repository(pages: Client) -> None:
    changes = pages.get("/shop/json-log").json()["changesets"]
    assert [change["desc"] for change in changes] == ["Now two", "Now one"]


def test_a_raw_file(pages: Client) -> None:
    answer = pages.get("/shop/raw-file/0/list.txt")
    assert (answer.status, answer.body) == (200, b"one\n")


@pytest.mark.parametrize("name", ["style-paper.css", "mercurial.js", "hglogo.png"])
def test_static_files(pages: Client, hg: Hg, name: str) -> None:
    (folder,) = HG.parent.parent.glob("lib/python*/site-packages/mercurial/templates/static")
    answer = pages.get(f"/static/{name}")
    assert (answer.status, answer.body) == (200, (folder / name).read_bytes())
    assert pages.get(f"/shop/static/{name}").body == answer.body


def test_what_is_not_there(pages: Client) -> None:
    assert pages.get("/nonesuch").status == 404
    assert pages.get("/shop/file/tip/nonesuch").status == 404
    assert pages.get("/shop/rev/123456789abc").status == 404
    assert pages.get("/static/nonesuch.css").status == 404


def test_archives(pages: Client) -> None:
    answer = pages.get("/shop/archive/tip.zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("list.txt"))
        assert archive.read(name) == b"one\ntwo\n"
    answer = pages.get("/shop/archive/0.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        assert any(name.endswith("list.txt") for name in tar.getnames())
    assert pages.get("/shop/archive/tip.tar.bz2").status == 403


def test_a_page_that_has_not_changed_is_not_sent(pages: Client) -> None:
    tag = pages.get("/shop").headers["etag"]
    assert pages.get("/shop", headers={"If-None-Match": tag}).status == 304


def test_changes_go_from_clone_to_clone(hg: Hg, url: str, tmp_path: Path) -> None:
    hg("clone", f"{url}/shop", "mine")
    hg("clone", f"{url}/shop", "yours")
    (tmp_path / "mine" / "list.txt").write_text("three\n")
    hg("-R", "mine", "commit", "--message", "Now three")
    assert "added 1 changesets" in hg("-R", "mine", "push").stdout
    assert "added 1 changesets" in hg("-R", "yours", "pull", "--update").stdout
    assert (tmp_path / "yours" / "list.txt").read_text() == "three\n"
    hg("-R", "yours", "verify")


def test_a_change_of_some_megabytes(hg: Hg, url: str, repository: Path, tmp_path: Path) -> None:
    hg("clone", f"{url}/shop", "mine")
    content = os.urandom(8_000_000)
    (tmp_path / "mine" / "large").write_bytes(content)
    hg("-R", "mine", "commit", "--addremove", "--message", "Large")
    hg("-R", "mine", "push")
    hg("-R", repository, "verify")
    hg("clone", f"{url}/shop", "yours")
    assert (tmp_path / "yours" / "large").read_bytes() == content


def test_bookmarks_and_named_branches(hg: Hg, url: str) -> None:
    hg("clone", f"{url}/shop", "mine")
    hg("-R", "mine", "bookmark", "fruit")
    hg("-R", "mine", "branch", "stable")
    hg("-R", "mine", "commit", "--message", "Branch")
    hg("-R", "mine", "push", "--new-branch", "--bookmark", "fruit")
    hg("clone", f"{url}/shop", "yours")
    assert hg("-R", "yours", "identify", "--branch", "--rev", "fruit").stdout == "stable\n"


def test_phases_are_exchanged(hg: Hg, url: str, tmp_path: Path) -> None:
    hg("clone", f"{url}/shop", "mine")
    (tmp_path / "mine" / "list.txt").write_text("three\n")
    hg("-R", "mine", "commit", "--message", "Now three")
    assert "draft" in hg("-R", "mine", "phase", "--rev", "tip").stdout
    hg("-R", "mine", "push")
    assert "public" in hg("-R", "mine", "phase", "--rev", "tip").stdout


def test_a_push_without_permission_is_refused(
    hg: Hg, url: str, repository: Path, tmp_path: Path
) -> None:
    configure(repository, "push_ssl = false")
    hg("clone", f"{url}/shop", "mine")
    (tmp_path / "mine" / "list.txt").write_text("three\n")
    hg("-R", "mine", "commit", "--message", "Now three")
    refused = hg("-R", "mine", "push", fails=True)
    assert "authorization failed" in refused.stderr
    assert "Now three" not in hg("-R", repository, "log").stdout
    assert Remote(f"{url}/shop").post("/?cmd=unbundle").status in (401, 403)


def test_a_push_without_https_is_refused(hg: Hg, url: str, repository: Path) -> None:
    configure(repository, "allow-push = *")
    assert Remote(f"{url}/shop").post("/?cmd=unbundle&heads=666f726365").status == 403


def test_hooks_run_and_may_refuse(hg: Hg, url: str, repository: Path, tmp_path: Path) -> None:
    settings = ("allow-push = *", "push_ssl = false")
    note = repository.parent.parent / "note"
    hook = f'test "$HG_SOURCE" = serve && echo "$HG_NODE" > {note} && echo noted'
    configure(repository, *settings, more=["[hooks]", f"changegroup.note = {hook}"])
    hg("clone", f"{url}/shop", "mine")
    (tmp_path / "mine" / "list.txt").write_text("three\n")
    hg("-R", "mine", "commit", "--message", "Now three")
    assert "noted" in hg("-R", "mine", "push").stdout
    node = hg("-R", "mine", "identify", "--debug", "--id").stdout
    assert note.read_text() == node
    configure(repository, *settings, more=["[hooks]", "pretxnchangegroup.no = false"])
    (tmp_path / "mine" / "list.txt").write_text("four\n")
    hg("-R", "mine", "commit", "--message", "Now four")
    hg("-R", "mine", "push", fails=True)
    assert "Now four" not in hg("-R", repository, "log").stdout


@pytest.fixture
def unbundle(
    hg: Hg,
    example: Callable[[str], Path],
    environment: dict[str, str],
    repository: Path,
    tmp_path: Path,
) -> Callable[..., Answer]:
    """Pushes a change with a file `new` to the program by itself: `unbundle(REMOTE_USER="ann")`."""
    hg("clone", repository, "other")
    (tmp_path / "other" / "new").write_text("new\n")
    hg("-R", "other", "commit", "--addremove", "--message", "New")
    hg("-R", "other", "bundle", "--type", "none-v1", "--base", "tip^", tmp_path / "bundle")

    def push(by: Sequence[str] = (), **env: str) -> Answer:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\nexec {shlex.join([*by, str(example(NAME))])}\n")
        program.chmod(0o755)
        return Client(program, env={**environment, **env}).post(
            f"/shop?cmd=unbundle&heads={b'force'.hex()}",
            headers={"Content-Type": "application/mercurial-0.1"},
            body=(tmp_path / "bundle").read_bytes(),
        )

    return push


def test_who_may_push_is_known_by_the_server(
    unbundle: Callable[..., Answer], repository: Path
) -> None:
    configure(repository, "allow-push = ann", "push_ssl = false")
    assert unbundle().status == 401
    assert unbundle(REMOTE_USER="bob").status == 401
    assert unbundle(REMOTE_USER="ann").body.startswith(b"1\n")


def test_new_files_have_the_mode_of_their_folder_whatever_the_umask(
    unbundle: Callable[..., Answer], repository: Path
) -> None:
    (repository / ".hg" / "store").chmod(0o755)
    before = os.umask(0o077)
    try:
        assert unbundle().body.startswith(b"1\n")
    finally:
        os.umask(before)
    file = repository / ".hg" / "store" / "data" / "new.i"
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_lock_names_the_machine_that_it_is_taken_on(
    unbundle: Callable[..., Answer], repository: Path, tmp_path: Path
) -> None:
    """By that another process knows whether it can see if the owner is still there."""
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$0"')
    if subprocess.run([*elsewhere, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot have a host name of its own")
    note = tmp_path / "note"
    hook = f"pretxnchangegroup.note = readlink .hg/store/lock > {note}"
    configure(repository, "allow-push = *", "push_ssl = false", more=["[hooks]", hook])
    assert unbundle(by=elsewhere).body.startswith(b"1\n")
    assert note.read_text().startswith("elsewhere/")


def test_an_extension_that_the_configuration_enables(
    hg: Hg, url: str, served: Path, tmp_path: Path
) -> None:
    with (served / "hgrc").open("a") as file:
        file.write(f"[extensions]\nlargefiles =\n[largefiles]\nusercache = {served}/cache\n")
    largefiles = ("--config", "extensions.largefiles=")
    hg("clone", *largefiles, f"{url}/shop", "mine")
    (tmp_path / "mine" / "picture").write_bytes(b"\0\xff" * 1000)
    hg("-R", "mine", *largefiles, "add", "--large", tmp_path / "mine" / "picture")
    hg("-R", "mine", *largefiles, "commit", "--message", "Picture")
    hg("-R", "mine", *largefiles, "push")
    hg("clone", *largefiles, f"{url}/shop", "yours")
    assert (tmp_path / "yours" / "picture").read_bytes() == b"\0\xff" * 1000


def test_an_extension_that_is_a_file_on_the_server(pages: Client, served: Path) -> None:
    extension = served / "greet.py"
    extension.write_text("""if True:
        from mercurial import registrar
        templatefilter = registrar.templatefilter()
        @templatefilter(b"greet", intype=bytes)
        def greet(name):
            return b"Hello " + name
    """)
    (served / "templates" / "hello").mkdir(parents=True)
    (served / "templates" / "hello" / "map").write_text(
        "default = 'summary'\nmimetype = 'text/plain'\nsummary = '{repo|greet}'\n"
    )
    with (served / "hgrc").open("a") as file:
        file.write(f"[extensions]\ngreet = {extension}\n[web]\nstyle = hello\n")
        file.write(f"templates = {served}/templates\n")
    assert pages.get("/shop/summary").text == "Hello shop"


def test_pushes_at_once_are_all_kept(hg: Hg, url: str, repository: Path, tmp_path: Path) -> None:
    names = [f"clone{number}" for number in range(4)]
    for name in names:
        hg("clone", f"{url}/shop", name)
        (tmp_path / name / name).write_text(name)
        hg("-R", name, "commit", "--addremove", "--message", name)
    command = (HG, "push", "--force", "--quiet", "--repository")
    pushes = [subprocess.Popen([*command, tmp_path / name], env=ENVIRONMENT) for name in names]
    assert [push.wait(120) for push in pushes] == [0] * 4
    log = hg("-R", repository, "log", "--template", "{desc}\n").stdout
    assert set(names) <= set(log.split("\n"))
    hg("-R", repository, "verify")
