"""Leaves traces of each request where a later one could find them, and says what it has found.

Below /asgi an ASGI application answers. `python warmed_up.py PATH...` warms up with these paths.
"""

import asyncio
import json
import os
import sys
import threading
import time
from contextvars import ContextVar
from typing import Any

from nativecgi import Request, Response, before_freeze, run, text
from nativecgi import json as json_response
from nativecgi.adapters.asgi import Receive, Send, from_asgi

seen: ContextVar[str] = ContextVar("seen", default="")
settings: list[str | None] = []


@before_freeze
def set_for_the_warm_up() -> None:
    os.environ["SETTING"] = "of the build"


def in_thread() -> str:
    return threading.current_thread().name


async def forever() -> None:
    await asyncio.Event().wait()


async def app(scope: Any, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["requests"] = []
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    found = {
        "seen": seen.get(),
        "state": list(scope["state"]["requests"]),
        "tasks": len(asyncio.all_tasks()),
        "thread": await asyncio.to_thread(in_thread),
    }
    seen.set(scope["path"])
    scope["state"]["requests"].append(scope["path"])
    # It would go on if the loop did.
    scope["state"]["task"] = asyncio.create_task(forever())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (json.dumps(found).encode(), b"\n"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


answer = from_asgi(app)


def handle(request: Request) -> Response:
    match request.parts:
        case ["asgi"]:
            return answer(request)
        case ["setting"]:
            settings.append(os.environ.get("SETTING"))
            return json_response(settings)
        case ["broken"]:
            return text("broken", 500)
        case ["thread"]:
            threading.Thread(target=time.sleep, args=[0.01]).start()
            return text("started")
        case ["forever"]:
            threading.Thread(target=threading.Event().wait, name="stays", daemon=True).start()
            return text("started")
        case _:
            found = seen.get()
            seen.set(request.path)
            return json_response({"seen": found})


if __name__ == "__main__":
    run(handle, warmup=sys.argv[1:])
