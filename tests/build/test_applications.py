"""Flask and Django projects as people have them, each made a program by one command."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi.testing import Client

FLASK = {
    "requirements.txt": "flask==3.1.3\npython-dotenv==1.2.3\n",
    ".env": "SECRET_KEY=only-the-builder-knows\nFLASK_TITLE=Not this\n",
    "shop/__init__.py": """\
import os

from dotenv import load_dotenv
from flask import Flask

load_dotenv()


def create_app():
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
    app.config.from_prefixed_env()

    from .pages import pages

    app.register_blueprint(pages)
    return app
""",
    "shop/pages.py": """\
from flask import Blueprint, current_app, render_template, session

pages = Blueprint("pages", __name__, url_prefix="/visits")


@pages.route("/")
def index():
    session["visits"] = session.get("visits", 0) + 1
    return render_template("index.html", title=current_app.config["TITLE"], **session)
""",
    "shop/templates/index.html": "<link href={{ url_for('static', filename='a.css') }}>\n"
    "<h1>{{ title }}</h1> {{ visits }}\n",
    "shop/static/a.css": "h1 { color: red }\n",
}
# While DEBUG is set, Django answers to that name alone.
LOCAL = {"HTTP_HOST": "localhost"}
SERVER = {"SECRET_KEY": "the server's", "FLASK_TITLE": "The shop"}


@pytest.fixture(scope="module")
def nativecgi(builder: Path) -> list[str]:
    """The command."""
    return [str(builder), "-m", "nativecgi_build"]


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture(scope="module")
def shop(nativecgi: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The Flask project's program, and what its build said."""
    folder = made(tmp_path_factory.mktemp("flask"), FLASK)
    command = [*nativecgi, "build", "--wsgi", "shop:create_app()", "--try", "/visits/"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "dist" / "shop", result.stdout


def test_a_flask_project_with_a_factory_answers(shop: tuple[Path, str]) -> None:
    client = Client(shop[0], env=SERVER)
    page = client.get("/visits/")
    assert "<h1>The shop</h1> 1" in page.text
    assert "<h1>The shop</h1> 2" in client.get("/visits/").text
    address = re.search("href=(.*)>", page.text)
    assert address is not None
    assert Client(shop[0], env=SERVER).get("/static/a.css").text == "h1 { color: red }\n"


def test_what_the_file_of_settings_says_is_not_in_the_program(shop: tuple[Path, str]) -> None:
    content = shop[0].read_bytes()
    assert b"only-the-builder-knows" not in content
    assert b"Not this" not in content


def test_the_build_says_what_the_server_has_to_set(shop: tuple[Path, str]) -> None:
    text = " ".join(shop[1].split())
    assert "FLASK_TITLE (shop/__init__.py:6)" in text
    assert "SECRET_KEY (shop/__init__.py:" in text


def test_without_a_variable_the_answer_is_500_and_the_log_says_why(shop: tuple[Path, str]) -> None:
    answer = Client(shop[0]).get("/visits/")
    assert answer.status == 500
    assert "KeyError: 'SECRET_KEY'" in answer.log
    assert "SECRET_KEY" not in answer.text


@pytest.fixture(scope="module")
def site(nativecgi: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project by django-admin, with a database and its program; the project's folder."""
    folder = tmp_path_factory.mktemp("django")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "django==5.2.19"], check=True)
    project = folder / "mysite"
    project.mkdir()
    start = ["-m", "django", "startproject", "mysite", str(project)]
    subprocess.run([python, *start], check=True)
    (project / "requirements.txt").write_text("django==5.2.19\n")
    admin = {"DJANGO_SUPERUSER_PASSWORD": "secret", "PATH": os.defpath}
    create = "createsuperuser --noinput --username ann --email ann@example.org"
    for words in ("migrate", create):
        manage = [python, "manage.py", *words.split()]
        subprocess.run(manage, cwd=project, env=admin, check=True, capture_output=True)
    command = [*nativecgi, "build", "--wsgi", "mysite.wsgi:application", "--try", "/"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return project


def test_a_django_project_answers(site: Path) -> None:
    answer = Client(site / "dist" / "mysite", env=LOCAL).get("/")
    assert (answer.status, "The install worked" in answer.text) == (200, True)


def test_a_django_project_keeps_its_database_where_the_server_says(
    site: Path, tmp_path: Path
) -> None:
    shutil.copy(site / "db.sqlite3", tmp_path)
    client = Client(site / "dist" / "mysite", env={**LOCAL, "NATIVECGI_FOLDER": str(tmp_path)})
    page = client.get("/admin/login/")
    token = re.search('name="csrfmiddlewaretoken" value="(.*?)"', page.text)
    assert token is not None, page.log
    form = {"username": "ann", "password": "secret", "csrfmiddlewaretoken": token[1]}
    assert client.post("/admin/login/", form=form).status == 302
    assert "ann" in client.get("/admin/").text


API = {
    "pyproject.toml": """\
[tool.nativecgi]
asgi = { api = "main:make()" }
warmup = ["/"]
limits = { max_seconds = 1 }
""",
    "src/main.py": """\
import asyncio


def make():
    async def app(scope, receive, send):
        if scope["path"].endswith("/slow"):
            await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    return app
""",
}


def test_a_project_may_name_an_asgi_application_with_its_warm_up_and_limits(
    nativecgi: list[str], tmp_path: Path
) -> None:
    folder = made(tmp_path / "project", API)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = subprocess.run(
        [*nativecgi, "build", "--fast"],
        cwd=folder,
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    client = Client(folder / "dist" / "api")
    assert client.get("/a").text.endswith("/a")
    assert client.get("/slow").status == 504


def test_a_variable_that_is_missing_at_the_build_is_an_error_that_names_it(
    nativecgi: list[str], tmp_path: Path
) -> None:
    source = "import os\nKEY = os.environ['SHOP_KEY']\ndef application(*_): ...\n"
    folder = made(tmp_path, {"wsgi.py": source})
    command = [*nativecgi, "build", "--wsgi", "wsgi", "--fast"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "KeyError: 'SHOP_KEY'" in result.stderr
