"""Sends back the bytes that it gets, and at first a mebibyte if its path is /mebibyte."""

from nativecgi import Request
from nativecgi.websocket import BinaryWebSocket, run_websocket


async def session(request: Request, websocket: BinaryWebSocket) -> None:
    if request.parts == ["mebibyte"]:
        await websocket.send(bytes(range(256)) * 4096)
    async for data in websocket:
        await websocket.send(data)


if __name__ == "__main__":
    run_websocket(session, binary=True)
