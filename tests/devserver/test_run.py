"""`nativecgi run`: each request sees what a process of the built program would see."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.checkout import ROOT
from tests.devserver.running import Server, eventually, is_running, started
from tests.devserver.test_cgi import open_stream, pid_of

Running = Callable[..., AbstractContextManager[Server]]

APP = """
import json, os, random, subprocess, sys, threading, time
from nativecgi import Request, Response, after_thaw, run
from nativecgi import json as as_json

count = 0
started = os.getpid()
hooks = []
sequence = random.Random(7)
print("imported")

@after_thaw
def begin():
    hooks.append(os.getpid())

def events():
    yield f"data: {os.getpid()}\\n\\n".encode()
    time.sleep(1000)

def handle(request: Request) -> Response:
    global count
    count += 1
    match request.parts:
        case ["fail"]:
            raise RuntimeError("it <failed>")
        case ["crash"]:
            os.kill(os.getpid(), 11)
        case ["events"]:
            return Response(events(), 200, [("Content-Type", "text/event-stream")])
        case ["print"]:
            print("printed by the handler")
    child = subprocess.run(["/bin/sh", "-c", "echo $PATH_INFO"], capture_output=True, text=True)
    return as_json({
        "count": count, "hooks": len(hooks), "is_own": hooks == [os.getpid()],
        "is_forked": started != os.getpid(), "pid": os.getpid(), "cwd": os.getcwd(),
        "argv": sys.argv, "name": __name__, "file": __file__, "query": os.environ["QUERY_STRING"],
        "child": child.stdout.strip(), "given": sequence.random(), "drawn": random.random(),
        "body": request.body.read().decode(), "script_name": request.env["SCRIPT_NAME"],
        "shelf": os.environ.get("SHELF"), "thread": threading.main_thread().native_id,
    })

if __name__ == "__main__":
    run(handle)
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("app")
    (made / "shelf.py").write_text(APP)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with started("run", "shelf.py", cwd=folder, env={"SHELF": "of the shell"}) as running:
        yield running


@pytest.fixture
def running(tmp_path: Path) -> Running:
    """Runs an app: `with running(source, *options) as server`."""

    def run_app(source: str, *options: str) -> AbstractContextManager[Server]:
        (tmp_path / "app.py").write_text(dedent(source))
        return started("run", "app.py", *options, cwd=tmp_path)

    return run_app


def seen(server: Server, path: str = "/cgi-bin/shelf", **options: object) -> dict[str, object]:
    answer: dict[str, object] = json.loads(server.text(path, **options))
    return answer


# --- what a process sees ---


def test_each_request_has_a_process_of_its_own(server: Server) -> None:
    first, second = seen(server), seen(server)
    assert first["pid"] != second["pid"]
    assert first["is_forked"] is True


def test_each_process_begins_as_things_were_at_the_freeze_point(server: Server) -> None:
    assert seen(server)["count"] == seen(server)["count"] == 1


def test_each_process_runs_the_hooks_for_a_new_process_once(server: Server) -> None:
    assert seen(server)["hooks"] == 1
    assert seen(server)["is_own"] is True


def test_a_sequence_of_random_numbers_that_was_given_a_seed_is_the_same(server: Server) -> None:
    first, second = seen(server), seen(server)
    assert first["given"] == second["given"]
    assert first["drawn"] != second["drawn"]


def test_the_environment_is_the_requests_and_the_shells(server: Server) -> None:
    answer = seen(server, "/cgi-bin/shelf/a?b=c")
    assert (answer["query"], answer["shelf"]) == ("b=c", "of the shell")


def test_child_processes_see_the_requests_environment(server: Server) -> None:
    assert seen(server, "/cgi-bin/shelf/a%20b")["child"] == "/a b"


def test_an_environment_of_any_size_arrives(server: Server) -> None:
    headers = {f"X-{number}": "a" * 7000 for number in range(8)}
    assert seen(server, "/cgi-bin/shelf?here", headers=headers)["query"] == "here"


def test_the_body_arrives(server: Server) -> None:
    assert seen(server, "/cgi-bin/shelf", method="POST", body=b"abc")["body"] == "abc"


def test_it_is_the_main_program(server: Server, folder: Path) -> None:
    answer = seen(server)
    file = str(folder / "shelf.py")
    assert (answer["name"], answer["file"], answer["argv"]) == ("__main__", file, [file])


def test_a_process_runs_in_the_apps_folder(server: Server, folder: Path) -> None:
    assert seen(server)["cwd"] == str(folder)


def test_a_process_knows_its_thread(server: Server) -> None:
    answer = seen(server)
    assert answer["thread"] == answer["pid"]


# --- what the developer sees ---


def test_it_is_where_the_built_program_would_be(server: Server) -> None:
    assert server.url.endswith("/cgi-bin/shelf")
    assert seen(server, "/cgi-bin/shelf/x")["script_name"] == "/cgi-bin/shelf"
    answer, _body = server.ask("/")
    assert (answer.status, answer.getheader("Location")) == (302, "/cgi-bin/shelf/")
    assert server.ask("/shelf")[0].status == 404


def test_it_can_be_at_the_root(folder: Path) -> None:
    with started("run", "shelf.py", "--at", "/", cwd=folder) as server:
        assert seen(server, "/x")["script_name"] == ""


def test_a_traceback_is_in_the_page_and_in_the_terminal(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/shelf/fail")
    assert answer.status == 500
    assert b"it &lt;failed&gt;" in body
    server.wait_for("RuntimeError: it <failed>")


def test_a_traceback_is_not_for_others(server: Server) -> None:
    _answer, body = server.ask("/cgi-bin/shelf/fail", headers={"Host": "evil.example"})
    assert b"failed" not in body


def test_what_a_handler_prints_is_in_the_terminal(server: Server) -> None:
    seen(server, "/cgi-bin/shelf/print")
    server.wait_for("printed by the handler")


def test_a_crash_is_told(server: Server) -> None:
    answer, body = server.ask("/cgi-bin/shelf/crash")
    assert answer.status == 500
    assert b"has ended without an answer" in body
    server.wait_for("killed by SIGSEGV")


def test_each_request_has_a_line_in_the_log(server: Server) -> None:
    server.ask("/cgi-bin/shelf?logged", method="PUT")
    server.wait_for("PUT /cgi-bin/shelf?logged 200 ")


def test_an_app_that_does_not_start_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import nonesuch_module\n")
    result = command("run", "app.py", cwd=tmp_path)
    assert result.returncode == 1
    assert "No module named 'nonesuch_module'" in result.stderr
    assert result.stderr.splitlines()[-2:] == [
        "nativecgi: app does not start",
        "What it printed is above.",
    ]


def test_a_thread_at_the_freeze_point_is_refused_as_by_the_build(tmp_path: Path) -> None:
    source = """
        import threading, time
        threading.Thread(target=time.sleep, args=(1000,), daemon=True, name="ticker").start()
        from nativecgi import run, text
        run(lambda request: text("a"))
        """
    (tmp_path / "app.py").write_text(dedent(source))
    result = command("run", "app.py", cwd=tmp_path)
    assert result.returncode == 1
    assert "'ticker'" in result.stderr
    assert "A thread is running at the freeze point" in result.stderr


def test_what_is_open_at_the_freeze_point_is_named(running: Running) -> None:
    source = """
        from nativecgi import run, text
        kept = open("/etc/passwd")
        run(lambda request: text("a"))
        """
    with running(source) as server:
        server.wait_for("'/etc/passwd') is open at the freeze point")


# --- which app ---


def test_a_package_runs_with_its_modules(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "goods.py").write_text("GOODS = 'apples'\n")
    main = "from nativecgi import run, text\nfrom shop.goods import GOODS\n"
    (package / "__main__.py").write_text(f"{main}run(lambda request: text(GOODS))\n")
    with started("run", "shop", cwd=tmp_path) as server:
        assert server.text("/cgi-bin/shop") == "apples"


def test_a_script_runs_as_it_stands(tmp_path: Path) -> None:
    source = """\
        #!/usr/bin/env python3
        import os, sys
        from pathlib import Path

        print("Content-Type: text/plain\\n")
        print(os.environ["QUERY_STRING"], sys.stdin.read(), Path(__file__).name, end="")
        """
    (tmp_path / "old.cgi").write_text(dedent(source))
    with started("run", "old.cgi", cwd=tmp_path) as server:
        answer = server.text("/cgi-bin/old?a", method="POST", body=b"b")
        assert answer == "a b old.cgi"


def test_a_wsgi_application_runs_without_a_line_of_ours(tmp_path: Path) -> None:
    source = """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["PATH_INFO"].encode()]
        """
    (tmp_path / "site_app.py").write_text(dedent(source))
    with started("run", "--wsgi", "site_app:application", cwd=tmp_path) as server:
        assert server.ask(server.url.partition("/cgi-bin")[1] + "/site_app/x")[1] == b"/x"


def test_the_only_app_of_a_project_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.nativecgi]\napps = ["one.py"]\n')
    (tmp_path / "one.py").write_text(
        "from nativecgi import run, text\nrun(lambda request: text('one'))\n"
    )
    with started("run", cwd=tmp_path) as server:
        assert server.text("/cgi-bin/one") == "one"


def test_of_several_apps_one_has_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.nativecgi]\napps = ["*.py"]\n')
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").touch()
    result = command("run", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "Name one of one, two"


# --- reload ---

TEXT = "from nativecgi import run, text\nrun(lambda request: text({!r}))\n"


def test_a_change_of_the_app_is_seen(running: Running, tmp_path: Path) -> None:
    with running(TEXT.format("old"), "--reload") as server:
        assert server.text("/cgi-bin/app") == "old"
        (tmp_path / "app.py").write_text(TEXT.format("new"))
        eventually(lambda: server.text("/cgi-bin/app") == "new")


def test_a_change_of_what_it_imports_and_reads_is_seen(running: Running, tmp_path: Path) -> None:
    source = """
        from pathlib import Path
        from nativecgi import run, text
        import part
        DATA = Path(__file__).with_name("data.txt").read_text()
        run(lambda request: text(part.NAME + DATA))
        """
    (tmp_path / "part.py").write_text("NAME = 'a'\n")
    (tmp_path / "data.txt").write_text("b")
    with running(source, "--reload") as server:
        assert server.text("/cgi-bin/app") == "ab"
        (tmp_path / "part.py").write_text("NAME = 'longer '\n")
        eventually(lambda: server.text("/cgi-bin/app") == "longer b")
        (tmp_path / "data.txt").write_text("c")
        eventually(lambda: server.text("/cgi-bin/app") == "longer c")


def test_an_app_that_does_not_start_is_a_page_until_it_is_mended(
    running: Running, tmp_path: Path
) -> None:
    source = "import nativecgi; raise ValueError('<at import>')"
    with running(source, "--reload") as server:
        answer, body = server.ask("/cgi-bin/app")
        assert answer.status == 500
        assert b"ValueError: &lt;at import&gt;" in body
        server.wait_for("ValueError: <at import>")
        _answer, body = server.ask("/cgi-bin/app", headers={"Host": "evil.example"})
        assert b"ValueError" not in body
        (tmp_path / "app.py").write_text(TEXT.format("mended"))
        eventually(lambda: server.text("/cgi-bin/app") == "mended")


def test_an_app_that_cannot_be_parsed_is_a_page_until_it_is_mended(
    running: Running, tmp_path: Path
) -> None:
    with running("from nativecgi import (", "--reload") as server:
        assert "SyntaxError" in server.text("/cgi-bin/app")
        (tmp_path / "app.py").write_text(TEXT.format("mended"))
        eventually(lambda: server.text("/cgi-bin/app") == "mended")


def test_a_module_that_was_missing_is_found_when_it_comes(running: Running, tmp_path: Path) -> None:
    source = """
        from nativecgi import run, text
        import late_part
        run(lambda request: text(late_part.NAME))
        """
    with running(source, "--reload") as server:
        assert "No module named" in server.text("/cgi-bin/app")
        (tmp_path / "late_part.py").write_text("NAME = 'here'\n")
        eventually(lambda: server.text("/cgi-bin/app") == "here")


def test_nothing_is_started_anew_without_reload(running: Running, tmp_path: Path) -> None:
    with running(TEXT.format("old")) as server:
        (tmp_path / "app.py").write_text(TEXT.format("new"))
        assert server.text("/cgi-bin/app") == "old"


# --- its end ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_it(folder: Path, number: int) -> None:
    with started("run", "shelf.py", "--reload", cwd=folder) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        (app,) = map(int, children.read_text().split())
        with open_stream(server, "/cgi-bin/shelf/events") as client:
            pid = pid_of(client)
            assert server.stop(number) == 0
        assert not is_running(pid)
        assert not is_running(app)


def test_a_server_that_is_killed_leaves_no_process(folder: Path) -> None:
    with started("run", "shelf.py", cwd=folder) as server:
        client = open_stream(server, "/cgi-bin/shelf/events")
        pid = pid_of(client)
        server.process.kill()
        eventually(lambda: not is_running(pid))
        client.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_while_the_app_is_still_starting(tmp_path: Path, number: int) -> None:
    (tmp_path / "app.py").write_text(
        "import nativecgi, time; print('begun', flush=True); time.sleep(1000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "nativecgi_build", "run", "app.py", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stderr
        assert process.stderr.readline() == "begun\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (app,) = map(int, children.read_text().split())
        process.send_signal(number)
        assert process.wait(30) == 0
        eventually(lambda: not is_running(app))


def test_a_stream_arrives_as_it_is_made(server: Server) -> None:
    with open_stream(server, "/cgi-bin/shelf/events") as client:
        assert is_running(pid_of(client))


def test_another_address_than_the_loopback_is_warned_of(folder: Path) -> None:
    with started("run", "shelf.py", "--host", "0.0.0.0", cwd=folder) as server:
        server.wait_for("Whoever reaches this machine at 0.0.0.0 can use the app")
        assert server.ask("/cgi-bin/shelf")[0].status == 200


def command(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "nativecgi_build", *arguments, "--port", "0"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
