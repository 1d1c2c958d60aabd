from app_name import app

from nativecgi import from_wsgi
from nativecgi.testing import Client

client = Client(from_wsgi(app))


def test_it_greets_the_world() -> None:
    assert "<h1>Hello world</h1>" in client.get("/").text


def test_names_are_escaped() -> None:
    assert "<h1>Hello &lt;b&gt;</h1>" in client.get("/%3Cb%3E").text


def test_other_pages_are_not_found() -> None:
    assert client.get("/a/b").status == 404
