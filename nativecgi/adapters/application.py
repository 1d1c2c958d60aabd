"""A program of somebody's WSGI or ASGI application: what the build's main file for it calls."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from nativecgi.frozen.freezepoint import reach
from nativecgi.frozen.rehearsal import WarmUp, prepare
from nativecgi.gateways.table import Program, enter
from nativecgi.message.limits import Limits
from nativecgi.message.request import Request
from nativecgi.message.response import Handler, Response, text

# What the build sets to have an application loaded, or not even that, and not asked for anything.
_TRIAL = "NATIVECGI_TRIAL"
LOAD = "load"


def answer(
    load: Callable[[], Handler],
    *,
    is_late: bool = False,
    modules: Iterable[str] = (),
    warmup: Iterable[WarmUp] = (),
    limits: Mapping[str, float] | None = None,
) -> NoReturn:
    """Answer the one request of this process with an application, and end the process.

    `load` makes a handler of it, before the freeze; with `is_late` in each process, and then
    `modules` are imported before the freeze. `warmup` is as for `nativecgi.run`; what is loaded
    late answers none. `limits` are the fields of nativecgi.Limits.
    """
    program_limits = Limits(**limits) if limits else None  # type: ignore[arg-type]
    if not is_late:
        made = load()
        env = reach(lambda: prepare(made, warmup, program_limits))
        enter(Program(_greet if _TRIAL in env else made, program_limits), env)

    def handle(request: Request) -> Response:
        return load()(request)

    def only_load(request: Request) -> Response:
        load()
        return _greet(request)

    _import(modules)
    env = reach(lambda: prepare(_greet, limits=program_limits))
    trials = {LOAD: only_load, "": handle}
    enter(Program(trials.get(env.get(_TRIAL, ""), _greet), program_limits), env)


def _greet(_request: Request) -> Response:
    return text("Hello\n")


def _import(modules: Iterable[str]) -> None:
    for name in modules:
        # The application will see by itself that a module is not there, or fails.
        with suppress(Exception):
            import_module(name)
