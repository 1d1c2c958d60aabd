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
# The extension highlight needs it: to have that, require it above, and leave out this line.
# nuitka-project: --nofollow-import-to=pygments

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mercurial import commands, initialization, lock, util
from mercurial import ui as uimod
from mercurial.hgweb import hgweb
from mercurial.repo import factory

from nativecgi import Request, after_thaw, before_freeze, from_wsgi, run

TIMES = 10  # until the interpreter has adapted its code
PAGES = (
    "/",
    "/r",
    "/r/log",
    "/r/rev/tip",
    "/r/file/tip/a",
    "/r/annotate/tip/a",
    "/static/mercurial.js",
)
COMMANDS = (
    "capabilities",
    "branchmap",
    "listkeys&namespace=bookmarks",
    "getbundle&common=" + "0" * 40,
)

initialization.init()


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The repositories of the configuration, which each process reads."""
    return hgweb(environ["HGWEB_CONFIG"].encode("latin-1"))(environ, start_response)


@after_thaw
def renew_umask() -> None:
    """Of the process; Mercurial has read that of the build."""
    util.setumask(os.umask(0))


@before_freeze
def rehearse() -> None:
    """Have imported, compiled and cached what requests need: with a repository for a moment."""
    before = os.environ.get("HGRCPATH")
    os.environ["HGRCPATH"] = ""  # whoever builds this may have settings
    with tempfile.TemporaryDirectory() as folder:
        repository, configuration = Path(folder, "r"), Path(folder, "hgweb.config")
        configuration.write_text(f"[paths]\nr = {repository}\n")
        ui = uimod.ui.load()
        ui.setconfig(b"ui", b"quiet", b"true")
        repo = factory.repository(ui, os.fsencode(repository), create=True)
        (repository / "a").write_text("a\n")
        commands.commit(ui, repo, message=b"a", user=b"a", addremove=True)
        env = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/hg", "HGWEB_CONFIG": str(configuration)}
        requests = [{**env, "PATH_INFO": path} for path in PAGES]
        requests += [{**env, "PATH_INFO": "/r", "QUERY_STRING": f"cmd={name}"} for name in COMMANDS]
        handle = from_wsgi(app)
        for _time in range(TIMES):
            for request in requests:
                body = handle(Request(request)).body
                _all = body if isinstance(body, bytes) else b"".join(body)
    lock.lock._host = None  # the commit's lock has had the name of this machine
    if before is None:
        del os.environ["HGRCPATH"]
    else:
        os.environ["HGRCPATH"] = before


if __name__ == "__main__":
    run(from_wsgi(app))
