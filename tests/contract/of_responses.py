"""What of a response reaches the client."""

import re
from urllib.parse import quote

from tests.contract.case import (
    ABSENT,
    ALONE,
    APACHE,
    LIGHTTPD,
    NGINX,
    PROCESS,
    SERVERS,
    Ask,
    Case,
    Exceptions,
    Expected,
    get,
    head,
    post,
)
from tests.contract.of_requests import (
    EVERY_BYTE,
    LARGE,
    NO_EMPTY_FIELDS,
    NONE,
    SCRIPT,
    URLENCODED,
)

TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
LENGTH = "Content-Length"
LAST_CHANGE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
DIGITS = b"0123456789"
MANY = b"".join(b"%d\n" % number for number in range(10_000))

# --- bodies ---

BODIES = (
    Case(
        "a text",
        get(""),
        Expected(200, {"Content-Type": TEXT, LENGTH: "8"}, b"contract", phrase="OK"),
    ),
    Case("a body that is a zero", get("/body/zero"), Expected(body=b"0")),
    Case(
        "a body that looks like a header",
        get("/body/blank-lines"),
        Expected(body=b"\r\n\r\n\n\nStatus: 404\r\n\r\n"),
    ),
    Case(
        "an answer of every byte",
        get("/body/every-byte"),
        Expected(200, {"Content-Type": BINARY, LENGTH: "256"}, EVERY_BYTE),
    ),
    Case("an answer of 5 MiB", get("/body/large"), Expected(body=LARGE)),
    Case("an answer in UTF-8", get("/body/unicode"), Expected(body="Zoë 🌍 \0".encode())),
    Case(
        "an answer that is a file in memory",
        get("/body/file"),
        Expected(body=b"of a file in memory"),
    ),
)

# --- status codes (RFC 9110 15, RFC 3875 6.3.3) ---


OWN_PHRASES = "lighttpd sends its own phrase, or none."


def status_case(code: int, phrase: str) -> Case:
    body = f"status {code}\n".encode()
    expected = Expected(code, body=body, phrase=phrase)
    except_on = {LIGHTTPD: Expected(code, body=body, because=OWN_PHRASES)}
    return Case(
        f"status {code}",
        get(f"/status/{code}"),
        expected,
        except_on=except_on if code in (207, 299, 418, 599) else {},
    )


STATUSES = (
    status_case(201, "Created"),
    status_case(202, "Accepted"),
    status_case(203, "Non-Authoritative Information"),
    status_case(207, "Multi-Status"),
    status_case(300, "Multiple Choices"),
    status_case(400, "Bad Request"),
    status_case(402, "Payment Required"),
    status_case(403, "Forbidden"),
    status_case(404, "Not Found"),
    status_case(409, "Conflict"),
    status_case(410, "Gone"),
    status_case(418, "I'm a Teapot"),
    status_case(429, "Too Many Requests"),
    status_case(451, "Unavailable For Legal Reasons"),
    status_case(500, "Internal Server Error"),
    status_case(501, "Not Implemented"),
    status_case(503, "Service Unavailable"),
    status_case(299, "Success"),
    status_case(599, "Server Error"),
    Case("status 204 has no body", get("/status/204"), Expected(204, {LENGTH: ABSENT}, b"")),
    Case("status 205 has no body", get("/status/205"), Expected(205, body=b"")),
    Case("status 304 has no body", get("/status/304"), Expected(304, body=b"")),
    Case(
        "an answer without a body",
        get("/empty/200"),
        Expected(200, {LENGTH: "0"}, b""),
    ),
    Case("an error without a body", get("/empty/404"), Expected(404, {LENGTH: "0"}, b"")),
)

# --- header fields (RFC 3875 6.3) ---

FIELDS = (
    Case(
        "header fields",
        get("/fields", "X-One=1&Cache-Control=no-store&X-Two=a,%20b"),
        Expected(200, {"X-One": "1", "Cache-Control": "no-store", "X-Two": "a, b"}, b"fields"),
    ),
    Case(
        "a header field twice",
        get("/fields", "Link=%3Ca%3E&Link=%3Cb%3E"),
        Expected(200, {"Link": ("<a>", "<b>")}),
        except_on={
            APACHE: Expected(
                200,
                {"Link": "<a>, <b>"},
                because="Apache joins fields of the same name, except Set-Cookie.",
            )
        },
    ),
    Case(
        "a header field of 4000 bytes in an answer",
        get("/fields", "X-Long=" + "x" * 4000),
        Expected(200, {"X-Long": "x" * 4000}),
    ),
    Case(
        "a header field in UTF-8 in an answer",
        get("/fields", "X-Name=Zo%C3%AB"),
        Expected(200, {"X-Name": "Zoë"}),
    ),
    Case(
        "a header field that is not UTF-8 in an answer",
        get("/fields", "X-Name=Zo%EB"),
        Expected(200, {"X-Name": "Zo\udceb"}),
    ),
    Case(
        "an empty header field in an answer",
        get("/fields", "X-Empty="),
        Expected(200, {"X-Empty": ""}),
        except_on={LIGHTTPD: Expected(200, {"X-Empty": ABSENT}, because=NO_EMPTY_FIELDS)},
    ),
    Case(
        "a content type of the handler's own",
        get("/fields", "content-type=text/csv"),
        Expected(200, {"Content-Type": "text/csv"}, b"fields"),
    ),
    Case(
        "cookies that are set",
        get("/cookie/a/set"),
        Expected(
            200,
            {
                "Set-Cookie": (
                    "a=1; Path=/; HttpOnly; SameSite=Lax",
                    re.compile(
                        "a-long=2; Max-Age=60; Expires=[A-Z][a-z]{2}, .* GMT; Path=/cgi-bin; "
                        "HttpOnly; SameSite=Lax"
                    ),
                )
            },
        ),
    ),
    Case(
        "a cookie that is deleted",
        get("/cookie/a/delete"),
        Expected(
            200,
            {
                "Set-Cookie": "a=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; "
                "HttpOnly; SameSite=Lax"
            },
        ),
    ),
    Case(
        "an answer for scripts of another site",
        get("/shared"),
        Expected(200, {"Access-Control-Allow-Origin": "https://example.org", "Vary": "Origin"}),
    ),
)

# --- header fields that are refused ---


def refused(name: str, fields: str) -> Case:
    return Case(
        name,
        post("/fields", fields.encode(), URLENCODED),
        Expected(500, {"X-Evil": ABSENT}, b"Internal Server Error\n"),
    )


REFUSED = (
    refused("a line break in a header field", "X-A=a%0D%0AX-Evil:%201"),
    refused("a newline in a header field", "X-A=a%0AX-Evil:%201"),
    refused("a carriage return in a header field", "X-A=a%0DX-Evil:%201"),
    refused("a NUL in a header field", "X-A=a%00b"),
    refused("a line break in the name of a header field", "X-A:%20a%0D%0AX-Evil=1"),
    refused("a space in the name of a header field", "X%20A=1"),
    refused("a header field without a name", "=1"),
    refused("a Status field", "Status=404%20Not%20Found"),
    refused("two content types", "Content-Type=text/plain&content-type=text/html"),
    refused("a Transfer-Encoding field", "Transfer-Encoding=chunked"),
    refused("a Connection field", "Connection=close"),
    refused("a length that is not the body's", "Content-Length=3"),
    refused("a Location with status 200 and a body", "Location=/"),
)

# --- redirects (RFC 3875 6.2.2 to 6.2.4) ---


def redirect_case(name: str, code: int, to: str, location: str = "") -> Case:
    return Case(
        name,
        get(f"/redirect/{code}", f"to={to}"),
        Expected(code, {"Location": location or to}, b""),
    )


def local_case(name: str, program: str, *ways: str, method: str = "GET") -> Case:
    """A redirect to another path; `ways` are those in which it is the client's to follow."""
    location = f"/cgi-bin/{program}/show/there?from=here"
    query = "to=" + quote(location, safe="/")
    because = {
        **dict.fromkeys(ALONE, "Without a server, nothing follows the redirect."),
        NGINX: "nginx redirects the client.",
        LIGHTTPD: "lighttpd redirects the client if it is the same program.",
    }
    except_on = {
        way: Expected(
            200 if way in ALONE else 302, {"Location": location}, b"", because=because[way]
        )
        for way in (*ALONE, *ways)
    }
    seen = {
        "method": "GET",
        "path": "/show/there",
        "query": [["from", "here"]],
        "content_length": 0,
    }
    ask = Ask(method, "/local", query, body=b"x" * 1000 if method == "POST" else b"")
    return Case(name, ask, Expected(200, {"Location": ABSENT}, shows=seen), except_on=except_on)


REDIRECTS = (
    redirect_case("a redirect", 302, "https://example.org/a"),
    redirect_case(
        "a redirect for good",
        301,
        "https://example.org/a%3Fb=c%26d=e%23f",
        "https://example.org/a?b=c&d=e#f",
    ),
    redirect_case("a redirect to a result", 303, "/cgi-bin/contract/show"),
    redirect_case("a redirect that keeps the method", 307, "/cgi-bin/contract/show"),
    redirect_case("a redirect for good that keeps the method", 308, "/cgi-bin/contract/show"),
    redirect_case("a redirect to a relative address", 302, "../there"),
    redirect_case("a redirect to where no ASCII leads", 302, "/Zo%C3%AB%20b", "/Zo%C3%AB%20b"),
    Case(
        "a redirect that would add a header field",
        post("/redirect/302", b"to=/%0D%0AX-Evil:%201", URLENCODED),
        Expected(500, {"X-Evil": ABSENT, "Location": ABSENT}),
    ),
    local_case("a local redirect", "contract", NGINX, LIGHTTPD),
    local_case("a local redirect to another program", "other-contract", NGINX),
    local_case(
        "a local redirect of a POST to another program", "other-contract", NGINX, method="POST"
    ),
    Case(
        "a local redirect to another server",
        get("/local", "to=//example.org/"),
        Expected(500, {"Location": ABSENT}),
    ),
)

# --- errors ---

ERRORS = (
    Case(
        "an HTTPError",
        get("/raise/http-error"),
        Expected(
            409,
            {"Retry-After": "3", "Content-Type": TEXT},
            b"Somebody was faster.\n",
            phrase="Conflict",
        ),
    ),
    Case(
        "an HTTPError without a message",
        get("/raise/http-error-without-message"),
        Expected(410, body=b"Gone\n"),
    ),
    Case(
        "an exception",
        get("/raise/exception"),
        Expected(
            500,
            {"Content-Type": TEXT},
            b"Internal Server Error\n",
            log=f"nativecgi: GET {SCRIPT}/raise/exception: LookupError: a secret",
        ),
    ),
    Case(
        "an exit",
        get("/raise/exit"),
        Expected(500, body=b"Internal Server Error\n", log="SystemExit: 3"),
    ),
    Case(
        "a handler that returns nothing",
        get("/return/none"),
        Expected(500, body=b"Internal Server Error\n", log="not NoneType"),
    ),
    Case(
        "a handler that returns text",
        get("/return/str"),
        Expected(500, body=b"Internal Server Error\n", log="a Response, not str"),
    ),
    Case(
        "a body of another type",
        get("/return/dict"),
        Expected(500, body=b"Internal Server Error\n", log="not dict"),
    ),
    Case(
        "a status that is text",
        get("/return/status-text"),
        Expected(500, body=b"Internal Server Error\n", log="a status is an int, not str"),
    ),
    Case(
        "a status below 200",
        get("/return/100"),
        Expected(500, body=b"Internal Server Error\n", log="100 is not the status"),
    ),
    Case(
        "a status beyond 599",
        get("/return/600"),
        Expected(500, body=b"Internal Server Error\n", log="600 is not the status"),
    ),
    Case(
        "an exception after a large body",
        post("/raise/exception", LARGE),
        Expected(500, body=b"Internal Server Error\n"),
    ),
    Case(
        "a path that is not there",
        get("/nowhere"),
        Expected(404, {"Content-Type": TEXT}, b"Not Found\n"),
    ),
)

# --- standard output ---

NOT_OURS = "A handler that is called directly writes to its caller's standard output."

OUTPUT = (
    Case(
        "what is printed",
        get("/output/print"),
        Expected(200, body=b"answered", log="Status: 404 printed"),
    ),
    Case(
        "what C writes to standard output",
        get("/output/descriptor"),
        Expected(200, body=b"answered", log="Status: 404 written"),
        except_on={PROCESS: Expected(200, body=b"answered", because=NOT_OURS)},
    ),
    Case(
        "what a child writes to standard output",
        get("/output/child"),
        Expected(200, body=b"answered", log="Status: 404 echoed"),
        except_on={PROCESS: Expected(200, body=b"answered", because=NOT_OURS)},
    ),
)

# --- streams ---

LOOKS_COMPLETE = "A server takes the end of a program's output for the end of the answer."

STREAMS = (
    Case(
        "a list of pieces",
        get("/stream/list"),
        Expected(200, {"Content-Type": BINARY}, b"one two three"),
    ),
    Case("a generator", get("/stream/generator"), Expected(200, {"Content-Type": TEXT}, b"0 1 2 ")),
    Case("many pieces", get("/stream/many"), Expected(body=MANY)),
    Case("a stream of 5 MiB", get("/stream/large"), Expected(body=LARGE)),
    Case("a stream of nothing", get("/stream/nothing"), Expected(200, body=b"")),
    Case(
        "a stream of announced length",
        get("/stream/announced-3"),
        Expected(200, {LENGTH: "3"}, b"abc"),
    ),
    Case(
        "a stream that fails before its first piece",
        get("/stream/fails-first"),
        Expected(500, body=b"Internal Server Error\n", log="failed after 0 pieces"),
    ),
    Case(
        "a stream that fails later",
        get("/stream/fails-later"),
        Expected(200, body=b"piece 0\npiece 1\n", log="failed after 2 pieces", is_complete=False),
        except_on=dict.fromkeys(
            SERVERS,
            Expected(
                200,
                body=b"piece 0\npiece 1\n",
                log="failed after 2 pieces",
                because=LOOKS_COMPLETE,
            ),
        ),
    ),
    Case(
        "a stream that is shorter than announced",
        get("/stream/announced-5"),
        Expected(
            200,
            {LENGTH: "5"},
            b"abc",
            log="2 bytes shorter than its Content-Length",
            is_complete=False,
        ),
        except_on={
            APACHE: Expected(
                200,
                body=b"abc",
                log="2 bytes shorter than its Content-Length",
                is_complete=None,
                because="Apache announces the real length if it has read everything by then.",
            )
        },
    ),
    Case(
        "a stream that is longer than announced",
        get("/stream/announced-2"),
        Expected(
            200, {LENGTH: "2"}, b"ab", log="longer than its Content-Length", is_complete=False
        ),
        except_on=dict.fromkeys(
            SERVERS,
            Expected(
                200,
                {LENGTH: "2"},
                b"ab",
                because="Everything that was announced has arrived, and no more is written.",
            ),
        ),
    ),
    Case("a stream to a POST", post("/stream/generator", b"x" * 1000), Expected(body=b"0 1 2 ")),
)

# --- HEAD (RFC 9110 9.3.2, RFC 3875 4.3.3) ---

HEADS = (
    Case("HEAD of a text", head(""), Expected(200, {"Content-Type": TEXT, LENGTH: "8"}, b"")),
    Case("HEAD of 5 MiB", head("/body/large"), Expected(200, {LENGTH: str(len(LARGE))}, b"")),
    Case("HEAD of an error", head("/nowhere"), Expected(404, {LENGTH: "10"}, b"")),
    Case("HEAD of an exception", head("/raise/exception"), Expected(500, {LENGTH: "22"}, b"")),
    Case(
        "HEAD of a redirect",
        head("/redirect/302", "to=https://example.org/"),
        Expected(302, {"Location": "https://example.org/"}, b""),
    ),
    Case("HEAD of no content", head("/empty/204"), Expected(204, body=b"")),
    Case("HEAD of a stream", head("/stream/generator"), Expected(200, {"Content-Type": TEXT}, b"")),
    Case("HEAD of a stream of 5 MiB", head("/stream/large"), Expected(200, body=b"")),
    Case(
        "HEAD of a stream of announced length",
        head("/stream/announced-3"),
        Expected(200, {LENGTH: "3"}, b""),
    ),
    Case(
        "HEAD of a file",
        head("/file/digits.txt"),
        Expected(200, {LENGTH: "10", "Content-Type": TEXT, "Last-Modified": LAST_CHANGE}, b""),
    ),
    Case(
        "HEAD of a file that is as it was",
        head("/tagged/digits.txt", None, ("If-None-Match", '"v1"')),
        Expected(304, {"ETag": '"v1"'}, b""),
    ),
    Case(
        "HEAD reaches a handler as GET",
        head("/methods"),
        Expected(200, {LENGTH: "10", "Content-Type": "text/html; charset=utf-8"}, b""),
    ),
)

# --- files ---

FILES = (
    Case(
        "a file",
        get("/file/digits.txt"),
        Expected(
            200,
            {
                "Content-Type": TEXT,
                LENGTH: "10",
                "Last-Modified": LAST_CHANGE,
                "ETag": re.compile('"[^"]+"'),
                "Accept-Ranges": "bytes",
            },
            DIGITS,
        ),
    ),
    Case("an empty file", get("/file/empty.txt"), Expected(200, {LENGTH: "0"}, b"")),
    Case(
        "a file of 5 MiB",
        get("/file/large.bin"),
        Expected(200, {"Content-Type": BINARY, LENGTH: str(len(LARGE))}, LARGE),
    ),
    Case(
        "a file in a folder",
        get("/file/folder/a%20b.json"),
        Expected(200, {"Content-Type": "application/json"}, b"{}"),
    ),
    Case(
        "a page",
        get("/file/page.html"),
        Expected(200, {"Content-Type": "text/html; charset=utf-8"}, b"<p>page</p>"),
    ),
    Case(
        "an archive is not unpacked",
        get("/file/archive.tar.gz"),
        Expected(
            200, {"Content-Type": "application/gzip", "Content-Encoding": ABSENT}, b"\x1f\x8b"
        ),
    ),
    Case(
        "a file to save",
        get("/download/digits.txt"),
        Expected(
            200,
            {
                "Content-Disposition": 'attachment; filename="Gr__e.txt"; '
                "filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt"
            },
            DIGITS,
        ),
    ),
    Case("a file that is not there", get("/file/none.txt"), Expected(404)),
    Case("a folder is no file", get("/file/folder"), Expected(404)),
    Case("a link that leads out of the folder", get("/file/outside"), Expected(404)),
    Case(
        "dots that lead out of the folder",
        get("/file/..%5C..%2F..%2F..%2F..%2Fetc%2Fpasswd"),
        Expected(404),
    ),
    Case("a file whose name has a NUL", get("/file/digits.txt%2500"), Expected(404)),
)

# --- conditional requests (RFC 9110 13) ---


def conditional(name: str, expected: Expected, *fields: tuple[str, str], path: str = "") -> Case:
    return Case(name, get(path or "/tagged/digits.txt", None, *fields), expected)


WHOLE = Expected(200, {"ETag": '"v1"'}, DIGITS)
NOT_MODIFIED = Expected(
    304, {"ETag": '"v1"', "Content-Type": ABSENT, LENGTH: ABSENT}, b"", phrase="Not Modified"
)
FAILED = Expected(412, body=b"Precondition Failed\n")

CONDITIONAL = (
    conditional("a file with the tag that the client has", NOT_MODIFIED, ("If-None-Match", '"v1"')),
    conditional("a file with one of the tags", NOT_MODIFIED, ("If-None-Match", '"v0", W/"v1"')),
    conditional("a file with any tag", NOT_MODIFIED, ("If-None-Match", "*")),
    conditional("a file with another tag", WHOLE, ("If-None-Match", '"v2"')),
    conditional(
        "a file that has not changed since", NOT_MODIFIED, ("If-Modified-Since", LAST_CHANGE)
    ),
    conditional("a file that has changed since", WHOLE, ("If-Modified-Since", BEFORE)),
    conditional("a date that is none", WHOLE, ("If-Modified-Since", "yesterday")),
    conditional(
        "a tag comes before a date",
        WHOLE,
        ("If-None-Match", '"v2"'),
        ("If-Modified-Since", LAST_CHANGE),
    ),
    conditional("the tag that was asked for", WHOLE, ("If-Match", '"v1"')),
    conditional("another tag than was asked for", FAILED, ("If-Match", '"v2"')),
    conditional(
        "a file that should not have changed since", FAILED, ("If-Unmodified-Since", BEFORE)
    ),
    conditional(
        "a file that has not changed as it should", WHOLE, ("If-Unmodified-Since", LAST_CHANGE)
    ),
    conditional(
        "a text with a weak tag",
        Expected(304, {"ETag": 'W/"v1"'}, b""),
        ("If-None-Match", '"v1"'),
        path="/tagged-text",
    ),
    conditional(
        "a weak tag is no match for a change", FAILED, ("If-Match", 'W/"v1"'), path="/tagged-text"
    ),
    conditional(
        "a text without a tag and a condition",
        Expected(200, body=b"contract"),
        ("If-None-Match", '"v1"'),
        path="/",
    ),
    conditional("an error on a condition", Expected(404), ("If-None-Match", "*"), path="/nowhere"),
)

# --- ranges (RFC 9110 14) ---


def part(content: bytes, span: str) -> Expected:
    return Expected(
        206,
        {"Content-Range": f"bytes {span}", LENGTH: str(len(content)), "Content-Type": TEXT},
        content,
        phrase="Partial Content",
    )


OUT_OF_RANGE = Expected(416, {"Content-Range": "bytes */10"})


RANGES_OF_ITS_OWN = "lighttpd handles ranges itself if it has the whole answer at once."


def ranged(
    name: str,
    value: str,
    expected: Expected,
    *fields: tuple[str, str],
    except_on: Exceptions = NONE,
) -> Case:
    ask = get("/tagged/digits.txt", None, ("Range", value), *fields)
    return Case(name, ask, expected, except_on=except_on)


RANGES = (
    ranged("the first bytes of a file", "bytes=0-3", part(b"0123", "0-3/10")),
    ranged("a byte of a file", "bytes=4-4", part(b"4", "4-4/10")),
    ranged("a file from a byte on", "bytes=7-", part(b"789", "7-9/10")),
    ranged("the last bytes of a file", "bytes=-2", part(b"89", "8-9/10")),
    ranged("more last bytes than there are", "bytes=-20", part(DIGITS, "0-9/10")),
    ranged("a range beyond the end", "bytes=8-99", part(b"89", "8-9/10")),
    ranged("a range behind the end", "bytes=10-", OUT_OF_RANGE),
    ranged("the last no bytes", "bytes=-0", OUT_OF_RANGE),
    ranged(
        "a range that ends before it begins",
        "bytes=5-4",
        WHOLE,
        except_on={LIGHTTPD: Expected(416, because=RANGES_OF_ITS_OWN, or_else=WHOLE)},
    ),
    ranged("a range of another unit", "lines=1-2", WHOLE),
    ranged(
        "a range of the version that there is",
        "bytes=0-1",
        part(b"01", "0-1/10"),
        ("If-Range", '"v1"'),
    ),
    ranged("a range of another version", "bytes=0-1", WHOLE, ("If-Range", '"v0"')),
    ranged(
        "a range of what has not changed since",
        "bytes=0-1",
        part(b"01", "0-1/10"),
        ("If-Range", LAST_CHANGE),
    ),
    ranged("a range of what has changed since", "bytes=0-1", WHOLE, ("If-Range", BEFORE)),
    ranged("a range of what the client has", "bytes=0-1", NOT_MODIFIED, ("If-None-Match", '"v1"')),
    ranged(
        "several ranges",
        "bytes=0-1,4-5",
        WHOLE,
        except_on={
            LIGHTTPD: Expected(
                206,
                {"Content-Range": "bytes 0-5/10"},
                b"012345",
                because=RANGES_OF_ITS_OWN,
                or_else=WHOLE,
            )
        },
    ),
    Case(
        "a range of 2 MiB of a file",
        get("/file/large.bin", None, ("Range", "bytes=1000000-3097151")),
        Expected(
            206, {"Content-Range": "bytes 1000000-3097151/5242880"}, LARGE[1_000_000:3_097_152]
        ),
    ),
    Case(
        "HEAD has no ranges",
        head("/tagged/digits.txt", None, ("Range", "bytes=0-3")),
        Expected(200, {LENGTH: "10"}, b""),
    ),
    Case(
        "a range of an empty file",
        get("/file/empty.txt", None, ("Range", "bytes=0-0")),
        Expected(416, {"Content-Range": "bytes */0"}),
    ),
    Case(
        "a range of a text",
        get("", None, ("Range", "bytes=0-1")),
        Expected(200, {LENGTH: "8"}, b"contract"),
        except_on={LIGHTTPD: Expected(206, {LENGTH: "2"}, b"co", because=RANGES_OF_ITS_OWN)},
    ),
    Case("a range in a POST", post("/echo", b"0123"), Expected(200, body=b"0123")),
)

# --- programs that write the whole answer (RFC 3875 5) ---

NO_NPH = "nginx and fcgiwrap do not know such programs: status and chunks are plain text."

NPH = (
    Case(
        "a text of an nph- program",
        Ask(program="nph-contract"),
        Expected(200, {"Content-Type": TEXT, LENGTH: "8"}, b"contract"),
    ),
    Case(
        "an error of an nph- program",
        Ask(path="/nowhere", program="nph-contract"),
        Expected(404, body=b"Not Found\n"),
        except_on={NGINX: Expected(200, body=b"Not Found\n", because=NO_NPH)},
    ),
    Case(
        "a stream of an nph- program",
        Ask(path="/stream/generator", program="nph-contract"),
        Expected(200, body=b"0 1 2 "),
        except_on={
            NGINX: Expected(
                200,
                body=b"2\r\n0 \r\n2\r\n1 \r\n2\r\n2 \r\n0\r\n\r\n",
                because=NO_NPH,
            )
        },
    ),
    Case(
        "HEAD of an nph- program",
        Ask("HEAD", program="nph-contract"),
        Expected(200, {LENGTH: "8"}, b""),
    ),
    Case(
        "POST to an nph- program",
        Ask("POST", "/echo", body=LARGE, program="nph-contract"),
        Expected(200, body=LARGE),
    ),
    Case(
        "a stream that fails of an nph- program",
        Ask(path="/stream/fails-later", program="nph-contract"),
        Expected(200, body=b"piece 0\npiece 1\n", is_complete=False),
        except_on={
            NGINX: Expected(200, body=b"8\r\npiece 0\n\r\n8\r\npiece 1\n\r\n", because=NO_NPH),
            LIGHTTPD: Expected(
                200,
                body=b"piece 0\npiece 1\n",
                is_complete=None,
                because="lighttpd decodes the chunks, and may not notice that the last is missing.",
            ),
        },
    ),
)

CASES = (
    *BODIES,
    *STATUSES,
    *FIELDS,
    *REFUSED,
    *REDIRECTS,
    *ERRORS,
    *OUTPUT,
    *STREAMS,
    *HEADS,
    *FILES,
    *CONDITIONAL,
    *RANGES,
    *NPH,
)
