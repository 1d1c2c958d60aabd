"""nativecgi.middleware.cors: the server's half of the Fetch standard's CORS protocol."""

import pytest

from nativecgi import HTTPError, Request, Response, cors, local_redirect, text
from nativecgi.message.response import Handler
from tests.gateways.test_encode import Parsed, encode, parsed

ORIGIN = "https://app.example"
SIMPLE = {"REQUEST_METHOD": "GET", "HTTP_ORIGIN": ORIGIN}
PREFLIGHT = {
    "REQUEST_METHOD": "OPTIONS",
    "HTTP_ORIGIN": ORIGIN,
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT",
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "content-type",
}


def greet(request: Request) -> Response:
    return text(f"{request.method} from here", headers=[("X-A", "1"), ("X-A", "2")])


def answer(handler: Handler, env: dict[str, str]) -> Parsed:
    return parsed(encode(handler(Request(env))))


def allowed_origin(response: Parsed) -> list[bytes]:
    return response.values(b"access-control-allow-origin")


# --- a simple request ---


def test_everyone_may_read_the_answer() -> None:
    response = answer(cors(greet), SIMPLE)
    assert allowed_origin(response) == [b"*"]
    assert response.body == b"GET from here"


def test_the_answer_is_the_handlers_but_for_that() -> None:
    plain, crossing = answer(greet, SIMPLE), answer(cors(greet), SIMPLE)
    assert (plain.status, plain.body) == (crossing.status, crossing.body)
    assert crossing.values(b"x-a") == [b"1", b"2"]


def test_an_answer_to_everyone_does_not_vary() -> None:
    assert answer(cors(greet), SIMPLE).values(b"vary") == []


def test_one_origin_may_read_the_answer() -> None:
    response = answer(cors(greet, allow_origin=ORIGIN), SIMPLE)
    assert allowed_origin(response) == [ORIGIN.encode()]
    assert response.values(b"vary") == [b"Origin"]


def test_another_origin_is_told_the_allowed_one() -> None:
    env = SIMPLE | {"HTTP_ORIGIN": "https://evil.example"}
    assert allowed_origin(answer(cors(greet, allow_origin=ORIGIN), env)) == [ORIGIN.encode()]


def test_the_clients_origin_is_never_just_repeated() -> None:
    env = SIMPLE | {"HTTP_ORIGIN": "https://evil.example"}
    assert allowed_origin(answer(cors(greet), env)) == [b"*"]


def test_a_request_of_no_origin_gets_the_field_too() -> None:
    assert allowed_origin(answer(cors(greet), {"REQUEST_METHOD": "GET"})) == [b"*"]


def test_the_handlers_own_vary_stays() -> None:
    def vary(request: Request) -> Response:
        return text("x", headers={"Vary": "Accept"})

    response = answer(cors(vary, allow_origin=ORIGIN), SIMPLE)
    assert b"Accept" in b", ".join(response.values(b"vary"))


def test_credentials_are_never_allowed() -> None:
    for env in (SIMPLE, PREFLIGHT):
        for origin in ("*", ORIGIN):
            response = answer(cors(greet, allow_origin=origin), env)
            assert response.values(b"access-control-allow-credentials") == []


# --- errors ---


def test_a_raised_error_may_be_read_too() -> None:
    def refuse(request: Request) -> Response:
        raise HTTPError(403, "Not you.")

    response = answer(cors(refuse), SIMPLE)
    assert (response.status, response.body) == (403, b"Not you.\n")
    assert allowed_origin(response) == [b"*"]


def test_a_returned_error_may_be_read_too() -> None:
    def missing(request: Request) -> Response:
        return text("none", 404)

    assert allowed_origin(answer(cors(missing), SIMPLE)) == [b"*"]


def test_a_bug_of_the_handler_is_not_hidden() -> None:
    def fail(request: Request) -> Response:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        cors(fail)(Request(SIMPLE))


def test_what_is_no_response_is_called_so() -> None:
    def forget(request: Request) -> Response:
        return None  # type: ignore[return-value]

    with pytest.raises(TypeError, match="a handler returns a Response, not NoneType"):
        encode(cors(forget)(Request(SIMPLE)))


# --- a preflight request ---


def test_a_preflight_is_answered_without_the_handler() -> None:
    def fail(request: Request) -> Response:
        raise LookupError("a bug")

    response = answer(cors(fail), PREFLIGHT)
    assert (response.status, response.body) == (204, b"")


def test_a_preflights_answer_says_what_is_allowed() -> None:
    response = answer(cors(greet), PREFLIGHT)
    assert response.fields == [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Allow-Methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
        (b"Access-Control-Allow-Headers", b"Content-Type"),
        (b"Access-Control-Max-Age", b"86400"),
    ]


def test_a_preflights_answer_says_what_the_program_allows() -> None:
    handler = cors(greet, ORIGIN, ("GET", "PUT"), ("X-Token", "X-Trace"))
    response = answer(handler, PREFLIGHT)
    assert allowed_origin(response) == [ORIGIN.encode()]
    assert response.values(b"vary") == [b"Origin"]
    assert response.values(b"access-control-allow-methods") == [b"GET, PUT"]
    assert response.values(b"access-control-allow-headers") == [b"X-Token, X-Trace"]


def test_two_preflights_are_answered_alike() -> None:
    handler = cors(greet)
    assert answer(handler, PREFLIGHT) == answer(handler, PREFLIGHT)


def test_options_that_is_no_preflight_is_the_handlers() -> None:
    env = {"REQUEST_METHOD": "OPTIONS", "HTTP_ORIGIN": ORIGIN}
    assert answer(cors(greet), env).body == b"OPTIONS from here"


def test_another_method_is_never_a_preflight() -> None:
    env = PREFLIGHT | {"REQUEST_METHOD": "PUT"}
    assert answer(cors(greet), env).body == b"PUT from here"


# --- one field only: a browser refuses an answer with two (Fetch, "CORS check") ---


def test_a_field_of_the_handlers_own_is_not_doubled() -> None:
    def own(request: Request) -> Response:
        return text("x", headers={"access-control-allow-origin": "https://other.example"})

    assert len(allowed_origin(answer(cors(own), SIMPLE))) == 1


def test_cors_twice_is_cors_once() -> None:
    assert allowed_origin(answer(cors(cors(greet)), SIMPLE)) == [b"*"]


def test_a_local_redirect_is_left_alone() -> None:
    handler = cors(lambda _request: local_redirect("/elsewhere"))
    assert encode(handler(Request(SIMPLE))) == b"Location: /elsewhere\r\n\r\n"
