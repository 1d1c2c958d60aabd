"""apps/websocket_chat.py: many members, each a session of the built program under websocketd."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec import Struct
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as aconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from apps.websocket_chat import MOST_CHARACTERS, NAME, NAMES, page
from nativecgi import Request
from servers import websocketd
from servers.server import Server
from tests.gateways.test_websocket import SESSION, await_that
from tests.test_servers import descendants

SECONDS = 30
PEOPLE, EACH = 50, 4


class Chat(Struct):
    server: Server
    folder: Path  # of the members' sockets

    def address(self, name: str) -> str:
        server = self.server.url.replace("http", "ws", 1)
        return f"{server}/websocket_chat?name={quote(name)}"

    def enter(self, name: str) -> ClientConnection:
        return connect(self.address(name), proxy=None, open_timeout=SECONDS, close_timeout=1)

    def is_empty(self) -> bool:
        return not descendants(self.server.pid)

    def process(self, name: str) -> int:
        """The process whose client came with that name."""
        variable = f"QUERY_STRING=name={quote(name)}".encode()
        (pid,) = [
            pid
            for pid in descendants(self.server.pid)
            if variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ]
        return pid


@pytest.fixture(scope="module")
def server_and_folder(cgi_bin: Path) -> Iterator[Chat]:
    with tempfile.TemporaryDirectory(prefix="chat-") as name:
        programs = Path(name, "programs")
        # A path that is too long for a socket's address.
        folder = Path(name, "a" * 100, "b" * 100)
        programs.mkdir()
        folder.mkdir(parents=True)
        for path in (Path(name), programs, folder.parent):
            path.chmod(0o755)
        folder.chmod(0o777)
        shutil.copy2(cgi_bin / "websocket_chat", programs)
        with websocketd.serving(programs, environment={"CHAT_DIR": str(folder)}) as server:
            yield Chat(server, folder)


@pytest.fixture
def chat(server_and_folder: Chat) -> Iterator[Chat]:
    """A chat that nobody is in, and that nobody is left in."""
    yield server_and_folder
    await_that(server_and_folder.is_empty)
    for path in server_and_folder.folder.iterdir():
        path.unlink()


def members(chat: Chat) -> set[str]:
    return {path.name for path in chat.folder.iterdir()} - {".lock"}


@contextmanager
def people(chat: Chat, *names: str) -> Iterator[list[ClientConnection]]:
    """They are there, and have read all notices of it."""
    with ExitStack() as stack:
        entered: list[ClientConnection] = []
        for name in names:
            entered.append(stack.enter_context(chat.enter(name)))
            assert heard(entered[-1]).startswith("* Welcome.")
            for other in entered[:-1]:
                assert heard(other) == f"* {name} has joined."
        yield entered


def heard(member: ClientConnection) -> str:
    message = member.recv(SECONDS)
    assert isinstance(message, str)
    return message


def rest(member: ClientConnection) -> list[str]:
    """The messages until the connection is closed by the chat."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(heard(member))
    return messages


# --- who is there ---


def test_the_first_one_is_alone(chat: Chat) -> None:
    with chat.enter("Ann") as ann:
        assert heard(ann) == "* Welcome. You are alone here."


def test_who_joins_is_told_who_is_there(chat: Chat) -> None:
    with people(chat, "Bob", "Ann"), chat.enter("Cy") as cy:
        assert heard(cy) == "* Welcome. Here are: Ann, Bob."


def test_the_others_are_told_who_joins_and_who_leaves(chat: Chat) -> None:
    with people(chat, "Ann") as (ann,):
        with chat.enter("Bob") as bob:
            heard(bob)
            assert heard(ann) == "* Bob has joined."
        assert heard(ann) == "* Bob has left."
        assert members(chat) == {"Ann"}


def test_nothing_is_left_of_who_has_left(chat: Chat) -> None:
    with people(chat, "Ann", "Bob"):
        assert members(chat) == {"Ann", "Bob"}
    await_that(chat.is_empty)
    assert members(chat) == set()


# --- names ---

ACCEPTED = ["A", "Zoë", "李", "Ann Lee", "O'Neill", "a.b-c_d", "x" * 24, "𠀀" * 24]
NO_NAMES = ["", " ", "x" * 25, "a/b", "../a", ".", ".lock", "-a", "a-", "a:b", "a\nb", "a\0b", "*a"]
NO_NAMES += ["a\u202eb", "\ud800", "_", "_a", "a_"]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_name(chat: Chat, name: str) -> None:
    with people(chat, name):
        assert members(chat) == {name}


@pytest.mark.parametrize("name", NO_NAMES)
def test_no_name(name: str) -> None:
    assert not NAME.fullmatch(name)


def test_who_is_told_what_a_name_has_is_told_all_of_it() -> None:
    others = {chr(number) for number in range(128) if NAME.fullmatch(f"a{chr(number)}b")}
    marks = {it for it in others if not it.isalnum()}
    assert marks == {" "} | set(re.findall(r"(?<= )[.'_-](?= )", NAMES))


def test_who_has_no_name_is_told_so(chat: Chat) -> None:
    for name in ("", "a/b", "x" * 25):
        with chat.enter(name) as nobody:
            assert rest(nobody) == [f"* {NAMES}"]
    assert members(chat) == set()


def test_a_name_that_is_taken(chat: Chat) -> None:
    with people(chat, "Ann", "Bob") as (ann, bob):
        with chat.enter("Ann") as second:
            assert rest(second) == ["* There is someone called Ann already."]
        bob.send("still there?")
        assert heard(ann) == "Bob: still there?"
        ann.send("yes")
        assert heard(bob) == "Ann: yes"


def test_of_many_who_take_a_name_at_once_one_gets_it(chat: Chat) -> None:
    async def take() -> list[str]:
        async with AsyncExitStack() as stack:
            opened = await asyncio.gather(*(entered(stack, chat, "Ann") for _n in range(20)))
            return [str(await one.recv()) for one in opened]

    answers = asyncio.run(take())
    assert sorted(set(answers)) == [
        "* There is someone called Ann already.",
        "* Welcome. You are alone here.",
    ]
    assert answers.count("* Welcome. You are alone here.") == 1


async def entered(stack: AsyncExitStack, chat: Chat, name: str) -> AsyncConnection:
    connecting = aconnect(chat.address(name), proxy=None, open_timeout=SECONDS, max_queue=None)
    return await stack.enter_async_context(connecting)


# --- what is said ---


def test_everyone_else_gets_what_one_says(chat: Chat) -> None:
    with people(chat, "Ann", "Bob", "Cy") as (ann, bob, cy):
        ann.send("hello ✓ <b>")
        assert heard(bob) == heard(cy) == "Ann: hello ✓ <b>"
        bob.send("")
        assert heard(ann) == heard(cy) == "Bob: "


def test_nobody_can_speak_as_another_or_as_the_chat(chat: Chat) -> None:
    with people(chat, "Ann", "Bob") as (ann, bob):
        ann.send("one\n* Cy has joined.\nCy: hello")
        assert [heard(bob) for _line in range(3)] == [
            "Ann: one",
            "Ann: * Cy has joined.",
            "Ann: Cy: hello",
        ]


def test_a_message_of_the_greatest_length(chat: Chat) -> None:
    with people(chat, "Ann", "Bob") as (ann, bob):
        ann.send("😀" * MOST_CHARACTERS)
        assert heard(bob) == "Ann: " + "😀" * MOST_CHARACTERS


def test_a_message_that_is_too_long(chat: Chat) -> None:
    with people(chat, "Ann", "Bob") as (ann, bob):
        ann.send("x" * (MOST_CHARACTERS + 1))
        assert heard(ann) == "* A message has at most 4000 characters."
        ann.send("short")
        assert heard(bob) == "Ann: short"


def test_what_one_says_and_leaves_is_not_lost(chat: Chat) -> None:
    with people(chat, "Ann") as (ann,):
        with chat.enter("Bob") as bob:
            for number in range(30):
                bob.send(str(number))
        expected = [f"Bob: {number}" for number in range(30)]
        assert [heard(ann) for _message in range(32)] == [
            "* Bob has joined.",
            *expected,
            "* Bob has left.",
        ]


def test_many_get_all_that_the_others_say_once_and_in_order(chat: Chat) -> None:
    names = [f"Member {number}" for number in range(PEOPLE)]

    async def speak(member: AsyncConnection) -> None:
        for number in range(EACH):
            await member.send(str(number))

    async def listen(member: AsyncConnection) -> dict[str, list[str]]:
        said: dict[str, list[str]] = {}
        while sum(map(len, said.values())) < (PEOPLE - 1) * EACH:
            message = str(await asyncio.wait_for(member.recv(), SECONDS))
            if not message.startswith("* "):
                sender, _colon, text = message.partition(": ")
                said.setdefault(sender, []).append(text)
        return said

    async def talk() -> list[dict[str, list[str]]]:
        async with AsyncExitStack() as stack:
            # A welcome is of who is there, whom messages then reach.
            all_ = [await entered(stack, chat, name) for name in names]
            for member in all_:
                assert str(await member.recv()).startswith("* Welcome.")
            await asyncio.gather(*map(speak, all_))
            return await asyncio.gather(*map(listen, all_))

    for name, said in zip(names, asyncio.run(talk()), strict=True):
        assert said == {other: ["0", "1", "2", "3"] for other in names if other != name}


# --- members who fail ---


def test_a_member_who_is_killed_is_nobodys_loss(chat: Chat) -> None:
    with people(chat, "Ann", "Bob", "Cy") as (ann, bob, cy):
        os.kill(chat.process("Cy"), signal.SIGKILL)
        assert rest(cy) == []
        ann.send("one")
        assert heard(bob) == "Ann: one"
        assert members(chat) == {"Ann", "Bob", "Cy"}
        with chat.enter("Dee") as dee:
            assert heard(dee) == "* Welcome. Here are: Ann, Bob."
            assert members(chat) == {"Ann", "Bob", "Dee"}
        with chat.enter("Cy") as again:
            assert heard(again).startswith("* Welcome.")


def test_a_member_who_is_stopped_does_not_hold_the_others_up_for_long(chat: Chat) -> None:
    with people(chat, "Ann", "Bob", "Cy") as (ann, bob, cy):
        pid = chat.process("Cy")
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            for number in range(600):
                ann.send(f"{number} ".ljust(MOST_CHARACTERS, "x"))
            for number in range(600):
                assert heard(bob).startswith(f"Ann: {number} ")
            assert time.monotonic() - started < 10
        finally:
            os.kill(pid, signal.SIGCONT)
        assert heard(cy).startswith("Ann: 0 ")
        # It has missed the most, but not what is said once it has caught up.
        while not heard(cy).startswith("Ann: last"):
            ann.send("last")


# --- the folder ---


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({}, "RuntimeError: set CHAT_DIR to a folder for the members' sockets"),
        ({"CHAT_DIR": "/no/such"}, "FileNotFoundError: [Errno 2] No such file or directory: "),
    ],
)
def test_without_a_folder_there_is_a_line_in_the_log(
    cgi_bin: Path, variables: dict[str, str], line: str
) -> None:
    done = subprocess.run(
        [cgi_bin / "websocket_chat"],
        env=SESSION | {"SCRIPT_NAME": "/chat", "QUERY_STRING": "name=Ann"} | variables,
        input="",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"nativecgi: GET /chat: {line}")


# --- the page ---


def test_a_plain_request_is_answered_with_the_page() -> None:
    assert str(page(Request({})).body).startswith("<!DOCTYPE html>")
