"""`nativecgi run`: serves an app on this machine as plain Python, without a build."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Event, Lock, Thread

from nativecgi_build.build.app import App
from nativecgi_build.build.errors import BuildError
from nativecgi_build.build.finding import find_apps
from nativecgi_build.devserver.cgi import CannotStart, Running, respond, variables_of
from nativecgi_build.devserver.forkserver import ForkServer, NotReady
from nativecgi_build.devserver.http import (
    LOCAL_NAMES,
    Environ,
    Listener,
    ServeError,
    StartResponse,
    interruptible,
    is_local,
    page,
    tell,
)
from nativecgi_build.devserver.reload import Watch
from nativecgi_build.scripts.reference import Reference
from nativecgi_build.settings import Settings

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{name} does not start</title>
<h1>{name} does not start</h1>
<pre>{text}</pre>
"""


def app_of(name: str | None, settings: Settings, references: Sequence[Reference] = ()) -> App:
    """The app to run: a file, a folder, a name, or the project's only one; raises ServeError."""
    try:
        if name is None:
            found = find_apps((), settings, references=references)
        elif _is_script(Path(name)):
            found = find_apps((), settings, scripts=[name])
        else:
            found = find_apps([name], settings)
    except BuildError as error:
        raise ServeError(f"{error}") from None
    if len(found) > 1:
        names = ", ".join(app.name for app in found)
        raise ServeError(f"the project has several apps\nName one of {names}")
    return found[0]


def _is_script(path: Path) -> bool:
    """Whether a file is a CGI script as it stands, which has nothing of ours."""
    if path.suffix != ".py":
        return path.is_file()
    # By its text, since it may be an app that cannot be parsed just now.
    return path.is_file() and b"nativecgi" not in path.read_bytes()


class Development:
    """A WSGI application: the app, below a path. It is started when that is first needed."""

    def __init__(self, app: App, settings: Settings, root: str) -> None:
        self._app = app
        self._settings = settings
        self._root = root
        self._lock = Lock()
        self._server: ForkServer | None = None
        self._failure = ""
        self._has_ended = False

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path, root = environ["PATH_INFO"], self._root
        if path != root and not path.startswith(f"{root}/"):
            if path == "/":
                to = [("Location", f"{root}/")]
                return page(environ, start_response, "302 Found", "", headers=to)
            text = f"This server has {root}/ and nothing else.\n"
            return page(environ, start_response, "404 Not Found", text)
        with self._lock:
            failure = self._failure
        if failure:
            return self._show(failure, environ, start_response)
        variables = variables_of(environ, root, path.removeprefix(root))
        variables["SCRIPT_FILENAME"] = str(self._app.source)
        if is_local(environ):
            variables.setdefault("NATIVECGI_DEBUG", "1")
        else:
            variables["NATIVECGI_DEBUG"] = ""
        return respond(environ, start_response, self._start, variables, self)

    def restart(self) -> ForkServer | None:
        """Start the app anew, and return its process; None when it does not start.

        Requests wait for that.
        """
        with self._lock:
            self._end_server()
            self._failure = ""
            try:
                if not self._has_ended:
                    self._server = ForkServer(self._app, self._settings)
                    self._server.wait()
            except NotReady as error:
                self._failure = str(error)
                self._end_server()
            return self._server

    def end(self) -> None:
        """End the app, be it on its way to its freeze point, and all of its processes."""
        self._has_ended = True
        if server := self._server:
            server.kill()
        with self._lock:
            self._end_server()

    def _end_server(self) -> None:
        if self._server:
            self._server.end()
            self._server = None

    def _start(self, variables: dict[str, str], stdin: int) -> Running:
        with self._lock:
            if not self._server:
                raise CannotStart("The app does not run: see the server's terminal.")
            return self._server.start(variables, stdin)

    def _show(
        self, failure: str, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        text = failure if is_local(environ) else "See the server's terminal."
        body = PAGE.format(name=html.escape(self._app.name), text=html.escape(text))
        return page(environ, start_response, "500 Internal Server Error", body, "text/html")


def run(
    app: App, settings: Settings, *, host: str, port: int, reload: bool, root: str | None = None
) -> None:
    """Serve an app below the path `root` until interrupted; raises ServeError.

    With `reload` it is started anew whenever a file changes that it has read.
    """
    below = f"/cgi-bin/{app.name}" if root is None else root.rstrip("/")
    if below and not below.startswith("/"):
        raise ServeError(f"{below!r} is no path\nIt begins with a slash: --at /{below}")
    development = Development(app, settings, below)
    listener = Listener(development, host, port)
    if host not in LOCAL_NAMES:
        tell(
            f"Whoever reaches this machine at {host} can use the app: this server is for "
            "development only."
        )
    ended = Event()
    try:
        with interruptible():
            server = development.restart()
            if not server and not reload:
                raise ServeError(f"{app.name} does not start\nWhat it printed is above.")
            print(f"Running {listener.url}{below}/ - stop with Ctrl-C", flush=True)
            if reload:
                watching = (development, app, server, ended)
                Thread(target=_reload, args=watching, daemon=True).start()
            listener.run()
    finally:
        ended.set()
        development.end()


def _reload(development: Development, app: App, server: ForkServer | None, ended: Event) -> None:
    watch = Watch(app)
    while True:
        files = server.files if server else []
        changed = watch.wait(files, server.started if server else 0, ended)
        if changed is None or ended.is_set():
            return
        tell(f"{changed} has changed: starting {app.name} anew")
        server = development.restart()
