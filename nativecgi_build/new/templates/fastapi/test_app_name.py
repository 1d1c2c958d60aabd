from app_name import app

from nativecgi.asgi import from_asgi
from nativecgi.testing import Client

client = Client(from_asgi(app))


def test_it_greets_the_world() -> None:
    assert client.get("/").json() == {"hello": "world"}


def test_it_greets_whoever_the_path_names() -> None:
    assert client.get("/Ann").json() == {"hello": "Ann"}


def test_other_pages_are_not_found() -> None:
    assert client.get("/a/b").status == 404
