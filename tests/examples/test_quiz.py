"""A Bottle application with templates, files and a signed cookie, as one file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nativecgi.testing import Client

NAME = "quiz"
SOURCE = Path(__file__).parents[2] / "examples" / NAME
RIGHT = ["cgi", "418", "Allow"]


@pytest.fixture
def quiz(visit: Callable[..., Client], served: Path) -> Client:
    key = served / "key"
    key.write_bytes(os.urandom(16))
    key.chmod(0o644)
    return visit(NAME, QUIZ_KEY=str(key))


def answer(quiz: Client, number: int, words: str) -> int:
    return quiz.post("/", form={"number": str(number), "answer": words}).status


def test_templates_and_data_are_in_the_file(quiz: Client) -> None:
    page = quiz.get("/")
    assert (page.status, page.log) == (200, "")
    assert "<h1>Question 1 of 3</h1>" in page.text
    assert "<p>Which protocol is in RFC 3875?</p>" in page.text


def test_what_a_template_is_given_is_escaped(quiz: Client) -> None:
    answer(quiz, 1, "CGI")
    answer(quiz, 2, "418")
    assert "&lt;Allow&gt; or &lt;Accept&gt;" in quiz.get("/").text


def test_static_files_are_in_the_file(quiz: Client) -> None:
    found = quiz.get("/static/quiz.css")
    assert (found.status, found.body) == (200, (SOURCE / "static" / "quiz.css").read_bytes())
    assert found.headers["content-type"] == "text/css; charset=UTF-8"
    tag = found.headers["etag"]
    assert quiz.get("/static/quiz.css", headers={"If-None-Match": tag}).status == 304
    part = quiz.get("/static/quiz.css", headers={"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, b"body")
    assert quiz.get("/static/nonesuch.css").status == 404


def test_addresses_begin_with_the_programs_own(quiz: Client) -> None:
    page = quiz.get("/").text
    action = page.partition('<form method="post" action="')[2].partition('"')[0]
    assert action in ("/cgi-bin/program/", f"/cgi-bin/{NAME}/")
    sent = quiz.post("/", form={"number": "1", "answer": "CGI"})
    assert sent.status == 303
    assert sent.headers["location"].endswith(action)


def test_the_answers_are_in_a_cookie(quiz: Client) -> None:
    for number, words in enumerate(RIGHT, 1):
        assert answer(quiz, number, words) == 303
    assert '<p class="score">3 of 3 right</p>' in quiz.get("/").text
    quiz.post("/again")
    assert "Question 1 of 3" in quiz.get("/").text


def test_a_wrong_answer_counts_as_such(quiz: Client) -> None:
    for number, words in enumerate(["FastCGI", *RIGHT[1:]], 1):
        answer(quiz, number, words)
    assert '<p class="score">2 of 3 right</p>' in quiz.get("/").text


def test_an_answer_that_comes_twice_counts_once(quiz: Client) -> None:
    answer(quiz, 1, "CGI")
    assert answer(quiz, 1, "CGI") == 303
    assert "Question 2 of 3" in quiz.get("/").text


def test_an_answer_without_words_is_refused(quiz: Client) -> None:
    assert answer(quiz, 1, " ") == 400


def test_a_cookie_that_was_changed_counts_for_nothing(quiz: Client) -> None:
    answer(quiz, 1, "FastCGI")
    signature, _mark, content = quiz.cookies["answers"].strip('"').partition("?")
    assert "Question 2 of 3" in quiz.get("/").text
    quiz.cookies["answers"] = f'"{signature[:-2]}AA?{content}"'
    assert "Question 1 of 3" in quiz.get("/").text


def test_another_key_ends_a_session(quiz: Client, served: Path) -> None:
    answer(quiz, 1, "CGI")
    (served / "key").write_bytes(os.urandom(16))
    assert "Question 1 of 3" in quiz.get("/").text
