"""How this process was started, and so which gateway its request comes through.

It is looked at once, after the thaw; the first match wins.
"""

from collections.abc import Callable, MutableMapping
from typing import NoReturn

from msgspec import Struct

from nativecgi.gateways import cgi
from nativecgi.message.limits import Limits
from nativecgi.message.response import Handler


class Program(Struct, frozen=True):
    """What a program answers with, whichever gateway asks."""

    handler: Handler
    limits: Limits | None = None
    # Holds the session that the environment describes, in a program for WebSockets.
    session: Callable[[MutableMapping[str, str]], NoReturn] | None = None


def enter(program: Program, env: MutableMapping[str, str]) -> NoReturn:
    """Answer what the process, whose environment is `env`, was started for, and end it."""
    if program.session and env.get("GATEWAY_INTERFACE", "").startswith("websocketd"):
        program.session(env)
    if "REQUEST_METHOD" not in env:
        from nativecgi.gateways import pooled  # which a process for one request does without

        if pooled.is_asked_for(env):
            pooled.serve(program.handler, env, program.limits)
    cgi.serve(program.handler, env, program.limits)
