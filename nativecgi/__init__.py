"""Request handlers that become CGI programs of one file.

from nativecgi import Request, Response, run, text

def handle(request: Request) -> Response:
    return text("Hello world")

if __name__ == "__main__":
    run(handle)
"""

from nativecgi.cors import cors
from nativecgi.credentials import BasicCredentials
from nativecgi.errors import HTTPError
from nativecgi.events import Event, event_stream
from nativecgi.files import file
from nativecgi.forms import Form, Upload
from nativecgi.headers import Headers
from nativecgi.hooks import after_thaw, before_freeze
from nativecgi.limits import Limits
from nativecgi.multidict import MultiDict
from nativecgi.proxy import behind_proxy
from nativecgi.request import Request
from nativecgi.response import (
    Handler,
    Response,
    bad_request,
    html,
    json,
    local_redirect,
    method_not_allowed,
    no_content,
    not_found,
    redirect,
    stream,
    text,
    unauthorized,
)
from nativecgi.run import run
from nativecgi.setcookie import delete_cookie, set_cookie
from nativecgi.wsgi import from_wsgi

__all__ = [
    "BasicCredentials",
    "Event",
    "Form",
    "HTTPError",
    "Handler",
    "Headers",
    "Limits",
    "MultiDict",
    "Request",
    "Response",
    "Upload",
    "after_thaw",
    "bad_request",
    "before_freeze",
    "behind_proxy",
    "cors",
    "delete_cookie",
    "event_stream",
    "file",
    "from_wsgi",
    "html",
    "json",
    "local_redirect",
    "method_not_allowed",
    "no_content",
    "not_found",
    "redirect",
    "run",
    "set_cookie",
    "stream",
    "text",
    "unauthorized",
]
