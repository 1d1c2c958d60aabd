"""WebSocket sessions: what a program for them calls in its last line."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, NoReturn, overload

from nativecgi.frozen.freezepoint import reach
from nativecgi.frozen.rehearsal import prepare
from nativecgi.gateways.table import Program, enter
from nativecgi.gateways.websocketd import (
    BinarySession,
    BinaryWebSocket,
    ClosedError,
    Connection,
    Session,
    TooLongError,
    WebSocket,
    hold,
    upgrade_required,
)
from nativecgi.message.limits import Limits
from nativecgi.message.request import Request
from nativecgi.message.response import Handler

__all__ = [
    "BinarySession",
    "BinaryWebSocket",
    "ClosedError",
    "Connection",
    "Session",
    "TooLongError",
    "WebSocket",
    "run_websocket",
    "upgrade_required",
]


@overload
def run_websocket(
    session: Session,
    handler: Handler = upgrade_required,
    *,
    binary: Literal[False] = False,
    limits: Limits | None = None,
) -> NoReturn: ...


@overload
def run_websocket(
    session: BinarySession,
    handler: Handler = upgrade_required,
    *,
    binary: Literal[True],
    limits: Limits | None = None,
) -> NoReturn: ...


def run_websocket(
    session: Callable[[Request, Any], Awaitable[None]],
    handler: Handler = upgrade_required,
    *,
    binary: bool = False,
    limits: Limits | None = None,
) -> NoReturn:
    """Hold one session and end the process: `run` for WebSockets.

    The session ends with its client. When the client has disconnected, the session and the tasks
    that it has started are cancelled once no message was read for a second; on SIGINT and SIGTERM,
    at once. `handler` answers requests that are not for a WebSocket, so the same program can serve
    the page, too.
    """
    kind = BinaryWebSocket if binary else WebSocket

    def hold_session(env: MutableMapping[str, str]) -> NoReturn:
        hold(session, env, limits, kind)

    env = reach(lambda: prepare(handler, limits=limits))
    enter(Program(handler, limits, hold_session), env)
