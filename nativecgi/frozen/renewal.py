"""State of the process, time and machine that the standard library keeps: forgotten or renewed.

A thaw is a fork into another process, at a later time, on another machine. What a module asks
again for is forgotten before the freeze; the rest is renewed in each process.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

from nativecgi.frozen import chance

Renewal = Callable[[], object]

# Their functions for a fork make locks anew that another thread may hold, of which there are
# none, or do what is done here.
_NOTHING_TO_RENEW = ("asyncio.events", "concurrent.futures.thread", "logging", "random",
                     "threading")  # fmt: skip


def forget() -> None:
    """Forget, before a freeze, what belongs to the build machine; each process finds its own."""
    # What the interpreter was started with: to a frozen program its arguments are all there is.
    sys.orig_argv = sys.argv
    for name, forget_of in _FORGOTTEN.items():
        if module := sys.modules.get(name):
            forget_of(module)


def renewals() -> list[Renewal]:
    """What each process of this program has to do first. It should be as little as possible."""
    return [
        *(generator.seed for generator in chance.self_seeded()),
        *(renewal for name, of in _RENEWED.items() if name in sys.modules
          for renewal in of(sys.modules[name])),
    ]  # fmt: skip


def unrehearsed() -> list[Renewal]:
    """What a process also has to do, but only after a thaw and not in a rehearsal."""
    return [_guarded(hook) for hook in _after_fork()]


def _forget_platform(module: ModuleType) -> None:
    module._uname_cache = None  # type: ignore[attr-defined]
    module._os_release_cache = None  # type: ignore[attr-defined]
    module._platform_cache.clear()


def _forget_temporary_names(module: ModuleType) -> None:
    # Chosen by TMPDIR and what exists; one that the program has set itself stays.
    if module.tempdir in module._candidate_tempdir_list():
        module.tempdir = None  # type: ignore[attr-defined]
    module._name_sequence = None  # type: ignore[attr-defined]


def _forget_uuid(module: ModuleType) -> None:
    for name in vars(module):
        if name == "_node" or name.startswith("_last_timestamp"):
            setattr(module, name, None)
    if generate := module._generate_time_safe:
        module._generate_time_safe = chance.with_own_sequence(generate)  # type: ignore[attr-defined]


def _forget_addresses(module: ModuleType) -> None:
    module._localhost = module._thishost = None  # type: ignore[attr-defined]


_FORGOTTEN: dict[str, Callable[[ModuleType], None]] = {
    "platform": _forget_platform,
    "tempfile": _forget_temporary_names,
    "uuid": _forget_uuid,
    "urllib.request": _forget_addresses,
}


def _renew_time_zone(module: ModuleType) -> Iterator[Renewal]:
    """TZ, or the machine's own zone: localtime_r(3) looks for them only once."""
    try:
        is_same = import_module("_nativecgi_zone").renew  # zone.c, where it has been built in
    except ImportError:
        yield module.tzset
        return

    def renew() -> None:
        if not is_same(module.timezone, module.altzone, module.daylight, module.tzname):
            module.tzset()

    yield renew


def _renew_main_thread(module: ModuleType) -> Iterator[Renewal]:
    thread, native_id = module.main_thread(), module.get_native_id

    def renew() -> None:
        thread._native_id = native_id()

    yield renew


def _renew_start_of_log(module: ModuleType) -> Iterator[Renewal]:
    """LogRecord.relativeCreated counts from it: in seconds, since Python 3.13 in nanoseconds."""
    clock = time.time_ns if isinstance(module._startTime, int) else time.time

    def renew() -> None:
        module._startTime = clock()  # type: ignore[attr-defined]

    yield renew


def _renew_authentication_key(module: ModuleType) -> Iterator[Renewal]:
    """multiprocessing's, by which processes know each other."""

    def renew() -> None:
        module.current_process().authkey = os.urandom(32)

    yield renew


_RENEWED: dict[str, Callable[[ModuleType], Iterator[Renewal]]] = {
    "time": _renew_time_zone,
    "threading": _renew_main_thread,
    "logging": _renew_start_of_log,
    "multiprocessing.process": _renew_authentication_key,
    "numpy.random": chance.numpy_renewals,
}


def _after_fork() -> list[Renewal]:
    """The functions registered with os.register_at_fork(after_in_child=...), in order.

    The interpreter shows its list of them to nobody but the garbage collector.
    """

    def marker() -> None: ...

    os.register_at_fork(after_in_child=marker)
    (hooks,) = (found for found in gc.get_referrers(marker) if type(found) is list)
    hooks.remove(marker)
    return [hook for hook in hooks if getattr(hook, "__module__", None) not in _NOTHING_TO_RENEW]


def _guarded(hook: Renewal) -> Renewal:
    """A function that runs after a fork: a failure is reported, and the process continues."""

    def run() -> None:
        try:
            hook()
        except Exception:
            sys.excepthook(*sys.exc_info())

    return run
