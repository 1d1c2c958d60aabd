"""Mercurial's hgweb as a CGI program: what hgweb.cgi is, with the configuration HGWEB_CONFIG names.

A program that contains Mercurial is under its licence, the GPL, version 2 or later.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["mercurial==7.2.4"]
# ///

# What Mercurial imports by name: its modules in C, and the extensions that a configuration enables.
# nuitka-project: --include-package=mercurial.cext
# nuitka-project: --include-package=hgext
# An extension colours files with it, if it is required above.
# nuitka-project: --nofollow-import-to=pygments

from collections.abc import Iterable
from typing import Any

from mercurial import initialization
from mercurial.hgweb import hgweb

from nativecgi import from_wsgi, run

initialization.init()


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The repositories of the configuration, which each process reads."""
    return hgweb(environ["HGWEB_CONFIG"].encode("latin-1"))(environ, start_response)


if __name__ == "__main__":
    run(from_wsgi(app))
