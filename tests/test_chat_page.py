"""The page of apps/websocket_chat.py in Chromium, served by websocketd as the chat itself."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import websocketd
from servers.server import Server
from tests.browser import Browser, Page, browsing
from tests.gateways.test_websocket import await_that
from tests.test_servers import descendants


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.fixture
def server(cgi_bin: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="chat-page-") as name:
        programs, folder = Path(name, "programs"), Path(name, "folder")
        for path in (Path(name), programs, folder):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        shutil.copy2(cgi_bin / "websocket_chat", programs)
        environment = {"CHAT_DIR": str(folder)}
        with websocketd.serving(programs, environment=environment, cgi_bin=programs) as running:
            yield running


@pytest.fixture
def pages(browser: Browser, server: Server) -> tuple[Page, Page]:
    """The chat in two windows."""
    one, other = (browser.page(f"{server.url}/websocket_chat") for _window in range(2))
    return one, other


def await_last(page: Page, kind: str, text: str) -> None:
    """Wait until this is the last line that is shown."""
    last = "document.getElementById('said').lastElementChild"
    page.await_that(f"{last}.className === '{kind}' && {last}.innerText === {json.dumps(text)}")


def await_asked(page: Page, label: str) -> None:
    """Wait until this is what the page asks for."""
    page.await_that(f"document.activeElement.placeholder === '{label}'")


def join(page: Page, name: str) -> None:
    page.show()
    await_asked(page, "Your name")
    page.write(name)
    await_asked(page, "Your message")


def test_what_one_says_is_seen_in_the_other_window(pages: tuple[Page, Page]) -> None:
    ann, bob = pages
    join(ann, "Ann")
    await_last(ann, "notice", "Welcome. You are alone here.")
    join(bob, "Bob")
    await_last(bob, "notice", "Welcome. Here are: Ann.")
    await_last(ann, "notice", "Bob has joined.")
    ann.write("Hello: Bob ✓")
    await_last(ann, "own", "Hello: Bob ✓")
    await_last(bob, "other", "Ann\nHello: Bob ✓")
    bob.write("* Cy has joined.")
    await_last(ann, "other", "Bob\n* Cy has joined.")


def test_a_message_that_looks_like_html_is_shown_as_it_is(pages: tuple[Page, Page]) -> None:
    ann, bob = pages
    join(ann, "Ann")
    join(bob, "Bob")
    text = "<img src=x onerror='document.title = 1'><b>&amp;</b>"
    ann.write(text)
    await_last(bob, "other", f"Ann\n{text}")
    for page in pages:
        assert page.value("document.images.length") == 0
        assert page.value("document.title") == "Chat"


def test_a_name_that_is_taken_can_be_changed(pages: tuple[Page, Page]) -> None:
    ann, second = pages
    join(ann, "Ann")
    second.show()
    await_asked(second, "Your name")
    second.write("Ann")
    await_last(second, "notice", "There is someone called Ann already.")
    assert second.value("input.value") == "Ann"
    second.await_that("chat === null")
    second.value("input.select()")
    join(second, "Bob")
    await_last(second, "notice", "Welcome. Here are: Ann.")


def test_who_closes_the_window_has_left(pages: tuple[Page, Page], server: Server) -> None:
    ann, bob = pages
    join(ann, "Ann")
    join(bob, "Bob")
    bob.call("Page.close")
    await_last(ann, "notice", "Bob has left.")
    ann.call("Page.close")
    await_that(lambda: not descendants(server.pid))


def test_who_goes_to_another_page_has_left(pages: tuple[Page, Page]) -> None:
    ann, bob = pages
    join(ann, "Ann")
    join(bob, "Bob")
    bob.open("about:blank")
    await_last(ann, "notice", "Bob has left.")


def test_a_connection_that_ends_can_be_made_again(pages: tuple[Page, Page]) -> None:
    ann, _other = pages
    join(ann, "Ann")
    ann.value("chat.close()")
    await_last(ann, "notice", "The connection has ended.")
    join(ann, "Ann")
    await_last(ann, "notice", "Welcome. You are alone here.")
