"""Request handlers that become CGI programs of one file.

from nativecgi import Request, Response, run, text

def handle(request: Request) -> Response:
    return text("Hello world")

if __name__ == "__main__":
    run(handle)
"""

from nativecgi.cors import cors
from nativecgi.errors import HTTPError
from nativecgi.headers import Headers
from nativecgi.hooks import after_thaw, before_freeze
from nativecgi.multidict import MultiDict
from nativecgi.request import Request
from nativecgi.response import (
    Handler,
    Response,
    bad_request,
    html,
    json,
    method_not_allowed,
    no_content,
    not_found,
    redirect,
    text,
)
from nativecgi.run import run

__all__ = [
    "HTTPError",
    "Handler",
    "Headers",
    "MultiDict",
    "Request",
    "Response",
    "after_thaw",
    "bad_request",
    "before_freeze",
    "cors",
    "html",
    "json",
    "method_not_allowed",
    "no_content",
    "not_found",
    "redirect",
    "run",
    "text",
]
