"""cgiscript.py: where a script is frozen, and that its copy is the same program."""

import ast
import sysconfig
from pathlib import Path

import pytest

from nativecgi_build.scripts import cgiscript

# Of many a style, from tabs to form feeds; some are not in every Python.
STANDARD = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-s]*.py"))[::5]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.cgi"


def frozen_at(script: Path, source: str) -> int:
    """The first statement's number, from 1, that each process runs by itself.

    Statements are lines here, and between them is an empty one.
    """
    script.write_text("#!/usr/bin/python3\n" + source.replace("\n", "\n\n"))
    return cgiscript.freezable(script).line // 2 + 1


@pytest.mark.parametrize(
    "statement",
    [
        "import os, sys",
        "from cgi import *",
        "from sys import argv, exit",
        "'a docstring'",
        "pass",
        "A = 1",
        "A, B = 1, -2",
        "A = B = ['a', ('b', None), {1: 2, **{}}, {3}]",
        "A = 'a' * 3 + 'b' % ()",
        "A: int = 1",
        "A: int",
        "A = 'a'; A += 'b'; B = f'{A}'",
        "A = re.compile(r'^a$', flags=0)",
        "A = 'a b c'.split()",
        "A = dict(a=1)",
        "A = lambda: os.environ",
        "def f(a, b=1, *c, d: dict[str, int] = None, **e) -> None: print(os.environ)",
        "async def f(): pass",
        "class A: pass",
        "class A(cgi.FieldStorage, object): 'a docstring'; a = 1; f = lambda self: print()",
        "if TYPE_CHECKING: 1 / 0",
        "if typing.TYPE_CHECKING: pass",
        "cgitb.enable()",
        "cgitb.enable(display=0, logdir='/tmp')",
    ],
)
def test_what_is_the_same_for_every_request_comes_before(script: Path, statement: str) -> None:
    assert frozen_at(script, f"{statement}\nprint()\n") == 2


def test_an_import_may_be_tried(script: Path) -> None:
    script.write_text("""\
try:
    import json
except (ImportError, cgi.Error) as e:
    json = None
else:
    pass

@staticmethod
def f(): pass

print()
""")
    assert cgiscript.freezable(script).line == 10


@pytest.mark.parametrize(
    "statement",
    [
        "print('Content-Type: text/html')",
        "form = cgi.FieldStorage()",
        "A = os.environ['HOME']",
        "A = os.environ",
        "A = environ",
        "A = '%(HOME)s' % environ",
        "A = f'{environ}'",
        "A = 'HTTPS' in environ",
        "A = environ.get('HOME')",
        "A = time.time()",
        "A = open('file')",
        "A = [open(name) for name in ('a', 'b')]",
        "A = (1, *argv)",
        "A = re.compile(os.environ['PATTERN'])",
        "A.b = 1",
        "a[1] = 2",
        "A += 'b'",
        "A: int = f()",
        "from sys import stdout",
        "from sys import *",
        "os.umask(0)",
        "sys.path.insert(0, argv[1])",
        "sys.path.remove('lib')",
        "os.environ['HOME'] = home()",
        "A = os.path.join(__file__, environ['X'])",
        "A = os.listdir(os.path.dirname(__file__))",
        "A = __file__ + time.strftime('%Y')",
        "if os.path.exists('lib'): sys.path.insert(0, 'lib')",
        "if 'lib' not in sys.path: print()",
        "cgitb.enable(logdir=os.environ['LOGS'])",
        "def f(now=time.time()): pass",
        "def f(*, out=sys.stdout): pass",
        "def f(a: g()): pass",
        "class A: now = time.time()",
        "class A(namedtuple('B', 'c d')): pass",
        "class A(metaclass=Registry): pass",
        "if __name__ == '__main__': main()",
        "if DEBUG: pass",
        "for name in (): pass",
        "while 0: pass",
        "with lock: pass",
        "global a",
        "assert a",
        "del a",
        "lambda: print()",
    ],
)
def test_what_may_have_to_do_with_the_request_comes_after(script: Path, statement: str) -> None:
    assert frozen_at(script, f"import os\n{statement}\nimport sys\n") == 2


@pytest.mark.parametrize(
    "source",
    [
        "@register\ndef f(): pass\n",
        "try:\n    import json\nexcept ImportError:\n    print()\n",
        "try:\n    import json\nexcept kinds():\n    pass\n",
        "if TYPE_CHECKING:\n    pass\nelse:\n    print()\n",
    ],
)
def test_what_may_have_to_do_with_the_request_in_some_lines(script: Path, source: str) -> None:
    script.write_text(f"import os\n\n{source}\n\n")
    assert cgiscript.freezable(script).line == 2


# --- settings ---


@pytest.mark.parametrize(
    "statement",
    [
        "sys.path.insert(0, 'lib')",
        "sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))",
        "sys.path[0:0] = ['a', 'b']",
        "sys.path = ['a'] + sys.path",
        "sys.path += ['a']",
        "site.addsitedir('/home/ann/site-packages')",
        "A = os.path.dirname(__file__); sys.path.insert(0, A)",
        "A = Path(__file__).resolve().parent.parent / 'lib'; sys.path.insert(0, str(A))",
        "A = 'lib'; sys.path.insert(0, A)",
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
        "os.environ['TRAC_ENV'] = '/srv/trac'",
        "os.environ['EGGS'] = os.path.dirname(__file__) + '/eggs'",
        "os.environ.update({'A': 'b'}, C='d')",
        "if 'lib' not in sys.path: sys.path.insert(0, 'lib')",
        "for A in ('a', 'b'): sys.path.append(A)",
    ],
)
def test_settings_run_at_the_build_and_in_each_process(script: Path, statement: str) -> None:
    script.write_text(f"import os, sys\n{statement}\nimport app\n\nprint()\n")
    copy = cgiscript.freezable(script)
    assert copy.line == 4
    assert settings_of(copy.source) == ast.unparse(ast.parse(statement)).replace("A = 'lib'\n", "")


def test_only_the_settings_above_the_freeze_point_are_set_again(script: Path) -> None:
    script.write_text("\nimport sys\nsys.path.append('a')\n\nsys.path.append('b')\nprint()\n")
    assert settings_of(cgiscript.freezable(script).source) == "sys.path.append('a')"


def test_what_is_made_from_a_path_is_a_process_s_own(script: Path) -> None:
    """It differs from the build's: the program lies elsewhere."""
    assert frozen_at(script, "A = dirname(__file__)\ndef f(a=A): pass\nB = 1\n") == 2


def settings_of(source: str) -> str | None:
    """What each process is told to run first."""
    (call,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".process", ".answer"))
    )
    return next((ast.literal_eval(it.value) for it in call.keywords if it.arg == "settings"), None)


def test_what_is_imported_below_the_freeze_point_is_told(script: Path) -> None:
    script.write_text("import app\n\nprint()\n@f\ndef g():\n    import json, trac.web\n")
    copy = cgiscript.freezable(script)
    assert (copy.below, copy.late) == (3, ("trac.web",))
    copy = cgiscript.freezable(script, modules=["trac.web"])
    assert copy.late == ()
    assert "process(globals(), 'json', 'trac.web'" in copy.source


# --- scripts that run a WSGI application ---


@pytest.mark.parametrize(
    ("last", "application"),
    [
        ("CGIHandler().run(app)", "app"),
        ("wsgiref.handlers.CGIHandler().run(app)", "app"),
        ("if __name__ == '__main__':\n    CGIHandler().run(app)", "app"),
        ("CGIHandler().run(get_wsgi_application())", "get_wsgi_application()"),
        ("CGIHandler().run(\n  Zoë(app, 'ä',\n  1))  # run", "Zoë(app, 'ä', 1)"),
        ("from flup.server.cgi import WSGIServer\nWSGIServer(app).run()", "app"),
        ("from flup.server.fcgi import WSGIServer as S, WSGIServer\nWSGIServer(app).run()", "app"),
        ("bottle.run(server='cgi')", "__import__('bottle').default_app()"),
        ("run(server='cgi')", "__import__('bottle').default_app()"),
        ("run(app, server='cgi', quiet=True)", "app"),
        ("app.run(server='cgi')", "app"),
    ],
)
def test_a_wsgi_application_is_made_at_the_build(script: Path, last: str, application: str) -> None:
    script.write_text(f"from app import app\n{last}\n", encoding="utf-8")
    copy = cgiscript.freezable(script, warmup=["/"])
    (call,) = (
        node
        for node in ast.walk(ast.parse(copy.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".answer")
    )
    assert copy.is_wsgi
    assert ast.unparse(call.args[0]) == application
    given = {it.arg: ast.literal_eval(it.value) for it in call.keywords}
    assert given == {"warmup": ["/"], "source": script.read_text(encoding="utf-8")}
    lines = script.read_text(encoding="utf-8").splitlines()
    assert "run(" in lines[copy.line - 1]


@pytest.mark.parametrize(
    "statement",
    [
        "app = Flask(__name__)",
        "app = create_app(debug=False)",
        "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)",
        "app.config['KEY'] = 'value'",
        "app.register_blueprint(shop)",
        "@app.route('/')\ndef home(): return open('x').read()",
        "class Item(db.Model): id = db.Column(db.Integer)",
        "class Fix:\n def __init__(self, app): self.app = app\n"
        " def __call__(self, environ, start): environ['SCRIPT_NAME'] = ''\napp = Fix(app)",
        "def make(): return Flask(__name__)\napp = make()",
        "for rule in RULES: app.add_url_rule(rule)",
        "import sys\nsys.path.insert(0, 'lib')",
        "django.setup()",
    ],
)
def test_what_makes_an_application_may_run_at_the_build(script: Path, statement: str) -> None:
    script.write_text(f"import app\n{statement}\nCGIHandler().run(app)\n")
    assert cgiscript.freezable(script).is_wsgi


@pytest.mark.parametrize(
    "statement",
    [
        "app.secret_key = os.environ['KEY']",
        "app.secret_key = os.getenv('KEY')",
        "app.secret_key = os.urandom(16)",
        "app.secret_key = open('key').read()",
        "app.secret_key = Path('key').read_bytes()",
        "app.secret_key = secrets.token_bytes()",
        "app.config.from_envvar('SETTINGS')",
        "app.config['DB'] = os.path.join(os.path.dirname(__file__), 'db')",
        "here = os.path.dirname(__file__)\napp = Flask(__name__, root_path=here)",
        "app.started = datetime.now()",
        "print('Content-Type: text/html')",
        "db = sqlite3.connect('db')",
        "db.create_all()",
        "with app.app_context(): setup()",
        "def make(): return Flask(os.environ['NAME'])\napp = make()",
        "class Key:\n def __init__(self): self.key = open('key')\nkey = Key()",
        "if os.path.exists('debug'): app.debug = True",
        "sys.stdout = sys.stderr",
        "if len(sys.argv) > 1: sys.exit()",
    ],
)
def test_an_application_that_a_process_makes_is_made_there(script: Path, statement: str) -> None:
    script.write_text(f"import app\n\n{statement}\nCGIHandler().run(app)\n")
    copy = cgiscript.freezable(script)
    assert (copy.is_wsgi, copy.line) == (False, 2)
    assert 3 <= copy.obstacle <= 5


@pytest.mark.parametrize(
    "last",
    [
        "CGIHandler().run(app)\nprint()",
        "CGIHandler().run(open('app'))",
        "if DEBUG:\n    CGIHandler().run(app)",
        "if __name__ == '__main__':\n    CGIHandler().run(app)\nelse:\n    pass",
        "Server().run(app)",
        "from wsgiref.simple_server import WSGIServer\nWSGIServer(app).run()",
        "app.run(debug=True)",
        "run(app, server='paste')",
        "CGIHandler().run(app, 1)",
    ],
)
def test_what_is_no_wsgi_application_for_cgi(script: Path, last: str) -> None:
    script.write_text(f"import app\n\n{last}\n")
    copy = cgiscript.freezable(script)
    assert not copy.is_wsgi
    assert bool(copy.obstacle) is (last == "CGIHandler().run(open('app'))")


# --- what is refused ---


@pytest.mark.parametrize(
    "statement",
    [
        "os.execl(python, python, *sys.argv)",
        "os.execv('/opt/venv/bin/python', ['python'] + sys.argv)",
        "os.execle(python, python, __file__, env)",
        "if sys.version_info < (3, 9): os.execvp('python3.9', ['python3.9', *sys.argv])",
    ],
)
def test_a_script_that_starts_itself_by_another_python_is_refused(
    script: Path, statement: str
) -> None:
    script.write_text(f"import os, sys\n\n{statement}\n")
    with pytest.raises(cgiscript.ScriptError, match="line 3 starts the script again"):
        cgiscript.freezable(script)


@pytest.mark.parametrize(
    "statement",
    ["os.execl('/bin/ls', 'ls', folder)", "os.execl(sys.executable, sys.executable, *sys.argv)"],
)
def test_a_script_may_become_another_program(script: Path, statement: str) -> None:
    script.write_text(f"import os, sys\n\n{statement}\n")
    assert cgiscript.freezable(script).line == 2


# --- names ---


def test_a_name_that_is_no_constant_any_more(script: Path) -> None:
    assert frozen_at(script, "A = 1\ndef A(): pass\nB = A\n") == 3


def test_a_function_that_is_a_constant_here_is_not_the_known_one(script: Path) -> None:
    assert frozen_at(script, "re = None\nA = re.compile('a')\n") == 2


def test_it_is_frozen_in_the_last_line_that_can_be_had(script: Path) -> None:
    script.write_text("import os\n# a comment\n\nimport sys\nimport time\nprint()\n")
    copy = cgiscript.freezable(script)
    assert copy.line == 3
    assert copy.source.splitlines()[:5] == [
        "import os",
        "# a comment",
        "with __import__('nativecgi.adapters.script').adapters.script.process("
        "globals(), 'os', 'sys', 'time', "
        f"source={script.read_text()!r}):",
        " import sys",
        " import time",
    ]


def test_the_first_line_will_do(script: Path) -> None:
    script.write_text("#!/usr/bin/python3\nprint()\n")
    assert cgiscript.freezable(script).line == 1


@pytest.mark.parametrize("top", ["", "'a docstring'\n", "from __future__ import annotations\n"])
def test_a_script_without_such_a_line_is_refused(script: Path, top: str) -> None:
    script.write_text(f"{top}print()\nimport os\n")
    line = len(top.splitlines()) + 1
    with pytest.raises(cgiscript.ScriptError, match=f"above line {line}, in a line that is empty"):
        cgiscript.freezable(script)


def test_a_docstring_and_what_is_from_the_future_stay_at_the_top(script: Path) -> None:
    script.write_text("'a docstring'\n\nfrom __future__ import annotations\n\nprint()\n")
    tree = ast.parse(cgiscript.freezable(script).source)
    assert ast.get_docstring(tree) == "a docstring"
    assert isinstance(tree.body[1], ast.ImportFrom)


@pytest.mark.parametrize("source", ["", "\n", "# nothing\n", "import os\n", "def f(): pass"])
def test_a_script_that_does_nothing_is_a_program(script: Path, source: str) -> None:
    script.write_text(source)
    compile(cgiscript.freezable(script).source, "script", "exec")


@pytest.mark.parametrize("path", STANDARD, ids=lambda it: it.name)
def test_the_copy_is_the_same_program(path: Path) -> None:
    """But for a `with`, a space in columns, and an empty statement at the end."""
    try:
        copy = cgiscript.freezable(path)
    except cgiscript.ScriptError as error:
        assert "add one there" in str(error)  # noqa: PT017
        return
    lines = copy.source.split("\n")
    body = ast.parse(copy.source).body
    process = body.pop()
    assert isinstance(process, ast.With)
    assert process.lineno == copy.line
    assert lines[copy.line - 1].startswith("with ")
    original = ast.parse(path.read_bytes())
    both = [*body, *process.body[:-1]]
    assert [ast.dump(it) for it in both] == [ast.dump(it) for it in original.body]
    assert line_numbers(both) == line_numbers(original.body)


def line_numbers(body: list[ast.stmt]) -> list[int]:
    return [node.lineno for it in body for node in ast.walk(it) if isinstance(node, ast.stmt)]


@pytest.mark.parametrize(
    "source",
    [
        "import os\n\nprint('''a\n  b\n''')\n",
        "import os\n\nprint(1,\n2)\nx = 'a\\\nb'\n",
        "import os\n\nif 1:\n\tprint()\n\tif 2:\n\t\tprint()\n# x\n\telse_ = 1\n",
        "import os\n\nprint()\n\fprint()\n\f\ndef f():\n    pass\n",
        "import os\r\n\r\nprint()\r\nif 1:\r\n  print()\r\n",
        "import os\n\nprint(f'''{1\n+ 2}\n a''')\n",
        "import os\n\nprint('\u2028 \x0c')\n",
    ],
)
def test_lines_that_are_not_to_be_indented(script: Path, source: str) -> None:
    script.write_bytes(source.encode())
    test_the_copy_is_the_same_program(script)


@pytest.mark.parametrize(
    ("first", "encoding"),
    [
        ("# -*- coding: latin-1 -*-", "latin-1"),
        ("#!/usr/bin/python3\n# vim: set fileencoding=cp1252 :", "cp1252"),
        ("# coding: utf-8", "utf-8-sig"),
        ("", "utf-8"),
    ],
)
def test_a_script_is_in_the_encoding_that_it_says(script: Path, first: str, encoding: str) -> None:
    script.write_text(f"{first}\n\nprint('Zoë')\n", encoding=encoding)
    copy = cgiscript.freezable(script).source
    assert "print('Zoë')" in copy
    assert "\n print('Zoë')\n" in copy
    assert compile(copy.encode(), "script", "exec")


def test_a_script_in_another_encoding_is_told_how_to_say_so(script: Path) -> None:
    script.write_bytes("print('Zoë')\n".encode("latin-1"))
    with pytest.raises(cgiscript.ScriptError, match="coding: latin-1"):
        cgiscript.freezable(script)


def test_a_script_of_python_2_is_called_one(script: Path) -> None:
    script.write_text("import os\n\nprint 'Content-Type: text/html'\n")
    with pytest.raises(cgiscript.ScriptError, match=r"line 3\): is it of Python 2\?"):
        cgiscript.freezable(script)


@pytest.mark.parametrize(
    ("line", "is_unbuffered"),
    [
        ("#!/usr/bin/python -u", True),
        ("#!/usr/bin/env -S python3.11 -Ou", True),
        ("#!/usr/bin/python -t -u -W ignore", True),
        ("#!/usr/bin/python", False),
        ("#!/usr/bin/python -O", False),
        ("#!/usr/bin/python -Xutf8", False),
        ("#!/usr/local/u/python", False),
    ],
)
def test_the_flag_of_the_first_line_is_heeded(script: Path, line: str, is_unbuffered: bool) -> None:
    script.write_text(f"{line}\n\nprint()\n")
    assert ("unbuffered=True" in cgiscript.freezable(script).source) is is_unbuffered


def test_nuitka_is_not_told_of_another_interpreter(script: Path) -> None:
    script.write_text("#!/usr/bin/python2.4\nimport os\n\nprint()\n")
    assert "\n#!" not in f"\n{cgiscript.freezable(script).source}"


def test_modules_of_the_standard_library_are_imported_before(script: Path) -> None:
    script.write_text("""\

from __future__ import annotations

print()
import mine, os.path
from json import *
def f():
    from xml.dom import minidom
    from . import sibling
""")
    assert (
        "process(globals(), 'json', 'os.path', 'xml.dom', 'xml.dom.minidom', "
        in cgiscript.freezable(script).source
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("guestbook.cgi", "guestbook"),
        ("guestbook.py", "guestbook"),
        ("form-mail.v2.cgi", "form-mail.v2"),
        ("guestbook", "guestbook"),
        ("search.pl", "search.pl"),
    ],
)
def test_the_programs_name_is_the_scripts_without_its_ending(file: str, name: str) -> None:
    assert cgiscript.name_of(Path("/a.cgi", file)) == name
