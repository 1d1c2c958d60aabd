"""Sessions and answers by path; each is one thing that tests/test_websocket.py asks for."""

import asyncio
import sys
import time
from collections.abc import Awaitable
from contextlib import suppress

from nativecgi import Request, Response, after_thaw, not_found, text
from nativecgi.websocket import ClosedError, WebSocket, run_websocket

started: list[float] = []


@after_thaw
def start() -> None:
    started.append(time.time())


async def session(request: Request, websocket: WebSocket) -> None:
    match request.parts:
        case ["echo"]:
            await echo(websocket)
        case ["reverse"]:
            async for message in websocket:
                await websocket.send(message[::-1])
        case ["started"]:
            await websocket.send(str(started))
        case ["variable", name]:
            await websocket.send(request.env.get(name, "none"))
        case ["query", name]:
            await websocket.send(request.query[name])
        case ["sleep"]:
            await noted(websocket, asyncio.sleep(3600))
        case ["background"]:
            tasks = [asyncio.create_task(background()) for _number in range(2)]
            await noted(websocket, asyncio.wait(tasks))
        case ["group"]:
            async with asyncio.TaskGroup() as group:
                group.create_task(endless(websocket))
                group.create_task(endless(websocket))
        case ["echo", "in-group"]:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(3600))
                await echo(websocket)
        case ["slow"]:
            await slow(websocket)
        case ["fill"]:
            await fill(websocket)
        case ["burst", count]:
            for number in range(int(count)):
                await websocket.send(f"{number} ".ljust(1000, "x"))
        case ["together", count]:
            async with asyncio.TaskGroup() as group:
                for number in range(int(count)):
                    group.create_task(websocket.send(f"{number} ".ljust(5000, "x")))
        case ["print"]:
            note("to standard output")
            sys.stdout.flush()
            process = await asyncio.create_subprocess_exec("echo", "of a child")
            await process.wait()
            await websocket.send("a message")
            await echo(websocket)
        case ["fail"]:
            raise LookupError("a session's own")
        case ["fail", "in-task"]:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(asyncio.sleep(3600))
        case ["leave"]:
            sys.exit("on its own")
        case ["receive"]:
            await receive(websocket)


async def echo(websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send(message)


async def noted(websocket: WebSocket, waiting: Awaitable[object]) -> None:
    """Wait, and say on standard error that it has come to an end, which takes a moment."""
    await websocket.send("waiting")
    try:
        await waiting
    finally:
        await asyncio.sleep(0.2)
        note("finally")


async def background() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        note("finally in the background")


async def endless(websocket: WebSocket) -> None:
    while True:
        await websocket.send("and so on")
        await asyncio.sleep(0.01)


async def slow(websocket: WebSocket) -> None:
    """Take some time for each message."""
    count = 0
    async for _message in websocket:
        await asyncio.sleep(0.1)
        count += 1
    note(f"read {count}")


async def fill(websocket: WebSocket) -> None:
    """Send and send, and say on standard error how often."""
    for number in range(1, 2000):
        await websocket.send("x" * 65536)
        note(f"sent {number}.")


def note(text: str) -> None:
    print(text)  # noqa: T201  # it goes to the error log


async def fail() -> None:
    raise LookupError("a task's own")


async def receive(websocket: WebSocket) -> None:
    """One message, and then that there is none any more, however often it is asked for."""
    await websocket.send(await websocket.recv())
    for _time in range(2):
        with suppress(ClosedError):
            await websocket.recv()
            return
    note("closed twice")


def handle(request: Request) -> Response:
    match request.parts:
        case ["asyncio"]:
            return text(asyncio.run(answer_by_socket()))
        case ["subprocess"]:
            return text(asyncio.run(answer_by_subprocess()))
        case ["started"]:
            return text(str(started))
        case [] | ["sessions"]:  # websocketd leaves the program's name in the path
            return text("a plain answer")
        case _:
            return not_found()


async def answer_by_subprocess() -> str:
    process = await asyncio.create_subprocess_exec(
        *("tr", "a-z", "A-Z"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _log = await process.communicate(b"from a child")
    return output.decode()


async def answer_by_socket() -> str:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"over a socket\n")
        answer = await reader.read()
        writer.close()
    return answer.decode()


if __name__ == "__main__":
    run_websocket(session, handle)
