"""A test client for what a real server has at an address: Client, over HTTP."""

import http.client
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from nativecgi.testing import Client

_SECONDS = 60  # after which a server is taken to hang


class Remote(Client):
    """Sends requests to the program at a URL; neither its log nor its exit status is known."""

    def __init__(self, url: str) -> None:
        super().__init__("")
        self._address = urlsplit(url)
        self._exchange = self._over_http

    def _over_http(self, env: dict[str, str], stdin: BinaryIO) -> tuple[bytes, str, int]:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in env.items()
            if name.startswith(("HTTP_", "CONTENT_")) and name != "HTTP_HOST"
        }
        target = self._address.path + quote(env["PATH_INFO"], errors="surrogateescape")
        if env["QUERY_STRING"]:
            target += f"?{env['QUERY_STRING']}"
        connection = http.client.HTTPConnection(self._address.netloc, timeout=_SECONDS)
        try:
            connection.request(env["REQUEST_METHOD"], target, stdin.read(), headers)
            answer = connection.getresponse()
            head = [
                f"Status: {answer.status} {answer.reason}",
                *answer.headers.as_string().split("\n"),
            ]
            return "\r\n".join(head).rstrip().encode() + b"\r\n\r\n" + answer.read(), "", 0
        finally:
            connection.close()
