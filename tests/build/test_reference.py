"""Applications that exist, by the names that application servers know them by."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nativecgi_build.build import variables
from nativecgi_build.scripts.reference import BadReference, entry, parsed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a module, a package, and a package below src/."""
    for name in ("wsgi.py", "shop/__init__.py", "shop/main.py", "src/deep/__init__.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "file", "program"),
    [
        ("wsgi:application", "wsgi.py", ""),
        ("wsgi", "wsgi.py", ""),
        ("shop:create_app()", "shop/__init__.py", "shop"),
        ("shop.main:make('production', debug=False)", "shop/main.py", "shop"),
        ("deep:app", "src/deep/__init__.py", "deep"),
    ],
)
def test_an_application_is_a_name_in_a_module_or_a_call_of_it(
    project: Path, text: str, file: str, program: str
) -> None:
    found = parsed("wsgi", text, project)
    assert found.source == project / file
    assert found.program == (program or project.name)


def test_a_program_is_called_as_somebody_says(project: Path) -> None:
    assert parsed("wsgi", "wsgi:app", project, "store").program == "store"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonesuch:app", "there is no module 'nonesuch'"),
        ("../wsgi:app", "names no application\nwrite MODULE:ATTRIBUTE"),
        ("wsgi:make(open('/etc/passwd'))", "names no application\nwrite the name"),
        ("wsgi:a.b", "names no application\nwrite the name"),
        ("wsgi:app; import os", "names no application\nwrite the name"),
    ],
)
def test_what_names_no_application_is_refused(project: Path, text: str, reason: str) -> None:
    with pytest.raises(BadReference, match=reason):
        parsed("wsgi", text, project)


@pytest.mark.parametrize("is_late", [False, True])
def test_the_entry_answers_as_plain_python(project: Path, is_late: bool) -> None:
    (project / "wsgi.py").write_text(
        "def make(word):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "        return [word.encode()]\n"
        "    return app\n"
    )
    reference = parsed("wsgi", "wsgi:make('Hi')", project)
    text = entry(reference, is_late=is_late, modules=["json"], warmup=["/"], limits={})
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(project)!r})\n{text}"],
        env={"REQUEST_METHOD": "GET"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("Status: 200 OK")
    assert result.stdout.endswith("\nHi")


def test_limits_are_in_force_in_the_entry(project: Path) -> None:
    (project / "wsgi.py").write_text(
        "import time\ndef app(environ, start_response):\n    time.sleep(60)\n"
    )
    reference = parsed("wsgi", "wsgi:app", project)
    limits = {"max_seconds": 1}
    text = entry(reference, is_late=False, modules=[], warmup=[], limits=limits)
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(project)!r})\n{text}"],
        env={"REQUEST_METHOD": "GET"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("Status: 504 ")


# --- which variables an application reads ---


def read_by(folder: Path, code: str) -> dict[str, str]:
    """What is noted of a project whose module `settings` has this code."""
    (folder / "settings.py").write_text(code)
    program = (
        f"import runpy; read = runpy.run_path({variables.__file__!r})['watch']({str(folder)!r})\n"
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "import json, settings; print(json.dumps(read()))"
    )
    output = subprocess.check_output([sys.executable, "-c", program], env={"A": "1"}, text=True)
    found: dict[str, str] = json.loads(output)
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.environ['A']",
        "import os; os.environ.get('A')",
        "import os; os.getenv('A')",
        "import os; 'A' in os.environ",
        "from os import environ; environ.setdefault('A', '2')",
    ],
)
def test_what_the_project_reads_is_noted(tmp_path: Path, code: str) -> None:
    assert read_by(tmp_path, code) == {"A": "settings.py:1"}


def test_what_a_file_puts_into_the_environment_is_noted(tmp_path: Path) -> None:
    reader = tmp_path / "lib" / "site-packages" / "dotenv.py"
    reader.parent.mkdir(parents=True)
    reader.write_text("import os\ndef load_dotenv():\n    os.environ['B'] = os.environ['A']\n")
    code = f"import sys; sys.path.insert(0, {str(reader.parent)!r})\n"
    found = read_by(tmp_path, code + "from dotenv import load_dotenv\n\nload_dotenv()\n")
    assert found == {"B": "settings.py:4"}


def test_what_libraries_read_and_what_the_project_sets_is_not_noted(tmp_path: Path) -> None:
    code = "import os, tempfile\nos.environ['B'] = '1'\ntempfile.gettempdir()\n"
    assert read_by(tmp_path, code) == {}
