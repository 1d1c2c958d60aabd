"""Sends each message back, reversed."""

from nativecgi import Request
from nativecgi.websocket import WebSocket, run_websocket


async def session(_request: Request, websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send(message[::-1])


if __name__ == "__main__":
    run_websocket(session)
