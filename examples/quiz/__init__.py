"""A quiz in Bottle: one question after the other, and what was answered in a signed cookie.

QUIZ_KEY is the path of a file with the key that signs it.
"""

import json
import os
from pathlib import Path

from bottle import Bottle, HTTPResponse, abort, redirect, request, response, static_file, template

FOLDER = Path(__file__).parent
TEMPLATES = [str(FOLDER / "templates")]
QUESTIONS: list[dict[str, str]] = json.loads((FOLDER / "questions.json").read_text())
# In the cookie is a letter for each question that has been answered.
RIGHT, WRONG = "r", "w"

app = Bottle()


def key() -> bytes:
    """Each server has its own key, which is not in the program's file."""
    return Path(os.environ["QUIZ_KEY"]).read_bytes()


def answers() -> str:
    if "answers" not in request.cookies:
        return ""
    return request.get_cookie("answers", "", secret=key())


@app.get("/", name="page")
def page() -> str:
    given = answers()
    parts = {"url": app.get_url, "right": given.count(RIGHT), "count": len(QUESTIONS)}
    if len(given) >= len(QUESTIONS):
        return template("result.html", parts, template_lookup=TEMPLATES)
    question = QUESTIONS[len(given)]["question"]
    parts |= {"number": len(given) + 1, "question": question}
    return template("question.html", parts, template_lookup=TEMPLATES)


@app.post("/", name="answer")
def answer() -> None:
    given = answers()
    # A page that is sent again, or from another window, is about a question already answered.
    if request.forms.number == str(len(given) + 1) and len(given) < len(QUESTIONS):
        if not (words := request.forms.answer.strip()):
            abort(400, "An answer needs words.")
        is_right = words.casefold() == QUESTIONS[len(given)]["answer"].casefold()
        keep(given + (RIGHT if is_right else WRONG))
    redirect(app.get_url("page"), 303)


@app.post("/again", name="again")
def again() -> None:
    keep("")
    redirect(app.get_url("page"), 303)


@app.get("/static/<path:path>", name="static")
def static(path: str) -> HTTPResponse:
    return static_file(path, root=str(FOLDER / "static"))


def keep(given: str) -> None:
    path = app.get_url("page")
    response.set_cookie("answers", given, secret=key(), path=path, httponly=True, samesite="lax")
