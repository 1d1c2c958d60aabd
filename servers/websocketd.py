"""websocketd, for programs that hold WebSocket sessions and such that answer plain requests."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers.server import HOST, Server, await_start, require, running, site

PROGRAM = PACKAGE = "websocketd"

# Milliseconds: as docs/websockets.md has it, which says why.
CLOSE = 1000


@contextmanager
def serving(
    programs: Path,
    *,
    environment: Mapping[str, str] = {},
    cgi_bin: Path | None = None,
    binary: bool = False,
) -> Iterator[Server]:
    """Hold sessions with the programs in `programs` as long as the block runs.

    A plain request is answered by the program of that name in `cgi_bin`, if it is given. Both
    have `environment` in theirs. Where the server's user cannot reach a folder, it gets a copy.

    Raises ServerError where it does not start.
    """
    program = require(PROGRAM, PACKAGE)
    with ExitStack() as stack:
        here = stack.enter_context(site(programs))
        command = [program, f"--address={HOST}", f"--port={here.port}", f"--dir={here.cgi_bin}"]
        command += [f"--closems={CLOSE}", f"--passenv={','.join(('PATH', *environment))}"]
        if cgi_bin is not None:
            other = here if cgi_bin == programs else stack.enter_context(site(cgi_bin))
            command.append(f"--cgidir={other.cgi_bin}")
        if binary:
            command.append("--binary")
        process = stack.enter_context(
            running(command, here, environment=environment, identity=here.identity)
        )
        await_start(process, here)
        yield Server(f"http://{HOST}:{here.port}", here.error_log, "websocketd", process.pid)
