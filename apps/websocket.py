"""Sends each message back, reversed, over a WebSocket.

Try: websocketd --port=8080 --address=127.0.0.1 --dir=FOLDER
"""

from nativecgi import Request
from nativecgi.websocket import WebSocket, run_websocket


async def session(_request: Request, websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send(message[::-1])


if __name__ == "__main__":
    run_websocket(session)
