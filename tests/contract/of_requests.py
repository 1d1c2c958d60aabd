"""What of a request reaches the handler."""

import re
import zlib

from tests.contract.case import (
    ALONE,
    APACHE,
    BINARY,
    LIGHTTPD,
    NGINX,
    NO_ANSWER,
    SERVERS,
    Ask,
    Case,
    Exceptions,
    Expected,
    get,
    post,
)

SCRIPT = "/cgi-bin/contract"
EVERY_BYTE = bytes(range(256))
LARGE = EVERY_BYTE * 20_480  # 5 MiB

SOMETHING = re.compile(".+")
NONE: Exceptions = {}
CONTENT_LENGTH = "Content-Length"


def shown(**values: object) -> Expected:
    return Expected(shows=values)


def variables(**values: object) -> Expected:
    return Expected(shows={"env": values})


def path_case(name: str, path: str, expected: bytes, except_on: Exceptions = NONE) -> Case:
    """A path whose bytes come back as they are, but for the encoding."""
    expectation = Expected(body=b"/path" + expected)
    return Case(name, get(f"/path{path}"), expectation, except_on=except_on)


def alone(body: bytes) -> Exceptions:
    return dict.fromkeys(ALONE, Expected(body=body, because=NOT_NORMALISED))


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """Parts: what follows `form-data; ` and the blank line after the header, and the content."""
    body = b"".join(
        b"--frontier\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return body + b"--frontier--\r\n"


MULTIPART = "multipart/form-data; boundary=frontier"
URLENCODED = "application/x-www-form-urlencoded"

# --- meta-variables (RFC 3875 4.1) ---

META_VARIABLES = (
    Case(
        "the variables that every program gets",
        get("/show"),
        variables(
            GATEWAY_INTERFACE="CGI/1.1",
            QUERY_STRING="",
            REMOTE_ADDR="127.0.0.1",
            REQUEST_METHOD="GET",
            SCRIPT_NAME=SCRIPT,
            PATH_INFO="/show",
            SERVER_NAME=SOMETHING,
            SERVER_PORT=re.compile("[0-9]+"),
            SERVER_PROTOCOL="HTTP/1.1",
            SERVER_SOFTWARE=SOMETHING,
        ),
    ),
    Case("a request for the program itself", get(""), Expected(body=b"contract")),
    Case("a request for the program's root", get("/"), Expected(body=b"contract")),
    Case(
        "a request without a body has the length 0",
        get("/show"),
        shown(content_length=0, content_type=""),
    ),
    Case("the Host is the client's", get("/show"), shown(host="contract.test", scheme="http")),
    Case(
        "the Host keeps its port",
        get("/show", None, ("Host", "contract.test:8080")),
        shown(host="contract.test:8080", url=f"http://contract.test:8080{SCRIPT}/show"),
    ),
    Case(
        "the whole address",
        get("/show/a%20b/Zo%C3%AB;x=1", "q=%C3%A9&r=a+b"),
        shown(url=f"http://contract.test{SCRIPT}/show/a%20b/Zo%C3%AB;x=1?q=%C3%A9&r=a+b"),
    ),
    Case(
        "the variables are in os.environ too",
        get("/environ/REQUEST_METHOD"),
        Expected(body=b"GET"),
        only_on=(BINARY, *SERVERS),
        because="A handler that is called directly has its caller's environment.",
    ),
    Case(
        "a Proxy field is no proxy",
        get("/environ/HTTP_PROXY", None, ("Proxy", "http://evil.test")),
        Expected(body=b"none"),
    ),
    Case(
        "a Proxy field does not reach the handler",
        get("/header/Proxy", None, ("Proxy", "http://evil.test")),
        Expected(body=b"none"),
    ),
)

# --- paths ---

DECODED = "A program gets a decoded path; only a server can refuse one that cannot be decoded."
NOT_NORMALISED = "A program takes a path as it is; servers normalise it."
NO_CONTROLS = "lighttpd refuses encoded control characters, as Debian configures it."
NO_OTHER_ENCODING = "lighttpd refuses anything but UTF-8, as Debian configures it."

PATHS = (
    path_case("a path with a space", "/a%20b", b"/a b"),
    path_case("a plus in a path is a plus", "/a+b", b"/a+b"),
    path_case("an encoded plus in a path", "/a%2Bb", b"/a+b"),
    path_case("a semicolon in a path", "/a;b=1/c", b"/a;b=1/c"),
    path_case("a tilde in a path", "/~user/%7Euser", b"/~user/~user"),
    path_case("what a path may have plain", "/-._!$&'()*,=:@", b"/-._!$&'()*,=:@"),
    path_case("an encoded percent sign is decoded once", "/100%2525", b"/100%25"),
    path_case("an encoded question mark is of the path", "/a%3Fb", b"/a?b"),
    path_case("an encoded hash is of the path", "/a%23b", b"/a#b"),
    path_case("quotes and brackets in a path", "/%22%27%3C%3E%5B%5D%7B%7D", b"/\"'<>[]{}"),
    path_case("a backslash in a path", "/a%5Cb", b"/a\\b"),
    path_case("a path in UTF-8", "/Zo%C3%AB/%F0%9F%8C%8D", "/Zoë/🌍".encode()),
    path_case(
        "a path that is not UTF-8",
        "/a%FF%FEb",
        b"/a\xff\xfeb",
        {LIGHTTPD: Expected(400, because=NO_OTHER_ENCODING)},
    ),
    path_case("a slash at the end of a path", "/a/", b"/a/"),
    path_case("an encoded slash", "/a%2Fb", b"/a/b"),
    path_case(
        "a tab in a path",
        "/a%09b",
        b"/a\tb",
        {LIGHTTPD: Expected(400, because=NO_CONTROLS)},
    ),
    path_case(
        "a line break in a path",
        "/a%0D%0Ab",
        b"/a\r\nb",
        {LIGHTTPD: Expected(400, because=NO_CONTROLS)},
    ),
    path_case("a path of 4000 bytes", "/" + "x" * 4000, b"/" + b"x" * 4000),
    path_case("empty segments", "/a//b", b"/a/b", alone(b"/path/a//b")),
    path_case("dot segments", "/a/./b/../c", b"/a/c", alone(b"/path/a/./b/../c")),
    path_case("encoded dot segments", "/a/%2E/b/%2e%2e/c", b"/a/c", alone(b"/path/a/./b/../c")),
    path_case("three dots are a name", "/.../a", b"/.../a"),
    Case(
        "the parts of a path are those that are not empty",
        get("/show/a//b/"),
        shown(parts=["show", "a", "b"]),
    ),
    Case(
        "a path that leads out of the program",
        get("/path/../../../../etc/passwd"),
        Expected(400),
        except_on={
            **alone(b"/path/../../../../etc/passwd"),
            LIGHTTPD: Expected(
                404,
                because="lighttpd stays in its document root, where there is no /etc/passwd.",
            ),
        },
    ),
    Case(
        "a percent sign that encodes nothing",
        get("/path/%zz"),
        Expected(400),
        except_on={
            LIGHTTPD: Expected(
                body=b"/path/%zz", because="lighttpd leaves such a percent sign as it is."
            )
        },
        only_on=SERVERS,
        because=DECODED,
    ),
    Case(
        "a NUL in a path",
        get("/path/a%00b"),
        Expected(400),
        except_on={APACHE: Expected(404, because="Apache finds nothing at such a path.")},
        only_on=SERVERS,
        because=DECODED,
    ),
)

# --- queries ---


def query_case(name: str, query: str, *pairs: list[str], except_on: Exceptions = NONE) -> Case:
    expected = shown(query=list(pairs), env={"QUERY_STRING": query})
    return Case(name, get("/show", query), expected, except_on=except_on)


QUERIES = (
    query_case("an empty query", ""),
    query_case("a query", "a=1&b=2", ["a", "1"], ["b", "2"]),
    query_case("a query with an empty value", "a=&b", ["a", ""], ["b", ""]),
    query_case("a query with an empty name", "=1", ["", "1"]),
    query_case("a query with a repeated name", "a=1&b=2&a=3", ["a", "1"], ["a", "3"], ["b", "2"]),
    query_case("a plus in a query is a space", "a+b=c+d", ["a b", "c d"]),
    query_case("an encoded plus in a query is a plus", "a=%2B", ["a", "+"]),
    query_case("a semicolon in a query separates nothing", "a=1;b=2", ["a", "1;b=2"]),
    query_case("an equals sign in a value", "a=b=c", ["a", "b=c"]),
    query_case("ampersands alone", "&&a=1&", ["a", "1"]),
    query_case("an encoded ampersand is of the value", "a=b%26c", ["a", "b&c"]),
    query_case("a slash in a query", "a=/b/../c", ["a", "/b/../c"]),
    query_case(
        "a question mark in a query",
        "a=b?c",
        ["a", "b?c"],
        except_on={
            LIGHTTPD: Expected(
                404,
                because="lighttpd 1.4.69 takes the last question mark for the beginning of the "
                "query (lighttpd1.4's pull request 169).",
            )
        },
    ),
    query_case("a query in UTF-8", "a=%C3%A9%F0%9F%8C%8D", ["a", "é🌍"]),
    query_case(
        "a percent sign in a query that encodes nothing",
        "a=%zz&b=%",
        ["a", "%zz"],
        ["b", "%"],
        except_on={
            LIGHTTPD: Expected(
                shows={
                    "query": [["a", "%zz"], ["b", "%"]],
                    "env": {"QUERY_STRING": "a=%25zz&b=%25"},
                },
                because="lighttpd encodes such a percent sign.",
            )
        },
    ),
    query_case(
        "a line break in a query",
        "a=%0D%0A%09",
        ["a", "\r\n\t"],
        except_on={LIGHTTPD: Expected(400, because=NO_CONTROLS)},
    ),
    query_case("a query of 6000 bytes", "a=" + "x" * 6000, ["a", "x" * 6000]),
    Case(
        "a query that is not UTF-8",
        get("/query/a", "a=%FF&a=%C3%28"),
        Expected(body=b"\xff|\xc3("),
        except_on={LIGHTTPD: Expected(400, because=NO_OTHER_ENCODING)},
    ),
    Case(
        "a NUL in a query",
        get("/query/a", "a=b%00c"),
        Expected(body=b"b\0c"),
        except_on={LIGHTTPD: Expected(400, because=NO_CONTROLS)},
    ),
    Case("an indexed query", get("/show", "one+two"), shown(query=[["one two", ""]])),
)

# --- header fields (RFC 3875 4.1.18) ---

NO_EMPTY_FIELDS = "lighttpd leaves out empty header fields."

HEADERS = (
    Case(
        "a header field",
        get("/show", None, ("User-Agent", "test/1"), ("X-Odd-NAME", "a  b")),
        Expected(
            shows={
                "headers": {"User-Agent": "test/1", "X-Odd-Name": "a  b"},
                "env": {"HTTP_USER_AGENT": "test/1", "HTTP_X_ODD_NAME": "a  b"},
            }
        ),
    ),
    Case(
        "an empty header field",
        get("/header/X-Empty", None, ("X-Empty", "")),
        Expected(body=b""),
        except_on={LIGHTTPD: Expected(body=b"none", because=NO_EMPTY_FIELDS)},
    ),
    Case(
        "a repeated header field is joined",
        get("/show", None, ("X-Twice", "one"), ("X-Twice", "two")),
        shown(headers={"X-Twice": "one, two"}),
        except_on={
            NGINX: Expected(
                shows={"headers": {"X-Twice": re.compile("one(, two)?")}},
                because="nginx does not join them before 1.23: the first one counts.",
            )
        },
    ),
    Case(
        "a header field with commas and quotes",
        get("/header/X-List", None, ("X-List", 'a, "b, \\"c\\"", d;e=1')),
        Expected(body=b'a, "b, \\"c\\"", d;e=1'),
    ),
    Case(
        "a header field in UTF-8",
        get("/header/X-Name", None, ("X-Name", "Zoë")),
        Expected(body="Zoë".encode()),
    ),
    Case(
        "a header field that is not UTF-8",
        get("/header/X-Name", None, ("X-Name", "Zo\udceb")),
        Expected(body=b"Zo\xeb"),
    ),
    Case(
        "a header field of 6000 bytes",
        get("/header/X-Long", None, ("X-Long", "x" * 6000)),
        Expected(body=b"x" * 6000),
    ),
    Case(
        "header fields of 20 kB in all",
        get("/header/X-Long-4", None, *((f"X-Long-{n}", str(n) * 4000) for n in range(5))),
        Expected(body=b"4" * 4000),
        except_on={
            LIGHTTPD: Expected(431, because="lighttpd accepts 8 KiB of header fields by default.")
        },
    ),
    Case(
        "forty header fields",
        get("/header/X-39", None, *((f"X-{n}", str(n)) for n in range(40))),
        Expected(body=b"39"),
    ),
    Case(
        "an underscore in the name of a header field",
        get("/header/X-Under-Score", None, ("X_Under_Score", "sneaked in")),
        Expected(body=b"none"),
        except_on={
            LIGHTTPD: Expected(
                body=b"sneaked in", because="lighttpd takes it for the field with a hyphen."
            )
        },
        only_on=SERVERS,
        because="A program cannot tell an underscore from a hyphen; only a server can refuse it.",
    ),
    Case(
        "cookies",
        get("/show", None, ("Cookie", 'a=1; b="2"; c=x=y; flag; d=')),
        shown(cookies=[["a", "1"], ["b", "2"], ["c", "x=y"], ["d", ""]]),
    ),
    Case(
        "two cookies of a name",
        get("/show", None, ("Cookie", "a=1; a=2")),
        shown(cookies=[["a", "1"], ["a", "2"]]),
    ),
    Case(
        "a name and a password",
        get("/private", None, ("Authorization", "Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==")),
        Expected(shows={"username": "Aladdin", "password": "open:sesame"}),
    ),
    Case(
        "a name and a password in UTF-8",
        get("/private", None, ("Authorization", "Basic Wm/DqzrDqQ==")),
        Expected(shows={"username": "Zoë", "password": "é"}),
    ),
    Case(
        "a name whose password nobody has checked",
        get("/show", None, ("Authorization", "Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==")),
        shown(remote_user=None),
    ),
    Case(
        "no name and no password",
        get("/private"),
        Expected(
            401,
            headers={"WWW-Authenticate": 'Basic realm="the staff\'s room", charset="UTF-8"'},
            body=b"Unauthorized\n",
        ),
    ),
    Case(
        "credentials that are none",
        get("/private", None, ("Authorization", "Basic ?")),
        Expected(401),
    ),
    Case(
        "credentials of another scheme",
        get("/header/Authorization", None, ("Authorization", "Bearer abc.def")),
        Expected(body=b"Bearer abc.def"),
    ),
    Case(
        "fields of a proxy are the client's word",
        get(
            "/show",
            None,
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "example.org"),
        ),
        shown(remote_addr="127.0.0.1", scheme="http", host="contract.test"),
    ),
    Case(
        "fields of a proxy that is trusted",
        get(
            "/forwarded",
            None,
            ("X-Forwarded-For", "6.6.6.6, 192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "example.org"),
        ),
        shown(
            remote_addr="192.0.2.1",
            scheme="https",
            host="example.org",
            url=f"https://example.org{SCRIPT}/forwarded",
        ),
    ),
    Case(
        "a trusted proxy that adds nothing",
        get("/forwarded"),
        shown(remote_addr="127.0.0.1", scheme="http", host="contract.test"),
    ),
)

# --- content negotiation (RFC 9110 12.5.1) ---

NEGOTIATION = (
    Case(
        "the media type that is liked best",
        get("/negotiated", None, ("Accept", "application/json;q=0.5, text/html")),
        Expected(headers={"Content-Type": "text/html; charset=utf-8", "Vary": "Accept"}),
    ),
    Case(
        "a media type of any kind",
        get("/negotiated", None, ("Accept", "text/*;q=0.3, */*;q=0.2")),
        Expected(headers={"Content-Type": "text/html; charset=utf-8"}),
    ),
    Case(
        "no wishes of media types",
        get("/negotiated"),
        Expected(headers={"Content-Type": "application/json"}),
    ),
    Case(
        "a media type that there is not",
        get("/negotiated", None, ("Accept", "image/png, application/json;q=0")),
        Expected(406, headers={"Vary": "Accept"}, body=b"There is JSON and HTML.\n"),
    ),
)

# --- methods (RFC 9110 9, RFC 3875 4.3) ---

KNOWN_METHODS = "lighttpd accepts only the methods of HTTP and WebDAV."

METHODS = (
    Case("GET", get("/methods"), Expected(body=b"<p>got</p>")),
    Case(
        "POST",
        post("/methods", b""),
        Expected(
            201,
            {"Location": f"http://contract.test{SCRIPT}/methods/1"},
            b"posted",
            phrase="Created",
        ),
    ),
    Case("PUT", post("/methods", b"this", method="PUT"), Expected(body=b"PUT this")),
    Case("PATCH", post("/methods", b"that", method="PATCH"), Expected(body=b"PATCH that")),
    Case("PUT of nothing", post("/methods", b"", method="PUT"), Expected(body=b"PUT ")),
    Case("DELETE", get("/methods", method="DELETE"), Expected(204, body=b"")),
    Case("DELETE with a body", post("/echo", b"why", method="DELETE"), Expected(body=b"why")),
    Case(
        "GET with a body",
        post("/echo", b"what", method="GET"),
        Expected(body=b"what"),
        except_on={
            LIGHTTPD: Expected(400, because="lighttpd refuses a GET with a body by default.")
        },
    ),
    Case(
        "OPTIONS",
        get("/methods", method="OPTIONS"),
        Expected(204, {"Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}, b""),
    ),
    Case(
        "a method of WebDAV",
        post("/show", b"<a/>", "text/xml", method="PROPFIND"),
        shown(method="PROPFIND", content_length=4),
    ),
    Case(
        "an unknown method",
        get("/show", method="BREW"),
        shown(method="BREW"),
        except_on={LIGHTTPD: Expected(501, because=KNOWN_METHODS)},
    ),
    Case(
        "a method that is not allowed",
        get("/methods", method="REPORT"),
        Expected(405, {"Allow": "GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD"}),
    ),
    Case(
        "methods are case-sensitive",
        get("/show", method="get"),
        shown(method="get"),
        except_on={
            NGINX: Expected(400, because="nginx accepts methods only in capitals."),
            LIGHTTPD: Expected(501, because=KNOWN_METHODS),
        },
    ),
    Case(
        "TRACE",
        get("/show", method="TRACE"),
        shown(method="TRACE"),
        except_on={
            APACHE: Expected(
                200, {"Content-Type": "message/http"}, because="Apache answers TRACE itself."
            ),
            NGINX: Expected(405, because="nginx refuses TRACE."),
        },
    ),
    Case(
        "a preflight of another site's script",
        get(
            "/shared",
            None,
            ("Origin", "https://example.org"),
            ("Access-Control-Request-Method", "PUT"),
            method="OPTIONS",
        ),
        Expected(
            204,
            {
                "Access-Control-Allow-Origin": "https://example.org",
                "Access-Control-Allow-Methods": re.compile(".*PUT.*"),
            },
            b"",
        ),
    ),
)

# --- bodies (RFC 3875 4.2) ---

WHOLE_BODY = "{} starts no program before it has the whole body; it closes the connection."

BODIES = (
    Case(
        "a body", post("/echo", b"a body"), Expected(200, {"Content-Type": "text/plain"}, b"a body")
    ),
    Case("an empty body", post("/echo", b""), Expected(200, {CONTENT_LENGTH: "0"}, b"")),
    Case("a body of every byte", post("/echo", EVERY_BYTE), Expected(body=EVERY_BYTE)),
    Case("a body of 64 KiB", post("/echo", EVERY_BYTE * 256), Expected(body=EVERY_BYTE * 256)),
    Case("a body of 5 MiB", post("/echo", LARGE), Expected(body=LARGE)),
    Case(
        "a body that begins with line breaks",
        post("/echo", b"\r\n\r\nx"),
        Expected(body=b"\r\n\r\nx"),
    ),
    Case(
        "the length and type of a body",
        post("/show", b"12345", "text/csv; header=absent"),
        Expected(
            shows={
                "content_length": 5,
                "content_type": "text/csv; header=absent",
                "headers": {"Content-Length": "5", "Content-Type": "text/csv; header=absent"},
                "env": {"CONTENT_LENGTH": "5", "CONTENT_TYPE": "text/csv; header=absent"},
            }
        ),
    ),
    Case(
        "a body line by line", post("/lines", b"one\r\ntwo\n\nlast"), Expected(shows=[5, 4, 1, 4])
    ),
    Case("a body is read again, its file ends", post("/twice", b"once"), Expected(shows=[4, 4, 0])),
    Case(
        "a body in chunks",
        Ask("POST", "/echo", body=b"x" * 120_000 + b"end", in_chunks=True),
        Expected(body=b"x" * 120_000 + b"end"),
    ),
    Case("an empty body in chunks", Ask("POST", "/echo", in_chunks=True), Expected(body=b"")),
    Case(
        "a large body in chunks",
        Ask("POST", "/echo", body=LARGE, in_chunks=True),
        Expected(body=LARGE),
    ),
    Case(
        "JSON in chunks",
        Ask("POST", "/point", body=b'{"x": 1}', in_chunks=True),
        Expected(shows={"x": 1, "y": 0, "name": ""}),
    ),
    Case(
        "a body that waits to be asked for",
        Ask("POST", "/echo", fields=(("Expect", "100-continue"),), body=b"patient"),
        Expected(body=b"patient"),
    ),
    Case(
        "a body that is shorter than announced",
        Ask("POST", "/echo", fields=((CONTENT_LENGTH, "10"),), body=b"short"),
        Expected(400, body=b"The body is shorter than announced.\n"),
        except_on={
            APACHE: Expected(400, because="Apache notices first, and answers itself."),
            NGINX: Expected(NO_ANSWER, because=WHOLE_BODY.format("nginx")),
            LIGHTTPD: Expected(NO_ANSWER, because=WHOLE_BODY.format("lighttpd")),
        },
    ),
    Case(
        "a length that is not a number",
        Ask("POST", "/echo", fields=((CONTENT_LENGTH, "ten"),)),
        Expected(400),
    ),
    Case(
        "a length below zero",
        Ask("POST", "/echo", fields=((CONTENT_LENGTH, "-1"),)),
        Expected(400),
    ),
    Case("a body over the limit", post("/echo", LARGE + LARGE[: 4 * 1024 * 1024]), Expected(413)),
    Case(
        "a body over the limit in chunks",
        Ask("POST", "/echo", body=LARGE + LARGE[: 4 * 1024 * 1024], in_chunks=True),
        Expected(413),
    ),
    Case("a small body that nobody reads", post("/ignore", b"x" * 1024), Expected(body=b"ignored")),
    Case("a large body that nobody reads", post("/ignore", LARGE), Expected(body=b"ignored")),
    Case(
        "a large body in chunks that nobody reads",
        Ask("POST", "/ignore", body=LARGE, in_chunks=True),
        Expected(body=b"ignored"),
    ),
    Case(
        "a body to a path that is not there",
        post("/nowhere", b"x" * 100_000),
        Expected(404, body=b"Not Found\n"),
    ),
)

# --- JSON and forms ---

TOO_MANY_FIELDS = b"&".join(b"a=1" for _ in range(101))

FORMS = (
    Case("JSON", post("/point", b'{"x": 1, "y": 2}'), Expected(shows={"x": 1, "y": 2})),
    Case("JSON that is none", post("/point", b"{"), Expected(400)),
    Case("JSON of another shape", post("/point", b'{"x": "1"}'), Expected(422)),
    Case("JSON that is not UTF-8", post("/point", b'{"x": 1, "name": "\xff"}'), Expected(400)),
    Case("no JSON at all", post("/point", b""), Expected(400)),
    Case(
        "an urlencoded form",
        post("/form", b"a=1&b=&c+d=%C3%A9%2B+x&a=2", URLENCODED),
        Expected(
            shows={"texts": [["a", "1"], ["a", "2"], ["b", ""], ["c d", "é+ x"]], "files": []}
        ),
    ),
    Case(
        "a form with its charset named",
        post("/form", b"a=1", f"{URLENCODED}; charset=UTF-8"),
        shown(texts=[["a", "1"]]),
    ),
    Case("an empty form", post("/form", b"", URLENCODED), shown(texts=[], files=[])),
    Case("a form of too many fields", post("/form", TOO_MANY_FIELDS, URLENCODED), Expected(413)),
    Case("a form that is none", post("/form", b"{}", "application/json"), Expected(415)),
    Case(
        "an upload",
        post(
            "/form",
            multipart(
                ('name="text"', "é".encode()),
                ('name="file"; filename="a b.bin"\r\nContent-Type: image/png', EVERY_BYTE),
                ('name="file"; filename=""\r\nContent-Type: application/octet-stream', b""),
            ),
            MULTIPART,
        ),
        shown(
            texts=[["text", "é"]],
            files=[
                ["file", "a b.bin", "image/png", 256, zlib.crc32(EVERY_BYTE)],
                ["file", "", "application/octet-stream", 0, 0],
            ],
        ),
    ),
    Case(
        "an upload of 5 MiB",
        post("/form", multipart(('name="f"; filename="large"', LARGE)), MULTIPART),
        shown(files=[["f", "large", "application/octet-stream", len(LARGE), zlib.crc32(LARGE)]]),
    ),
    Case(
        "an upload in chunks",
        Ask(
            "POST",
            "/form",
            fields=(("Content-Type", MULTIPART),),
            in_chunks=True,
            body=multipart(('name="f"; filename="x"', EVERY_BYTE * 1000)),
        ),
        shown(
            files=[["f", "x", "application/octet-stream", 256_000, zlib.crc32(EVERY_BYTE * 1000)]]
        ),
    ),
    Case(
        "an upload whose name has folders",
        post("/form", multipart(('name="f"; filename="../../etc/passwd"', b"x")), MULTIPART),
        shown(files=[["f", "passwd", "application/octet-stream", 1, zlib.crc32(b"x")]]),
    ),
    Case(
        "an upload that breaks off",
        post("/form", multipart(('name="f"; filename="x"', b"x"))[:-20], MULTIPART),
        Expected(400),
    ),
    Case(
        "an upload without a boundary",
        post("/form", b"--\r\n", "multipart/form-data"),
        Expected(400),
    ),
)

# --- one connection ---

CONNECTIONS = (
    Case(
        "requests one after the other",
        get("/echo"),
        Expected(body=b""),
        before=(get("/show"), post("/echo", b"a body"), get("/empty/204"), Ask("HEAD", "/show")),
    ),
    Case(
        "a request after a body that nobody read",
        get("/query/a", "a=1"),
        Expected(body=b"1"),
        before=(post("/ignore", b"x" * 100_000),),
    ),
    Case(
        "a request after an error",
        get("/query/a", "a=1"),
        Expected(body=b"1"),
        before=(get("/nowhere"), get("/raise/http-error")),
    ),
    Case(
        "a request after a stream",
        get("/query/a", "a=1"),
        Expected(body=b"1"),
        before=(get("/stream/generator"), get("/stream/many"), get("/file/digits.txt")),
    ),
    Case(
        "a body in chunks after another",
        Ask("POST", "/echo", body=b"second", in_chunks=True),
        Expected(body=b"second"),
        before=(Ask("POST", "/echo", body=b"first", in_chunks=True),),
    ),
)

CASES = (
    *META_VARIABLES,
    *PATHS,
    *QUERIES,
    *HEADERS,
    *NEGOTIATION,
    *METHODS,
    *BODIES,
    *FORMS,
    *CONNECTIONS,
)
