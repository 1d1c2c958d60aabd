from app_name.wsgi import application

from nativecgi import from_wsgi
from nativecgi.testing import Client

client = Client(from_wsgi(application), env={"HTTP_HOST": "localhost"})


def test_it_greets_the_world() -> None:
    assert "<h1>Hello world</h1>" in client.get("/").text


def test_links_lead_below_the_program() -> None:
    assert 'href="/cgi-bin/program/Ann"' in client.get("/").text


def test_other_hosts_are_refused() -> None:
    assert client.get("/", env={"HTTP_HOST": "evil.example"}).status == 400


def test_other_pages_are_not_found() -> None:
    assert client.get("/a/b").status == 404
