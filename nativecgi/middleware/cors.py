"""Cross-origin resource sharing (the Fetch standard, "CORS protocol")."""

from nativecgi.message.headers import pairs
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response, answered, no_content

_ORIGIN = "Access-Control-Allow-Origin"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_MAX_AGE = 86400  # seconds that a browser may remember a preflight's answer: a day


def cors(
    handler: Handler,
    allow_origin: str = "*",
    allow_methods: tuple[str, ...] = _METHODS,
    allow_headers: tuple[str, ...] = ("Content-Type",),
) -> Handler:
    """Let scripts of other sites read the answers of `handler`: those of one origin, or of all
    ("*").

    Browsers' preflight requests are answered here. Credentials are never allowed.
    """
    origin = [(_ORIGIN, allow_origin)]
    if allow_origin != "*":
        origin.append(("Vary", "Origin"))
    preflight = [
        *origin,
        ("Access-Control-Allow-Methods", ", ".join(allow_methods)),
        ("Access-Control-Allow-Headers", ", ".join(allow_headers)),
        ("Access-Control-Max-Age", str(_MAX_AGE)),
    ]

    def handle(request: Request) -> Response:
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return no_content(preflight)
        response = answered(handler, request)
        own = pairs(response.headers)
        if response.status == 200 and any(name.lower() == "location" for name, _value in own):
            return Response(response.body, 200, own)  # a local redirect, which has no other field
        fields = [pair for pair in own if pair[0].lower() != _ORIGIN.lower()]
        return Response(response.body, response.status, [*fields, *origin])

    return handle
