"""The built programs alone: each is run as a server would run it, from an empty folder."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from nativecgi.message.limits import DEFAULT_LIMITS

ROOT = Path(__file__).parents[2]
APPS = ("calculator", "hello", "hitcounter", "httpbin")
ENVIRONMENT = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SCRIPT_NAME": "/cgi-bin/app",
    "REQUEST_METHOD": "GET",
}

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run(cgi_bin: Path, tmp_path: Path) -> Run:
    """Runs a program: `run("hello", PATH_INFO="/Ann")`, `run("calculator", body=b"{}")`."""

    def run_program(
        name: str, *, body: bytes | None = None, **variables: str
    ) -> "subprocess.CompletedProcess[bytes]":
        environment = ENVIRONMENT | variables
        if body is not None:
            environment = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))} | environment
            environment |= {"REQUEST_METHOD": variables.get("REQUEST_METHOD", "POST")}
        return subprocess.run(
            [cgi_bin / name],
            input=body or b"",
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=30,
            check=False,
        )

    return run_program


def head_and_body(output: bytes) -> tuple[bytes, bytes]:
    head, _, body = output.partition(b"\r\n\r\n")
    return head, body


def answer(result: "subprocess.CompletedProcess[bytes]") -> bytes:
    """The body of a successful answer."""
    assert (result.returncode, result.stderr) == (0, b"")
    head, body = head_and_body(result.stdout)
    assert head.startswith(b"Status: 200 OK\r\n")
    return body


def json_answer(result: "subprocess.CompletedProcess[bytes]") -> Any:
    return json.loads(answer(result))


def test_hello_greets_the_world(run: Run) -> None:
    assert run("hello").stdout == (
        b"Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 11\r\n\r\nHello world"
    )


def test_hello_greets_whom_the_path_names(run: Run) -> None:
    assert answer(run("hello", PATH_INFO="/Zoë")) == "Hello Zoë".encode()


def test_hello_has_nothing_else(run: Run) -> None:
    assert run("hello", PATH_INFO="/a/b").stdout.startswith(b"Status: 404 Not Found\r\n")


def test_head_has_the_header_of_get_and_no_body(run: Run) -> None:
    got, headed = run("hello"), run("hello", REQUEST_METHOD="HEAD")
    assert headed.stdout == got.stdout.removesuffix(b"Hello world")


@pytest.mark.parametrize(
    ("left", "operator", "right", "result"),
    [
        (6, "*", 7, 42),
        (1, "+", 2, 3),
        (1, "-", 2.5, -1.5),
        (1, "/", 4, 0.25),
        (2**63, "*", 4, 2**65),
    ],
)
def test_calculator_calculates(
    run: Run, left: float, operator: str, right: float, result: float
) -> None:
    body = json.dumps({"left": left, "right": right, "operator": operator}).encode()
    assert json_answer(run("calculator", body=body)) == {"result": result}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b'{"left": 1, "right": 0, "operator": "/"}', 400, b"Nothing can be divided by zero."),
        (b'{"left": 1, "right": 0, "operator": "%"}', 400, b"There is no operator '%'"),
        (b'{"left": 1e308, "right": 10, "operator": "*"}', 400, b"The result is too large."),
        (b'{"left": 1, "right": 0', 400, b"Input data was truncated"),
        (b'{"left": "1", "right": 0, "operator": "+"}', 422, b"Expected `int | float`, got `str`"),
        (b'{"left": 1}', 422, b"missing required field `right`"),
    ],
)
def test_calculator_says_what_is_wrong(run: Run, body: bytes, status: int, sentence: bytes) -> None:
    result = run("calculator", body=body)
    assert result.stdout.startswith(f"Status: {status} ".encode())
    assert sentence in head_and_body(result.stdout)[1]


def test_calculator_wants_a_post(run: Run) -> None:
    head = head_and_body(run("calculator").stdout)[0]
    assert head.startswith(b"Status: 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: POST\r\n" in head


def test_a_body_over_the_limit_is_refused_and_not_read(run: Run) -> None:
    length = str(DEFAULT_LIMITS.max_body + 1)
    result = run("calculator", body=b"", REQUEST_METHOD="POST", CONTENT_LENGTH=length)
    assert result.stdout.startswith(b"Status: 413 ")


def test_httpbin_shows_the_request(run: Run) -> None:
    shown = json_answer(
        run(
            "httpbin",
            body=b"a body",
            PATH_INFO="/a/b",
            QUERY_STRING="x=1&x=2&y=%C3%A9+",
            HTTP_USER_AGENT="test",
            REMOTE_ADDR="192.0.2.1",
        )
    )
    assert shown["method"] == "POST"
    assert shown["uri"] == "/cgi-bin/app/a/b"
    assert shown["url"] == "http://localhost/cgi-bin/app/a/b?x=1&x=2&y=%C3%A9+"
    assert shown["params"] == {"x": ["1", "2"], "y": ["é "]}
    assert shown["headers"]["User-Agent"] == "test"
    assert (shown["body"], shown["remote_addr"]) == ("a body", "192.0.2.1")


def test_hitcounter_counts_in_the_file_it_is_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "counted.json"
    pages = [answer(run("hitcounter", HITCOUNTER_FILE=str(file))) for _hit in range(3)]
    assert [re.findall(rb">(\d+)</text>", page) for page in pages] == [[b"1"], [b"2"], [b"3"]]
    assert json.loads(file.read_bytes()) == {"hits": 3}


def test_hitcounter_writes_nowhere_unless_told(run: Run, tmp_path: Path) -> None:
    result = run("hitcounter")
    assert result.stdout.startswith(b"Status: 500 ")
    assert result.stderr.startswith(b"hitcounter: HITCOUNTER_FILE has to name a file, in a folder")
    assert not list(tmp_path.iterdir())


def test_hitcounter_logs_that_its_folder_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run("hitcounter", HITCOUNTER_FILE=str(tmp_path / "none" / "hits.json"))
    assert result.stdout.startswith(b"Status: 500 ")
    assert b"hitcounter: HITCOUNTER_FILE is in a folder that the server" in result.stderr
    assert b"No such file or directory: " in result.stderr


def test_hitcounter_is_an_image_for_every_site_and_no_cache(run: Run) -> None:
    head = head_and_body(run("hitcounter", HITCOUNTER_FILE="hits.json").stdout)[0]
    assert b"\r\nContent-Type: image/svg+xml\r\n" in head
    assert b"\r\nCache-Control: no-store\r\n" in head
    assert b"\r\nAccess-Control-Allow-Origin: *" in head


def test_hitcounter_never_counts_from_a_damaged_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "hits.json"
    file.write_bytes(b'{"hits": 12')
    result = run("hitcounter", HITCOUNTER_FILE=str(file))
    assert result.stdout.startswith(b"Status: 500 ")
    assert file.read_bytes() == b'{"hits": 12'


def test_hits_at_the_same_time_are_all_counted(run: Run, tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda _hit: answer(run("hitcounter", HITCOUNTER_FILE="hits.json")), range(100)
            )
        )
    assert json.loads((tmp_path / "hits.json").read_bytes()) == {"hits": 100}


@pytest.mark.parametrize("name", APPS)
def test_a_program_is_static_and_never_writable_and_executable(cgi_bin: Path, name: str) -> None:
    with (cgi_bin / name).open("rb") as file:
        segments = list(ELFFile(file).iter_segments())
    assert not [segment for segment in segments if segment["p_type"] == "PT_INTERP"]
    assert not [segment for segment in segments if segment["p_flags"] & 3 == 3]


@pytest.mark.parametrize("name", APPS)
def test_a_program_holds_nothing_of_who_built_it(cgi_bin: Path, name: str) -> None:
    image = (cgi_bin / name).read_bytes()
    traces = [ROOT, Path("/tmp", "nativecgi-")]
    traces += [Path.home()] if Path.home() != Path("/") else []
    for trace in traces:
        for encoding in ("utf-8", "utf-32-le"):
            assert str(trace).encode(encoding) not in image


def test_a_program_has_answered_its_warm_up(run: Run) -> None:
    warmed_up = json_answer(run("probe", PATH_INFO="/warmed-up"))
    assert len(warmed_up) > 1
    assert {query for query, *_hooks in warmed_up} == {"1"}
    assert "after 1" not in warmed_up[-1], "it came before the hooks for a new process"


def test_it_answers_alone_in_an_empty_root(cgi_bin: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may chroot")
    (tmp_path / "hello").write_bytes((cgi_bin / "hello").read_bytes())
    (tmp_path / "hello").chmod(0o755)
    result = subprocess.run(
        ["chroot", tmp_path, "/hello"],
        env=ENVIRONMENT | {"PATH_INFO": "/root", "PATH": "/usr/sbin:/usr/bin"},
        capture_output=True,
        check=False,
    )
    assert answer(result) == b"Hello root"


@pytest.mark.parametrize("limit", ["-v 65536", "-s unlimited", "-s 256", "-n 16"])
def test_it_answers_under_a_limit(cgi_bin: Path, limit: str) -> None:
    command = f'ulimit {limit} && exec "$0"'
    result = subprocess.run(
        ["bash", "-c", command, cgi_bin / "hello"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert answer(result) == b"Hello world"


def test_thousands_of_processes_in_a_row_answer_alike(cgi_bin: Path) -> None:
    loop = 'for i in $(seq 1000); do "$0" || exit 1; echo; done | sort | uniq -c'
    for limit in ("ulimit -s 8192", "ulimit -s unlimited"):
        result = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {limit}; {loop}", cgi_bin / "hello"],
            env=ENVIRONMENT | {"PATH": os.defpath},
            capture_output=True,
            check=False,
        )
        assert result.returncode == 0
        assert re.search(rb"^ *1000 Hello world$", result.stdout, re.MULTILINE)


def test_a_module_that_only_the_handler_imports_is_in_the_program(run: Run) -> None:
    late = json_answer(run("probe", PATH_INFO="/late"))
    assert late["ssl"].startswith("OpenSSL")
    assert (late["decimal"], late["sqlite3"], late["zoneinfo"]) == ("0.3", "1", "ZoneInfo")
    assert json.loads(late["json"]) == {"c speedups": True}


def test_what_the_build_has_seen_a_process_import_was_imported_before_the_freeze(run: Run) -> None:
    assert json_answer(run("probe", PATH_INFO="/imported")) == [True]


def test_no_library_is_mapped_that_shutil_only_looks_for(cgi_bin: Path) -> None:
    mapped = (ROOT / "build" / "apps" / "hello" / "memory.map").read_text()
    assert "libc.so" in mapped
    assert "lzma" not in mapped
    assert "bz2" not in mapped


def test_bytecode_that_nothing_has_imported_is_packed(cgi_bin: Path) -> None:
    words = b"Conversion functions between RGB and other color systems"  # in colorsys
    assert words in (ROOT / "build" / "apps" / "hello" / "hello.dist" / "hello.bin").read_bytes()
    assert words not in (cgi_bin / "hello").read_bytes()


def test_modules_are_looked_for_only_where_nobody_can_put_any(run: Run) -> None:
    paths, file = json_answer(run("probe", PATH_INFO="/paths"))
    assert paths
    for path in (*paths, file):
        assert path.startswith("/proc/frozen-")


def test_the_environment_is_the_processs_own(run: Run) -> None:
    seen = json_answer(run("probe", PATH_INFO="/environment/MARK", MARK="here"))
    assert seen == ["here", "here", "here", ["MARK=here"]]


def test_a_clients_proxy_field_is_no_proxy(run: Run) -> None:
    path = "/environment/HTTP_PROXY"
    assert json_answer(run("probe", PATH_INFO=path, HTTP_PROXY="evil")) == [None, None, None, []]


def test_the_builders_environment_is_gone(run: Run) -> None:
    assert json_answer(run("probe", PATH_INFO="/environment/LD_BIND_NOW")) == [None, None, None, []]


def test_the_arguments_are_the_processs_own(run: Run, cgi_bin: Path) -> None:
    assert json_answer(run("probe", PATH_INFO="/process"))["argv"] == [str(cgi_bin / "probe")]


def test_an_environment_too_long_for_the_letterbox_is_whole(run: Run) -> None:
    long = "x" * 100_000
    path = "/environment/LONG"
    assert json_answer(run("probe", PATH_INFO=path, LONG=long)) == [
        long,
        long,
        long,
        [f"LONG={long}"],
    ]


def test_random_values_differ_between_processes(run: Run) -> None:
    drawn = [json_answer(run("probe", PATH_INFO="/random")) for _process in range(20)]
    for values in zip(*drawn, strict=True):
        assert len(set(values)) == 20


def test_hooks_run_before_in_reverse_and_after_in_order(run: Run) -> None:
    hooks = json_answer(run("probe", PATH_INFO="/hooks"))
    assert hooks == ["before 2", "before 1", "after 1", "after 2"]


def test_standard_streams_are_utf8_and_pipes(run: Run) -> None:
    assert json_answer(run("probe", PATH_INFO="/streams")) == [["utf-8", False]] * 3


def test_sigpipe_is_ignored(run: Run) -> None:
    disposition, ignored = json_answer(run("probe", PATH_INFO="/signals"))
    assert disposition == ignored


def test_a_handler_may_start_threads(run: Run) -> None:
    assert answer(run("probe", PATH_INFO="/thread")) == b"ran"


def test_what_atexit_has_registered_runs(run: Run) -> None:
    assert run("probe", PATH_INFO="/atexit").stderr == b"goodbye from atexit\n"


def test_what_a_handler_prints_goes_to_the_error_log(run: Run) -> None:
    result = run("probe", PATH_INFO="/print")
    assert head_and_body(result.stdout)[1] == b"answered"
    assert result.stderr == b"printed\n"


def test_an_exception_is_reported_to_the_log_alone(run: Run) -> None:
    result = run("probe", PATH_INFO="/raise")
    assert head_and_body(result.stdout)[1] == b"Internal Server Error\n"
    first, *_trace, last = result.stderr.decode().splitlines()
    assert first == "nativecgi: GET /cgi-bin/app/raise: RuntimeError: a secret"
    assert "in handle" in result.stderr.decode()
    assert last == "  RuntimeError: a secret"


def test_a_traceback_has_file_and_line_and_nothing_of_the_builder(run: Run) -> None:
    source = ROOT / "tests" / "apps" / "probe" / "__main__.py"
    (line,) = [
        number
        for number, text in enumerate(source.read_text().splitlines(), 1)
        if "raise RuntimeError" in text
    ]
    trace = run("probe", PATH_INFO="/raise").stderr.decode()
    assert re.search(
        rf'^    File "/proc/frozen-*/probe/__main__.py", line {line}, in ', trace, re.M
    )
    assert str(ROOT) not in trace


def test_an_http_error_is_the_answer(run: Run) -> None:
    result = run("probe", PATH_INFO="/refuse")
    assert result.stdout.startswith(b"Status: 418 ")
    assert head_and_body(result.stdout)[1] == b"Short and stout.\n"


def test_without_a_request_it_says_how_it_is_used(cgi_bin: Path) -> None:
    result = subprocess.run([cgi_bin / "hello"], env={}, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (2, b"")
    assert f"REQUEST_METHOD=GET {cgi_bin / 'hello'}".encode() in result.stderr
