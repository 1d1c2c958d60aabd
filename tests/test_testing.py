"""nativecgi.testing: the client that an app's tests use, in this process and with a program."""

import inspect
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from nativecgi import (
    HTTPError,
    Limits,
    Request,
    Response,
    Upload,
    delete_cookie,
    file,
    json,
    local_redirect,
    no_content,
    redirect,
    set_cookie,
    stream,
    text,
)
from nativecgi.message.response import Handler
from nativecgi.testing import Answer, Client, parse_answer
from tests.gateways.test_cgi import PATH


class Point(msgspec.Struct):
    x: int
    y: int


def handle(request: Request) -> Response:
    """An app that does a little of everything."""
    match request.method, request.parts:
        case _, ["echo"]:
            return Response(request.read(), headers={"Content-Type": request.content_type or "x/x"})
        case _, ["env", name]:
            return text(request.env.get(name, "none"))
        case _, ["method"]:
            return text(request.method)
        case "GET", ["query"]:
            return json(list(request.query.pairs()))
        case "GET", ["url"]:
            return text(request.url)
        case "POST", ["form"]:
            return json(list(map(shown, request.form().pairs())))
        case "POST", ["json"]:
            point = request.json(Point)
            return json(Point(point.y, point.x), 201)
        case "GET", ["set", name, value]:
            return text("set", headers=[set_cookie(request, name, value), ("Set-Cookie", "b=2")])
        case "GET", ["forget", name]:
            return text("forgotten", headers=[delete_cookie(request, name)])
        case "GET", ["cookies"]:
            return json(dict(request.cookies))
        case "GET", ["stream"]:
            return stream(["one ", b"two"])
        case "GET", ["cut"]:
            return stream(iter_and_fail())
        case "GET", ["file"]:
            return file(msgspec.__file__)
        case "GET", ["print"]:
            sys.stdout.write("printed\n")
            return no_content()
        case "GET", ["fail"]:
            raise LookupError("a bug")
        case "GET", ["refuse"]:
            raise HTTPError(409, "Twice.")
        case "GET", ["redirect"]:
            return redirect("/there", 303)
        case "GET", ["local"]:
            return local_redirect("/there")
        case _:
            return text("hello")


def iter_and_fail() -> Iterator[bytes]:
    yield b"one "
    raise LookupError("a bug")


def shown(pair: tuple[str, str | Upload]) -> list[str]:
    name, value = pair
    if isinstance(value, str):
        return [name, value]
    with value.file:
        return [name, value.filename, value.content_type, value.read().decode("latin-1")]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same app as a program of plain Python, which has a line that names its interpreter."""
    path = tmp_path_factory.mktemp("program") / "app"
    sources = [inspect.getsource(thing) for thing in (Point, handle, iter_and_fail, shown)]
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys, msgspec\n"
        "from collections.abc import Iterator\n"
        "from nativecgi import *\n"
        f"{''.join(sources)}"
        "if __name__ == '__main__': run(handle)\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(params=["in process", "program"])
def client(request: pytest.FixtureRequest, program: Path) -> Client:
    """Both behave alike, but for exceptions."""
    if request.param == "program":
        return Client(program, env=PATH)
    return Client(handle, env=PATH, raise_errors=False)


# --- requests ---


def test_an_answer_is_what_came_back(client: Client) -> None:
    answer = client.get("/Ann")
    assert (answer.status, answer.body, answer.text) == (200, b"hello", "hello")
    assert dict(answer.headers) == {
        "status": "200 OK",
        "content-type": "text/plain; charset=utf-8",
        "content-length": "5",
    }
    assert (answer.log, answer.exit_status) == ("", 0)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_each_method_is_sent(client: Client, method: str) -> None:
    answer: Answer = getattr(client, method)("/method")
    assert answer.text == method.upper()


def test_any_other_method_is_sent(client: Client) -> None:
    assert client.request("PURGE", "/method").text == "PURGE"


def test_head_has_no_body(client: Client) -> None:
    answer = client.head("/")
    assert (answer.body, answer.headers["content-length"]) == (b"", "5")


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("/env/PATH_INFO", {"PATH_INFO": "/env/PATH_INFO"}),
        ("/%C3%A4/%2F%FF?a=%20&b", {
            "PATH_INFO": "/ä//\udcff",
            "QUERY_STRING": "a=%20&b",
            "REQUEST_URI": "/cgi-bin/program/%C3%A4/%2F%FF?a=%20&b",
        }),
        ("//a/b", {"PATH_INFO": "//a/b", "HTTP_HOST": "testserver"}),
        ("/a:1", {"PATH_INFO": "/a:1", "SERVER_NAME": "testserver", "SERVER_PORT": "80"}),
        ("/", {"QUERY_STRING": "", "HTTPS": "", "REQUEST_SCHEME": "http"}),
        ("https://a.example/x", {
            "PATH_INFO": "/x",
            "HTTP_HOST": "a.example",
            "HTTPS": "on",
            "REQUEST_SCHEME": "https",
            "SERVER_NAME": "a.example",
            "SERVER_PORT": "443",
        }),
        ("http://a.example:8080/", {
            "HTTP_HOST": "a.example:8080",
            "SERVER_NAME": "a.example",
            "SERVER_PORT": "8080",
        }),
        ("http://[::1]:81/", {"HTTP_HOST": "[::1]:81", "SERVER_NAME": "::1", "SERVER_PORT": "81"}),
        ("http://a.example", {"PATH_INFO": ""}),
    ],
)  # fmt: skip
def test_the_meta_variables_are_those_of_the_url(url: str, variables: dict[str, str]) -> None:
    seen = environment(url)
    assert {name: seen.get(name) for name in variables} == variables


def environment(*args: Any, **options: Any) -> dict[str, str]:
    """The environment that a handler sees."""
    seen: dict[str, str] = {}

    def look(request: Request) -> Response:
        seen.update(request.env)
        return no_content()

    Client(look).request("GET", *args, **options)
    return seen


def test_what_rfc_3875_wants_is_there() -> None:
    required = "GATEWAY_INTERFACE QUERY_STRING REMOTE_ADDR REQUEST_METHOD SCRIPT_NAME SERVER_NAME"
    assert environment().keys() >= {*required.split(), "SERVER_PORT", "SERVER_PROTOCOL"}


def test_the_url_comes_back_whole(client: Client) -> None:
    url = "https://a.example:8443/url?a=1&b=%20"
    assert client.get(url).text == "https://a.example:8443/cgi-bin/program/url?a=1&b=%20"


def test_a_query_is_added_to_that_of_the_url(client: Client) -> None:
    query = [("b", "ä &="), ("b", "")]
    assert client.get("/query?a=1", query=query).json() == [["a", "1"], ["b", "ä &="], ["b", ""]]
    assert client.get("/query", query={"a": "1"}).json() == [["a", "1"]]


def test_header_fields_are_sent(client: Client) -> None:
    fields = {"X-One": "1", "content-type": "text/x"}
    assert client.get("/env/HTTP_X_ONE", headers=fields).text == "1"
    assert client.get("/env/CONTENT_TYPE", headers=fields).text == "text/x"


# RFC 3875 4.1.18: "the server MUST rewrite the multiple values as a single value".
def test_header_fields_that_repeat_are_one(client: Client) -> None:
    fields = [("Accept", "a/a"), ("accept", "b/b"), ("Cookie", "a=1"), ("Cookie", "b=2")]
    assert client.get("/env/HTTP_ACCEPT", headers=fields).text == "a/a, b/b"
    assert client.get("/env/HTTP_COOKIE", headers=fields).text == "a=1; b=2"


def test_meta_variables_are_set_or_changed(client: Client) -> None:
    env = {"REMOTE_USER": "ann", "REMOTE_ADDR": "192.0.2.1"}
    assert client.get("/env/REMOTE_USER", env=env).text == "ann"
    assert client.get("/env/REMOTE_ADDR", env=env).text == "192.0.2.1"
    assert client.get("/env/REMOTE_ADDR").text == "127.0.0.1"


def test_the_servers_environment_is_there_for_every_request(program: Path) -> None:
    for app in (handle, program):
        client = Client(app, env=PATH | {"GUESTBOOK_DB": "test.db", "REMOTE_ADDR": "192.0.2.1"})
        assert client.get("/env/GUESTBOOK_DB").text == "test.db"
        assert client.get("/env/REMOTE_ADDR").text == "192.0.2.1"
    assert "GUESTBOOK_DB" not in os.environ


# --- bodies ---


@pytest.mark.parametrize("body", [b"", b"a", bytes(range(256)) * 1000])
def test_a_body_is_sent_as_it_is(client: Client, body: bytes) -> None:
    assert client.post("/echo", body=body).body == body


def test_a_body_has_its_length() -> None:
    assert environment(body=b"abc")["CONTENT_LENGTH"] == "3"
    assert "CONTENT_LENGTH" not in environment()


@pytest.mark.parametrize("value", [{"a": [1, None, "ä"]}, [], "", 0, False])
def test_json_is_sent(client: Client, value: Any) -> None:
    answer = client.post("/echo", json=value)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == value


def test_json_is_read_into_a_type(client: Client) -> None:
    answer = client.post("/json", json=Point(1, 2))
    assert (answer.status, answer.json(Point)) == (201, Point(2, 1))
    assert answer.json() == {"x": 2, "y": 1}


def test_what_is_no_json_raises(client: Client) -> None:
    with pytest.raises(msgspec.DecodeError):
        client.get("/").json()
    with pytest.raises(msgspec.ValidationError):
        client.post("/json", json=Point(1, 2)).json(list[int])


@pytest.mark.parametrize("form", [{"a": "ä &=+%", "b": ""}, [("a", "1"), ("b", ""), ("a", "2")]])
def test_a_form_is_sent(client: Client, form: Any) -> None:
    expected = form.items() if isinstance(form, dict) else sorted(form)
    assert client.post("/form", form=form).json() == [list(pair) for pair in expected]


def test_a_form_without_uploads_is_urlencoded() -> None:
    assert environment(form={"a": "1"})["CONTENT_TYPE"] == "application/x-www-form-urlencoded"


def test_a_form_with_uploads_is_multipart(client: Client) -> None:
    answer = client.post(
        "/form",
        form={"name": "ä\r\n--x"},
        files={
            "one": ("ä.txt", b"\0\xff\r\n--", "text/plain"),
            "two": ("b.bin", b"", "application/x-two"),
        },
    )
    assert answer.json() == [
        ["name", "ä\r\n--x"],
        ["one", "ä.txt", "text/plain", "\0\xff\r\n--"],
        ["two", "b.bin", "application/x-two", ""],
    ]


def test_any_name_in_a_form_comes_back(client: Client) -> None:
    answer = client.post("/form", files={'a"b\r\n': ('c"d\n.txt', b"", "x/x")})
    assert answer.json() == [['a"b\r\n', 'c"d\n.txt', "x/x", ""]]


def test_the_programs_limits_are_in_force() -> None:
    client = Client(handle, limits=Limits(max_body=3))
    assert client.post("/echo", body=b"abc").status == 200
    assert client.post("/echo", body=b"abcd").status == 413


# --- answers ---


def test_pieces_are_put_together(client: Client) -> None:
    answer = client.get("/stream")
    assert (answer.body, answer.exit_status) == (b"one two", 0)
    assert "content-length" not in answer.headers


def test_a_file_is_read(client: Client) -> None:
    answer = client.get("/file")
    assert answer.body == Path(msgspec.__file__).read_bytes()
    etag = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/file", headers=etag).status == 304
    assert client.get("/file", headers={"Range": "bytes=-5"}).body == answer.body[-5:]


def test_what_was_printed_is_in_the_log(client: Client) -> None:
    answer = client.get("/print")
    assert (answer.status, answer.body, answer.log) == (204, b"", "printed\n")


def test_an_http_error_is_an_answer(client: Client) -> None:
    answer = client.get("/refuse")
    assert (answer.status, answer.text, answer.log) == (409, "Twice.\n", "")


def test_redirects_are_not_followed(client: Client) -> None:
    answer = client.get("/redirect")
    assert (answer.status, answer.headers["location"]) == (303, "/there")
    assert dict(client.get("/local").headers) == {"location": "/there"}


def test_a_failure_is_500_and_a_report(client: Client) -> None:
    answer = client.get("/fail")
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert answer.log.startswith("nativecgi: GET /cgi-bin/program/fail: LookupError: a bug\n")


def test_an_answer_that_was_cut_off_has_exit_status_1(client: Client) -> None:
    answer = client.get("/cut")
    assert (answer.status, answer.body, answer.exit_status) == (200, b"one ", 1)
    assert "LookupError: a bug" in answer.log.splitlines()[0]


@pytest.mark.parametrize("failure", [LookupError("a bug"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_handler_raises_is_raised(failure: BaseException) -> None:
    def fail(request: Request) -> NoReturn:
        raise failure

    with pytest.raises(type(failure)) as caught:
        Client(fail).get()
    assert caught.value is failure


def test_what_a_later_piece_raises_is_raised() -> None:
    with pytest.raises(LookupError, match="a bug"):
        Client(handle).get("/cut")


def test_what_is_raised_leaves_the_standard_streams_as_they_were() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(LookupError):
        Client(handle).get("/fail")
    assert (sys.stdout, sys.stderr) == before


def test_a_time_limit_ends_with_the_request() -> None:
    client = Client(handle, limits=Limits(max_seconds=500), raise_errors=False)
    for path in ("/", "/stream", "/cut", "/file", "/fail"):
        client.get(path)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


# --- cookies ---


def test_cookies_are_kept_and_sent(client: Client) -> None:
    assert client.get("/cookies").json() == {}
    client.get("/set/a/1")
    assert client.cookies == {"a": "1", "b": "2"}
    assert client.get("/cookies").json() == {"a": "1", "b": "2"}
    client.get("/set/a/3")
    assert client.get("/cookies").json() == {"a": "3", "b": "2"}


def test_cookies_that_are_deleted_are_forgotten(client: Client) -> None:
    client.get("/set/a/1")
    client.get("/forget/a")
    assert client.cookies == {"b": "2"}


@pytest.mark.parametrize(
    ("attributes", "is_kept"),
    [
        ("; Max-Age=0", False),
        ("; max-age = 0; Path=/", False),
        ("; Max-Age=-5", False),
        ("; Max-Age=01", True),
        ("; Max-Age=3600", True),
        ("; Path=/max-age=0", True),
        ("", True),
    ],
)
def test_cookies_that_are_over_are_forgotten(attributes: str, is_kept: bool) -> None:
    client = Client(lambda _request: no_content({"Set-Cookie": f"a=2{attributes}"}))
    client.cookies["a"] = "1"
    client.get()
    assert client.cookies == ({"a": "2"} if is_kept else {})


def test_cookies_can_be_set_by_the_test(client: Client) -> None:
    client.cookies["a"] = "1"
    assert client.get("/cookies").json() == {"a": "1"}


def test_a_clients_cookies_are_its_own() -> None:
    one, other = Client(handle), Client(handle)
    one.get("/set/a/1")
    assert other.cookies == {}


# --- NPH ---

NPH = {"SCRIPT_NAME": "/cgi-bin/nph-program"}


def test_a_whole_answer_is_read(client: Client) -> None:
    answer = client.get("/", env=NPH)
    assert (answer.status, answer.text) == (200, "hello")
    assert answer.headers["connection"] == "close"


def test_chunks_are_put_together(client: Client) -> None:
    answer = client.get("/stream", env=NPH)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body == b"one two"


@pytest.mark.parametrize("path", ["/", "/stream", "/file"])
def test_a_whole_answer_to_head_has_no_body(client: Client, path: str) -> None:
    answer = client.head(path, env=NPH)
    assert (answer.status, answer.body) == (200, b"")


def test_a_whole_answer_that_was_cut_off_is_what_there_is(client: Client) -> None:
    answer = client.get("/cut", env=NPH)
    assert (answer.status, answer.body, answer.exit_status) == (200, b"one ", 1)


def test_a_whole_answer_may_end_with_the_connection(client: Client) -> None:
    answer = client.get("/stream", env=NPH | {"SERVER_PROTOCOL": "HTTP/1.0"})
    assert answer.body == b"one two"


# --- what is no answer ---


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"hello",
        b"Status: 200 OK\r\n",
        b"Status 200 OK\r\n\r\n",
        b": x\r\n\r\n",
        b"\r\n\r\nbody",
        b"Status: OK\r\n\r\n",
        b"Status:\r\n\r\n",
    ],
)
def test_what_is_no_cgi_response_raises(output: bytes) -> None:
    with pytest.raises(ValueError, match=r"CGI response|invalid literal"):
        parse_answer(output)


def test_the_error_says_what_was_in_the_log() -> None:
    with pytest.raises(ValueError, match="Traceback, it says"):
        parse_answer(b"", "Traceback, it says")


def test_a_status_that_is_not_there_is_200() -> None:
    assert parse_answer(b"Content-Type: text/plain\r\n\r\nhi").status == 200


def test_fields_that_repeat_are_all_there() -> None:
    answer = parse_answer(b"Set-Cookie: a=1\r\nset-cookie: b=2\r\nStatus: 404\r\n\r\n")
    assert answer.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert answer.status == 404


def test_bytes_that_are_no_utf8_are_kept_in_a_field() -> None:
    assert parse_answer(b"X-A: \xff\r\n\r\n").headers["x-a"] == "\udcff"


def test_a_program_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client(tmp_path / "none").get()


def test_a_program_that_answers_nothing_raises(tmp_path: Path) -> None:
    path = tmp_path / "silent"
    path.write_text("#!/bin/sh\necho broken >&2\n")
    path.chmod(0o755)
    with pytest.raises(ValueError, match="broken"):
        Client(path).get()


def test_a_program_may_be_named_by_a_relative_path(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.parent)
    client = Client("app", env=PATH)
    monkeypatch.chdir("/")
    assert client.get().text == "hello"


def test_any_callable_is_a_handler() -> None:
    class App:
        def __call__(self, request: Request) -> Response:
            return text(request.path)

    handlers: list[Callable[[Request], Response]] = [App(), lambda request: text(request.path)]
    for handler in handlers:
        app: Handler = handler
        assert Client(app).get("/a").text == "/a"
