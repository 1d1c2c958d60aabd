"""A chat: each of its members is a process, with a socket of its name in the folder CHAT_DIR.

Other requests are answered with a page to chat in.

Try: websocketd --port=8080 --address=127.0.0.1 --passenv=PATH,CHAT_DIR --dir=FOLDER --cgidir=FOLDER
"""

import asyncio
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nativecgi import Request, Response, html
from nativecgi.websocket import WebSocket, run_websocket

# As a file's name it must fit into the address of a socket, 107 bytes (unix(7)).
NAME = re.compile(r"[^\W_](?:[\w .'-]{0,22}[^\W_])?")
NAMES = (
    "A name has 1 to 24 letters and digits, and between them may have spaces and . ' - _ as well."
)
MOST_CHARACTERS = 4000
MOST_BYTES = 65536  # of a message with its sender's name, amply
MOST_WAITING = 100  # messages from one member to another
SECONDS = 2.0  # that one who has so many waiting is waited for, before it misses some
LOCK = ".lock"

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
  :root { color-scheme: light dark; --soft: #8883; --own: #0b5cad; }
  * { box-sizing: border-box; }
  body { font: 1rem/1.4 system-ui, sans-serif; max-width: 42rem; height: 100dvh; margin: auto;
         padding: 1rem; display: flex; flex-direction: column; gap: .75rem; }
  h1 { margin: 0; font-size: 1.25rem; }
  #said { flex: 1; overflow-y: auto; display: flex; flex-direction: column; gap: .4rem;
          border-block: 1px solid var(--soft); padding-block: .75rem; }
  #said::before { content: ""; margin-top: auto; }
  p { margin: 0; max-width: 85%; align-self: start; padding: .4rem .8rem; border-radius: 1rem;
      background: var(--soft); overflow-wrap: anywhere; white-space: pre-wrap; }
  p.own { align-self: end; background: var(--own); color: #fff; }
  p.notice { align-self: center; background: none; padding-block: 0; font-size: .875rem;
             text-align: center; opacity: .75; }
  b { display: block; font-size: .8rem; opacity: .75; }
  form { display: flex; gap: .5rem; }
  input, button { font: inherit; padding: .6rem 1rem; border: 1px solid #8888;
                  border-radius: 1rem; }
  input { flex: 1; min-width: 0; }
  button { background: var(--own); border-color: var(--own); color: #fff; cursor: pointer; }
</style>
<h1>Chat</h1>
<div id="said" role="log"><p class="notice">Choose a name to join.</p></div>
<form>
  <input aria-label="Your name" placeholder="Your name" required maxlength="24" autocomplete="off"
         autofocus>
  <button>Join</button>
</form>
<script>
  const said = document.getElementById("said");
  const form = document.querySelector("form");
  const input = document.querySelector("input");
  const button = document.querySelector("button");
  let chat = null, joined = false;

  function show(kind, text, name = "") {
    const line = document.createElement("p");
    line.className = kind;
    if (name) line.append(Object.assign(document.createElement("b"), {textContent: name}));
    line.append(text);
    said.append(line);
    said.scrollTop = said.scrollHeight;
  }

  function ask(label, most, action) {
    input.placeholder = label;
    input.setAttribute("aria-label", label);
    input.maxLength = most;
    button.textContent = action;
  }

  function join(name) {
    const address = location.href.split(/[?#]/)[0].replace(/^http/, "ws");
    chat = new WebSocket(address + "?name=" + encodeURIComponent(name));
    chat.onmessage = ({data}) => {
      if (data.startsWith("* Welcome")) {
        joined = true;
        input.value = "";
        ask("Your message", 4000, "Send");
      }
      const [, notice, sender, text] = /^(?:\\* (.*)|(.*?): (.*))$/s.exec(data);
      if (notice !== undefined) show("notice", notice); else show("other", text, sender);
    };
    chat.onclose = () => {
      if (joined) show("notice", "The connection has ended.");
      chat = null;
      joined = false;
      ask("Your name", 24, "Join");
    };
  }

  // A browser may keep the page, and its connection, for the way back to it.
  addEventListener("pagehide", () => chat?.close());
  form.addEventListener("submit", event => {
    event.preventDefault();
    const text = input.value.trim();
    if (joined && text) {
      chat.send(text);
      show("own", text);
      input.value = "";
    } else if (!chat && text) join(text);
    input.focus();
  });
</script>
</html>
"""


async def session(request: Request, websocket: WebSocket) -> None:
    name = request.query.get("name", "").strip()
    if not NAME.fullmatch(name):
        await websocket.send(notice(NAMES))
        return
    enter_folder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        if not seated(own, name):
            await websocket.send(notice(f"There is someone called {name} already."))
            return
        room = Room(name)
        try:
            await websocket.send(welcome(room.others()))
            await room.tell_others(notice(f"{name} has joined."))
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(listen(own, websocket))
                await speak(room, websocket)
                listening.cancel()
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)
            await room.tell_others(notice(f"{name} has left."))
            await room.finish()


class Room:
    """The chat as one member sees it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._outboxes: dict[str, Outbox] = {}

    def others(self) -> list[str]:
        """Everyone else, as far as their sockets tell."""
        return sorted(set(members()) - {self.name})

    async def tell_others(self, text: str) -> None:
        """Have all others told, each as fast as it listens."""
        others = self.others()
        for gone in self._outboxes.keys() - others:
            self._outboxes.pop(gone).close()
        for new in set(others) - self._outboxes.keys():
            self._outboxes[new] = Outbox(new)
        await asyncio.gather(*(box.put(text.encode()) for box in self._outboxes.values()))

    async def finish(self) -> None:
        """Wait until all others have been told, or are too slow for it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await asyncio.gather(*(box.join() for box in self._outboxes.values()))


class Outbox:
    """What one member says to another, in order."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._waiting = asyncio.Queue[bytes](MOST_WAITING)
        self._is_late = False
        self._delivering = asyncio.create_task(self._deliver())
        self.join, self.close = self._waiting.join, self._delivering.cancel

    async def put(self, data: bytes) -> None:
        """Have it delivered, unless too much waits already, now as before."""
        try:
            async with asyncio.timeout(0 if self._is_late else SECONDS):
                await self._waiting.put(data)
            self._is_late = False
        except TimeoutError:
            self._is_late = True

    async def _deliver(self) -> None:
        while True:
            data = await self._waiting.get()
            # With a socket for each message, what one member leaves unread is no other's loss.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                with suppress(OSError):  # it has gone
                    sender.connect(self._member)
                    await asyncio.get_running_loop().sock_sendall(sender, data)
            self._waiting.task_done()


def welcome(others: list[str]) -> str:
    here = f"Here are: {', '.join(others)}." if others else "You are alone here."
    return notice(f"Welcome. {here}")


def notice(text: str) -> str:
    """What nobody has said: no member's name begins like it."""
    return f"* {text}"


async def listen(own: socket.socket, websocket: WebSocket) -> None:
    while True:
        data = await asyncio.get_running_loop().sock_recv(own, MOST_BYTES)
        await websocket.send(data.decode())


async def speak(room: Room, websocket: WebSocket) -> None:
    async for message in websocket:
        if len(message) <= MOST_CHARACTERS:
            await room.tell_others(f"{room.name}: {message}")
        else:
            await websocket.send(notice(f"A message has at most {MOST_CHARACTERS} characters."))


def enter_folder() -> None:
    """Members' addresses are their names alone: a path to them could be too long for one."""
    try:
        os.chdir(os.environ["CHAT_DIR"])
    except KeyError:
        raise RuntimeError("set CHAT_DIR to a folder for the members' sockets") from None


def members() -> list[str]:
    return [path.name for path in Path().iterdir() if path.is_socket()]


def seated(own: socket.socket, name: str) -> bool:
    """Take the name, unless someone who is there has it; members who were killed are not."""
    with locked():
        for member in members():
            if is_gone(member):
                os.unlink(member)
        try:
            own.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def is_gone(member: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(member)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return False
    return False


@contextmanager
def locked() -> Iterator[None]:
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def page(_request: Request) -> Response:
    return html(PAGE)


if __name__ == "__main__":
    run_websocket(session, page)
