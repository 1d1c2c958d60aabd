"""Request handlers that become CGI programs of one file.

from nativecgi import Request, Response, run, text

def handle(request: Request) -> Response:
    return text("Hello world")

if __name__ == "__main__":
    run(handle)
"""

from nativecgi.adapters.wsgi import from_wsgi
from nativecgi.message.credentials import BasicCredentials
from nativecgi.message.errors import HTTPError
from nativecgi.message.events import Event, event_stream
from nativecgi.message.forms import Form, Upload
from nativecgi.message.headers import Headers
from nativecgi.message.limits import Limits
from nativecgi.message.multidict import MultiDict
from nativecgi.message.request import Request
from nativecgi.message.response import (
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
from nativecgi.message.setcookie import delete_cookie, set_cookie
from nativecgi.middleware.cors import cors
from nativecgi.middleware.proxy import behind_proxy
from nativecgi.process.hooks import after_thaw, before_freeze
from nativecgi.run import run
from nativecgi.transfer.files import file

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
