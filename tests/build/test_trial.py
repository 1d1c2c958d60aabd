"""Which requests the memory of a program is laid out for."""

from pathlib import Path

from nativecgi_build.build.app import SCRIPT_TRIAL, TRIAL, App
from nativecgi_build.build.trial import others_of
from nativecgi_build.freezer import Trial

APP = App("app", Path("app.py"))
SCRIPT = App("script", Path("script.cgi"), is_script=True)
GET = {**TRIAL, "REQUEST_METHOD": "GET", "PATH_INFO": "/page", "QUERY_STRING": "a=b"}


def test_the_rest_of_its_warm_up() -> None:
    post = Trial({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "3"}, b"c=d")
    first = others_of(APP, GET, [post])[0]
    assert first == Trial({**GET, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "3"}, b"c=d")


def test_the_head_of_a_page() -> None:
    assert Trial({**GET, "REQUEST_METHOD": "HEAD"}) in others_of(APP, GET, [])


def test_a_page_that_is_not_there_has_no_effects() -> None:
    *_others, nowhere = others_of(APP, GET, [])
    assert nowhere.environment["REQUEST_METHOD"] == "HEAD"
    assert nowhere.environment["PATH_INFO"] not in (GET["PATH_INFO"], "/")
    assert nowhere.environment["QUERY_STRING"] == ""


def test_none_is_the_trial_once_more() -> None:
    assert len(others_of(APP, TRIAL, [])) == 1


def test_a_script_is_asked_for_nothing_else() -> None:
    assert others_of(SCRIPT, SCRIPT_TRIAL, []) == []
