from app_name import handle

from nativecgi.testing import Client


def test_it_greets_the_world() -> None:
    assert Client(handle).get("/").text == "Hello world\n"


def test_it_greets_whoever_the_path_names() -> None:
    assert Client(handle).get("/Ann").text == "Hello Ann\n"


def test_other_pages_are_not_found() -> None:
    assert Client(handle).get("/a/b").status == 404
