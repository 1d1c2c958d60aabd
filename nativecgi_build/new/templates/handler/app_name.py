"""Greets the person named in the path."""

# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///

from nativecgi import Request, Response, not_found, run, text


def handle(request: Request) -> Response:
    match request.method, request.parts:
        case "GET", []:
            return text("Hello world\n")
        case "GET", [name]:
            return text(f"Hello {name}\n")
        case _:
            return not_found()


if __name__ == "__main__":
    run(handle, warmup=["/"])
