from pathlib import Path

from nativecgi.testing import Client

client = Client(Path(__file__).with_name("app_name.cgi"))


def test_it_greets_the_world() -> None:
    assert "<h1>Hello world</h1>" in client.get("/").text


def test_names_are_escaped() -> None:
    assert "<h1>Hello &lt;b&gt;</h1>" in client.get("/", query={"name": "<b>"}).text
