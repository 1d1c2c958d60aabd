"""An app that waits at its freeze point, as plain Python, and forks for each request."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread

import msgspec

from nativecgi_build.build.app import App, copy_script, tries_of
from nativecgi_build.build.errors import BuildError
from nativecgi_build.devserver.cgi import CannotStart, Running
from nativecgi_build.devserver.http import tell
from nativecgi_build.environments.environment import environment
from nativecgi_build.environments.metadata import EnvironmentFailed
from nativecgi_build.scripts import project
from nativecgi_build.scripts.cgiscript import ScriptError
from nativecgi_build.settings import Settings

FORKING = Path(__file__).with_name("forking.py")
RECORDER = Path(__file__).parents[1] / "build" / "opened.py"
# What the app is run behind. It tells which files it has read, for --reload.
BEFORE = """
import runpy
opened = runpy.run_path({recorder!r})["opened"]
import json, socket, sys
connection = socket.socket(fileno={connection})

def ready():
    files = [getattr(it, "__file__", None) for it in list(sys.modules.values())]
    with open({told!r}, "w", encoding="utf-8") as file:
        json.dump(sorted({{*filter(None, files), *opened()["read"]}}), file)

sys.path.insert(0, {folder!r})
fork = runpy.run_path({forking!r}, run_name="forking")["fork_at_freeze_point"]
fork(connection, {folder!r}, ready)
"""
AS_PACKAGE = "runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
# What is a copy, or made by the build, is run as what it stands for.
AS_SCRIPT = """
import types
from contextlib import suppress
from pathlib import Path
main = types.ModuleType("__main__")
main.__file__ = sys.argv[0] = {source!r}
sys.modules["__main__"] = main
exec(compile(Path({main!r}).read_bytes(), {source!r}, "exec"), vars(main))
"""

_OUTPUT_LIMIT = 64 * 1024  # of what is kept of an app's output
_PATIENCE_SECONDS = 3.0


class NotReady(Exception):
    """The app did not come to its freeze point: why, and what it has printed."""


class ForkServer:
    """The app's process. `files` are those that it has read, and `started` is since when."""

    def __init__(self, app: App, settings: Settings) -> None:
        """Start the app; raises NotReady when there is nothing to start."""
        self._app = app
        self._folder = tempfile.TemporaryDirectory(prefix="nativecgi-")
        folder = Path(self._folder.name)
        self.started = time.time_ns()
        self.files: list[str] = []
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            command = _command(app, settings, theirs.fileno(), folder / "told.json")
            # As in the build, a relative path leads nowhere before the freeze point.
            empty = folder / "empty"
            empty.mkdir()
            self._process = subprocess.Popen(
                command,
                cwd=empty,
                env={**os.environ, "FREEZE_POINT": os.urandom(16).hex()},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the server, which ends it
            )
        except (BuildError, EnvironmentFailed, ScriptError) as error:
            self._connection.close()
            self._folder.cleanup()
            tell(f"nativecgi: {error}")
            raise NotReady(str(error)) from None
        finally:
            theirs.close()
        assert self._process.stdin
        self._process.stdin.close()
        self._output = b""
        self._reading = Thread(target=self._forward, daemon=True)
        self._reading.start()

    def wait(self) -> None:
        """Wait for the app to come to its freeze point; raises NotReady when it does not."""
        try:
            is_ready = self._connection.recv(16)
        except OSError:  # it is ended meanwhile
            is_ready = b""
        if not is_ready:
            status = self._process.wait()
            self._reading.join(_PATIENCE_SECONDS)
            text = self._output.decode(errors="replace").rstrip()
            reason = f"It ended with status {status} before it called run()."
            raise NotReady(f"{text}\n\n{reason}" if text else reason)
        told = Path(self._folder.name, "told.json")
        self.files = msgspec.json.decode(told.read_bytes(), type=list[str])

    def start(self, variables: Mapping[str, str], stdin: int) -> Running:
        """Have it fork for a request; raises CannotStart when it is no longer there."""
        stdout, written = os.pipe()
        try:
            with tempfile.TemporaryFile() as content:
                content.write(os.fsencode(self._app.source) + b"\0\0")
                for name, value in variables.items():
                    content.write(os.fsencode(f"{name}={value}") + b"\0")
                content.seek(0)
                descriptors = [content.fileno(), stdin, written, sys.stderr.fileno()]
                socket.send_fds(self._connection, [b"r"], descriptors)
            _, pidfds, _flags, _address = socket.recv_fds(self._connection, 1, 1)
        except OSError:
            pidfds = []
        finally:
            os.close(written)
        if not pidfds:
            os.close(stdout)
            raise CannotStart("The app's process has ended: see the server's terminal.")
        return Running(pidfds[0], stdout)

    def end(self) -> None:
        """End it, and all processes that it has forked."""
        self.kill()
        self._process.wait()
        self._connection.close()
        self._folder.cleanup()

    def kill(self) -> None:
        """Have all of it end at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _forward(self) -> None:
        """Show what the app prints on its way, and keep the last of it."""
        assert self._process.stdout
        while piece := os.read(self._process.stdout.fileno(), _OUTPUT_LIMIT):
            self._output = (self._output + piece)[-_OUTPUT_LIMIT:]
            sys.stderr.buffer.write(piece)
            sys.stderr.buffer.flush()
        self._process.stdout.close()


def _command(app: App, settings: Settings, connection: int, told: Path) -> list[str]:
    """The command that runs the app; what it requires is installed first."""
    work = settings.work(app.name, app.origin) / "run"
    work.mkdir(parents=True, exist_ok=True)
    packages = environment(app.source, work.parent / "venv", lambda: _report(app), root=app.folder)
    if app.is_foreign:
        copy_script(msgspec.structs.replace(app, tries=tuple(tries_of(app))), work, project.Seen())
        run = AS_SCRIPT.format(source=str(app.source), main=str(app.main(work)))
    elif app.source.is_dir():
        run = AS_PACKAGE.format(name=app.name)
    else:
        run = AS_SCRIPT.format(source=str(app.source), main=str(app.source))
    before = BEFORE.format(
        recorder=str(RECORDER),
        forking=str(FORKING),
        connection=connection,
        told=str(told),
        folder=str(app.folder),
    )
    # -P: what is in the current folder is not the app's.
    return [str(packages.python), "-P", "-c", before + run]


def _report(app: App) -> None:
    tell(f"Installing what {app.name} requires ...")
