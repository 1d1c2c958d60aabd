"""What the statements of a script have to do with its process: which of them can run at a build.

Everything here is judged by the source alone. It errs on the safe side: a statement of which
nothing is known belongs to the process. Only in a script that ends by running a WSGI application
is it the other way round, since such a script is imports and calls that make the application: what
shows no sign of the process runs at the build, as it does in an app.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

import msgspec

# What is known to give the same whenever it is called with constants.
_CALLS = frozenset(
    "collections.namedtuple dict float frozenset int list os.path.join re.compile set "
    "str.maketrans string.Template tuple".split()
)
_DECORATORS = frozenset(("classmethod", "property", "staticmethod"))
# They differ from process to process.
_STREAMS = frozenset(("*", "executable", "stderr", "stdin", "stdout"))

# What makes a path of paths and constants, by the name that it is called by or looked up by.
_PATH_CALLS = frozenset(
    "Path abspath dirname expanduser join normpath os.fspath os.getcwd os.path.abspath "
    "os.path.dirname os.path.expanduser os.path.join os.path.normpath os.path.realpath "
    "pathlib.Path realpath str".split()
)
_PATH_METHODS = frozenset("absolute as_posix joinpath resolve".split())
_PATH_ATTRIBUTES = frozenset(("parent", "parents"))
_PATH_NAMES = frozenset("os.curdir os.pardir os.path.pardir os.path.sep os.sep sys.path".split())
_SETTING_CALLS = frozenset(
    "environ.setdefault environ.update os.environ.setdefault os.environ.update site.addsitedir "
    "sys.path.append sys.path.extend sys.path.insert".split()
)
_SETTING_TARGETS = frozenset(("environ", "os.environ", "sys.path"))

# What belongs to a process, in the statements that make a WSGI application: by the name of a
# function or a module's, and by that of an attribute or a method of anything.
_PROCESS_NAMES = frozenset(
    "__file__ environ exit getenv input open print quit random secrets socket sqlite3 stdin stdout "
    "subprocess sys tempfile threading time uuid".split()
)
_PROCESS_ATTRIBUTES = frozenset(
    "connect create_all cursor environ execute from_envvar from_file from_json "
    "from_prefixed_env from_pyfile getenv load_dotenv now open read read_bytes read_text start "
    "today utcnow".split()
)
# Of `os` these alone are the same in each process.
_OS_CONSTANTS = frozenset("curdir linesep name pardir path sep".split())
_OS_PATH_PURE = frozenset("basename dirname join normpath sep split splitext".split())


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Names(msgspec.Struct):
    """What the names that a script has assigned so far stand for."""

    constants: set[str] = msgspec.field(default_factory=set)
    paths: set[str] = msgspec.field(default_factory=lambda: {"__file__"})


class Above(msgspec.Struct, frozen=True):
    """The statements at the top of a script that can run at a build."""

    count: int
    # Those that run in each process as well, in order: settings, and names for paths.
    settings: tuple[ast.stmt, ...] = ()


class Served(msgspec.Struct, frozen=True):
    """A statement that runs a WSGI application as CGI."""

    statement: ast.stmt
    application: ast.expr
    above: tuple[ast.stmt, ...]  # the statements that run before it
    settings: tuple[ast.stmt, ...] = ()  # of these
    # The line of the first that has to do with the process, so that each process has to make the
    # application; 0 if there is none.
    obstacle: int = 0


def first_line(statement: ast.stmt) -> int:
    """The line that a statement begins in, with its decorators."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(it.lineno for it in decorators)])


def above(body: Sequence[ast.stmt]) -> Above:
    """The statements at the top of `body` that have nothing to do with a request."""
    names = Names()
    settings: list[ast.stmt] = []

    def is_above(it: ast.stmt) -> bool:
        if _is_harmless(it, names.constants):
            names.paths -= names.constants
            return True
        if _is_setting(it, names):
            settings.append(it)
            return True
        return False

    count = len(list(takewhile(is_above, body)))
    return Above(count, tuple(settings))


def served(body: Sequence[ast.stmt]) -> Served | None:
    """The call at the end of a script that runs its WSGI application, if there is one."""
    found = _last_call(body)
    if found is None:
        return None
    names = Names()
    settings = []
    own = {it.name: it for it in body if isinstance(it, Definition)}
    for it in found.above:
        if _is_harmless(it, names.constants):
            names.paths -= names.constants
        elif _is_setting(it, names):
            settings.append(it)
        elif _is_of_process(it, names, own):
            return msgspec.structs.replace(found, obstacle=first_line(it))
    obstacle = found.statement.lineno if _is_of_process(found.application, names, own) else 0
    return msgspec.structs.replace(found, settings=tuple(settings), obstacle=obstacle)


# --- a WSGI application that is run as CGI ---


def _last_call(body: Sequence[ast.stmt]) -> Served | None:
    if not body:
        return None
    *others, last = body
    if isinstance(last, ast.If) and not last.orelse and _is_main(last.test):
        inner = _last_call(last.body)
        return inner and Served(inner.statement, inner.application, (*others, *inner.above))
    application = _application(last, body) if isinstance(last, ast.Expr) else None
    return None if application is None else Served(last, application, tuple(others))


def _is_main(test: ast.expr) -> bool:
    return ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _application(last: ast.Expr, body: Sequence[ast.stmt]) -> ast.expr | None:
    match last.value:
        # wsgiref.handlers
        case ast.Call(ast.Attribute(ast.Call(server, []), "run"), [application], []):
            return application if _last_name(server) == "CGIHandler" else None
        # flup.server.cgi, flup.server.fcgi, which answer as CGI where a server runs them so.
        case ast.Call(ast.Attribute(ast.Call(server, [application], _), "run"), [], []):
            return application if _is_of_flup(server, body) else None
        # Bottle
        case ast.Call(run, arguments, keywords) if _last_name(run) == "run":
            named = {it.arg: it.value for it in keywords}
            server_name = named.get("server")
            if not (isinstance(server_name, ast.Constant) and server_name.value == "cgi"):
                return None
            given = named.get("app", arguments[0] if arguments else None)
            is_method = isinstance(run, ast.Attribute) and ast.unparse(run.value) != "bottle"
            if isinstance(run, ast.Attribute) and is_method:
                return run.value
            return given or ast.parse("__import__('bottle').default_app()", mode="eval").body
    return None


def _last_name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _is_of_flup(server: ast.expr, body: Sequence[ast.stmt]) -> bool:
    if _last_name(server) != "WSGIServer":
        return False
    imported = (name for it in body for node in ast.walk(it) for name in modules(node))
    return any(name.partition(".")[0] in ("flup", "flipflop") for name in imported)


def _is_of_process(it: ast.AST, names: Names, own: Mapping[str, Definition]) -> bool:
    """Whether what a statement executes, and does not only define, depends on the process.

    `own` are the script's functions and classes: what they do counts where they are called.
    """
    for node in _executed(it):
        match node:
            case ast.With() | ast.AsyncWith() | ast.Global() | ast.Await():
                return True
            case ast.Attribute(ast.Name("os"), name):
                if name not in _OS_CONSTANTS:
                    return True
            case ast.Attribute(ast.Attribute(ast.Name("os"), "path"), name):
                if name not in _OS_PATH_PURE:
                    return True
            case ast.Attribute(_, name):
                if name in _PROCESS_ATTRIBUTES:
                    return True
            case ast.Name(name, ast.Load()):
                if name in _PROCESS_NAMES or name in names.paths:
                    return True
            case ast.ImportFrom("sys", aliases):
                if _STREAMS & {alias.name for alias in aliases}:
                    return True
            case ast.Call(ast.Name(name)) if name in own:
                others = {other: own[other] for other in own if other != name}
                if any(_is_of_process(part, names, others) for part in _called(own[name])):
                    return True
    return False


def _called(definition: Definition) -> list[ast.stmt]:
    """What runs where a function or class of the script's is called."""
    if isinstance(definition, ast.ClassDef):
        return [
            part
            for it in definition.body
            if isinstance(it, ast.FunctionDef) and it.name in ("__init__", "__new__")
            for part in it.body
        ]
    return definition.body


def _executed(it: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement, without the bodies of functions that it defines."""
    yield it
    match it:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            parts: Iterable[ast.AST] = [*it.decorator_list, *_defaults(it.args)]
        case ast.Lambda():
            parts = _defaults(it.args)
        case _:
            parts = ast.iter_child_nodes(it)
    for part in parts:
        yield from _executed(part)


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *filter(None, arguments.kw_defaults)]


# --- settings, which run at the build and in each process ---


def _is_setting(it: ast.stmt, names: Names) -> bool:
    """Whether a statement sets sys.path or os.environ, or a name for a path, from known values."""
    match it:
        case ast.Expr(ast.Call(function, arguments, keywords)):
            values = [*arguments, *(keyword.value for keyword in keywords)]
            return ast.unparse(function) in _SETTING_CALLS and _are_paths(values, names)
        case ast.Assign(targets, value) | ast.AugAssign(ast.expr() as targets, _, value):
            targets = targets if isinstance(targets, list) else [targets]
            if not _is_path(value, names):
                return False
            if all(isinstance(target, ast.Name) for target in targets):
                named = {target.id for target in targets if isinstance(target, ast.Name)}
                names.paths |= named
                names.constants -= named
                return isinstance(it, ast.Assign)
            return all(_is_setting_target(target, names) for target in targets)
        case ast.If(test, body, orelse):
            is_told = all(_is_test(part, names) for part in _conjuncts(test))
            return is_told and all(_is_setting(part, names) for part in [*body, *orelse])
        case ast.For(ast.Name(name), values, body, []):
            if not _is_path(values, names):
                return False
            names.paths.add(name)
            return all(_is_setting(part, names) for part in body)
    return False


def _conjuncts(test: ast.expr) -> list[ast.expr]:
    return test.values if isinstance(test, ast.BoolOp) else [test]


def _is_test(test: ast.expr, names: Names) -> bool:
    """Whether a condition asks what sys.path or os.environ has."""
    match test:
        case ast.Compare(left, [ast.In() | ast.NotIn()], [right]):
            return _is_path(left, names) and ast.unparse(right) in _SETTING_TARGETS
    return False


def _is_setting_target(target: ast.expr, names: Names) -> bool:
    """Whether it is sys.path, a part of that, or a variable of os.environ."""
    match target:
        case ast.Attribute():
            return ast.unparse(target) == "sys.path"
        case ast.Subscript(value, ast.Slice() as part):
            is_told = _are_paths(filter(None, (part.lower, part.upper, part.step)), names)
            return is_told and ast.unparse(value) == "sys.path"
        case ast.Subscript(value, key):
            return ast.unparse(value) in _SETTING_TARGETS and _is_path(key, names)
    return False


def _is_path(it: ast.expr | None, names: Names) -> bool:
    """Whether an expression is made of constants, __file__ and what is derived from it."""
    if _is_constant(it, names.constants):
        return True
    parts: Iterable[ast.expr | None]
    match it:
        case ast.Name(name):
            return name in names.paths
        case ast.Call(ast.Attribute(value, method), arguments, []) if method in _PATH_METHODS:
            parts = [value, *arguments]
        case ast.Call(function, arguments, []) if ast.unparse(function) in _PATH_CALLS:
            parts = arguments
        case ast.Attribute(value, attribute):
            if ast.unparse(it) in _PATH_NAMES:
                return True
            return attribute in _PATH_ATTRIBUTES and _is_path(value, names)
        case ast.Subscript(value, index):
            parts = [value, index]
        case ast.BinOp(left, _, right):
            parts = [left, right]
        case ast.Tuple(elts) | ast.List(elts) | ast.JoinedStr(elts):
            parts = elts
        case ast.Dict(keys, values):
            parts = [*keys, *values]
        case ast.FormattedValue(value, _, format_spec):
            parts = [value, format_spec]
        case _:
            return False
    return _are_paths(parts, names)


def _are_paths(parts: Iterable[ast.expr | None], names: Names) -> bool:
    return all(_is_path(part, names) for part in parts)


# --- what is the same for every request ---


def _is_harmless(it: ast.stmt, constants: set[str]) -> bool:
    """Whether a statement does the same at the build as it would do in each process.

    `constants` are the names of those there are so far, to which its own are added.
    """
    match it:
        case ast.Import() | ast.Pass() | ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call(function, arguments, keywords)):
            # It holds the standard output there is, which is set right (adapters/script.py).
            return ast.unparse(function) == "cgitb.enable" and _are_constant(
                [*arguments, *(keyword.value for keyword in keywords)], constants
            )
        case ast.ImportFrom(module, names):
            return module != "sys" or not _STREAMS & {name.name for name in names}
        case ast.Assign(targets, value):
            return _is_constant(value, constants) and all(_add(it, constants) for it in targets)
        case ast.AnnAssign(target, annotation, value):
            is_constant = value is None or _is_constant(value, constants)
            return is_constant and _is_type(annotation) and _add(target, constants)
        case ast.AugAssign(ast.Name(name), _, value):
            return name in constants and _is_constant(value, constants)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            constants.discard(it.name)
            return _is_harmless_function(it, constants)
        case ast.ClassDef(name, bases, [], body, decorators):
            constants.discard(name)
            own = set(constants)
            return (
                not decorators
                and all(map(_is_type, bases))
                and all(_is_harmless(part, own) for part in body)
            )
        case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), _, orelse):
            return all(_is_harmless(part, constants) for part in orelse)
        case ast.Try(body, handlers, orelse, finalbody):
            types = [handler.type for handler in handlers if handler.type]
            parts = [*body, *(part for it in handlers for part in it.body), *orelse, *finalbody]
            return all(map(_is_type, types)) and all(_is_harmless(it, constants) for it in parts)
    return False


def _is_harmless_function(it: ast.FunctionDef | ast.AsyncFunctionDef, constants: set[str]) -> bool:
    arguments = it.args
    defaults = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
    everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    everything += filter(None, (arguments.vararg, arguments.kwarg))
    annotations = [it.returns, *(argument.annotation for argument in everything)]
    return (
        _are_constant(defaults, constants)
        and all(map(_is_type, filter(None, annotations)))
        and all(isinstance(d, ast.Name) and d.id in _DECORATORS for d in it.decorator_list)
    )


def _add(target: ast.expr, constants: set[str]) -> bool:
    """Record the names of constants; returns whether the statement assigns nothing else."""
    parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    names = {it.id for it in parts if isinstance(it, ast.Name)}
    constants |= names
    return len(names) == len(parts)


def _is_constant(it: ast.expr | None, constants: set[str]) -> bool:
    """Whether an expression is made of constants alone."""
    match it:
        case None | ast.Constant():
            return True
        case ast.Name(name):
            return name in constants
        case ast.Tuple(elts) | ast.List(elts) | ast.Set(elts) | ast.JoinedStr(elts):
            parts: list[ast.expr | None] = [*elts]
        case ast.Dict(keys, values):
            parts = [*keys, *values]
        case ast.UnaryOp(_, operand):
            parts = [operand]
        case ast.BinOp(left, _, right):
            parts = [left, right]
        case ast.FormattedValue(value, _, format_spec):
            parts = [value, format_spec]
        case ast.Lambda(arguments):
            parts = [*arguments.defaults, *arguments.kw_defaults]
        case ast.Call(function, arguments, keywords):
            if not _is_known(function, constants):
                return False
            parts = [*arguments, *(keyword.value for keyword in keywords)]
        case _:
            return False
    return _are_constant(parts, constants)


def _are_constant(parts: Iterable[ast.expr | None], constants: set[str]) -> bool:
    return all(_is_constant(part, constants) for part in parts)


def _is_known(function: ast.expr, constants: set[str]) -> bool:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant):
        return True  # a method of a string, such as "a b c".split
    name = ast.unparse(function)
    return name in _CALLS and name.partition(".")[0] not in constants


def _is_type(it: ast.expr) -> bool:
    """Whether an expression is a class's name, or of the forms that annotations have."""
    parts = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.BinOp)
    kinds = (*parts, ast.expr_context, ast.operator)
    return all(isinstance(node, kinds) for node in ast.walk(it))


def modules(node: ast.AST) -> list[str]:
    """The names of what a statement imports; of `from a import b` both a and a.b."""
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(str(module), names, 0):
            return [module, *(f"{module}.{it.name}" for it in names if it.name != "*")]
    return []
