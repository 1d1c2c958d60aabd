"""Shows a request as the program sees it.

Try: URL/a/b?x=1&x=2
Try: curl -d 'a body' URL
"""

from msgspec import Struct

from nativecgi import Request, Response, json, run


class Shown(Struct):
    """What is shown; a parameter that occurs more than once has more than one value."""

    message: str
    method: str
    uri: str
    url: str
    path: str
    parts: list[str]
    params: dict[str, list[str]]
    headers: dict[str, str]
    body: str
    remote_addr: str
    protocol: str
    server: str


def handle(request: Request) -> Response:
    return json(
        Shown(
            message="This is what your request looks like.",
            method=request.env["REQUEST_METHOD"],
            uri=request.env.get("REQUEST_URI", request.script_name + request.path),
            url=request.url,
            path=request.path,
            parts=request.parts,
            params={name: request.query.getlist(name) for name in request.query},
            headers=dict(request.headers),
            body=request.read().decode(errors="replace"),
            remote_addr=request.remote_addr,
            protocol=request.env.get("SERVER_PROTOCOL", ""),
            server=request.env.get("SERVER_SOFTWARE", ""),
        )
    )


if __name__ == "__main__":
    run(handle, warmup=["/"])
