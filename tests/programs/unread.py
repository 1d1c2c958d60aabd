"""Answers without a look at the request's body."""

from nativecgi import Request, Response, run, text


def handle(_request: Request) -> Response:
    return text("unread\n")


if __name__ == "__main__":
    run(handle)
