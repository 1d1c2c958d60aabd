"""The freeze point: where a program is frozen, and where every new process continues.

The protocol with the freezer: it sets the environment variable FREEZE_POINT to a token of 32
hexadecimal digits. The program gets ready, leaves a letterbox that is marked with the token's
bytes, and stops itself with SIGSTOP.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, MutableMapping

from nativecgi.frozen import openings
from nativecgi.frozen.bytecode import keep_bytecode
from nativecgi.frozen.chance import watch
from nativecgi.frozen.closedworld import set_aside
from nativecgi.frozen.compressors import import_shutil
from nativecgi.frozen.immortal import immortalize
from nativecgi.frozen.learned import import_learned
from nativecgi.frozen.packagedata import keep_data
from nativecgi.frozen.renewal import Renewal, forget, renewals, unrehearsed
from nativecgi.gateways.crash import arm
from nativecgi.process import environment
from nativecgi.process.hooks import run_before_freeze
from nativecgi.process.letterbox import Letterbox, memory
from nativecgi.process.quitters import define_quitters
from nativecgi.process.selfstart import guard, refuse_to_interpret
from nativecgi.process.streams import FIFO, flush_streams, occupy_closed, renew_streams
from nativecgi.process.threads import show_threads

_VARIABLE = "FREEZE_POINT"
# The interpreter adapts a function's code to what it sees when it has run a few times (PEP 659).
_REHEARSALS = 10
_AGAIN = 3
_STOP = int(signal.SIGSTOP)

# For good: what a function has of its own until the freeze, each process would have to free.
_letterbox = Letterbox(memory)
_renewals: list[Renewal] = []
_unrehearsed: list[Renewal] = []

define_quitters()
if _VARIABLE in os.environ:
    watch()
    if os.environ.pop(openings.VARIABLE, None):
        openings.watch()


def reach(prepare: Callable[[], Callable[[], object]]) -> MutableMapping[str, str]:
    """Run the `before_freeze` hooks, and be frozen if a freezer has started this program.

    After it the process is as if it had just started: sys.argv, os.environ, the standard
    streams, chance and time are its own. Returns its environment.

    `prepare` is called before a freeze, behind those hooks, to make what all processes can share.
    It returns a function that is called over and over right before it, to do what each process
    will do: the interpreter's caches and free lists are then as a process needs them, and it
    writes to less of its memory.
    """
    if _VARIABLE not in os.environ:
        run_before_freeze()
        occupy_closed()
        arm()
        if "__compiled__" in globals() and len(sys.argv) > 1:
            refuse_to_interpret()
        return dict(os.environ)
    _get_ready(bytes.fromhex(os.environ.pop(_VARIABLE)), prepare)
    signal.raise_signal(_STOP)
    env = _renewed()
    for renew in _unrehearsed:
        renew()
    if len(sys.argv) > 1:  # servers give a program none, as a rule
        refuse_to_interpret()
    return env


def _get_ready(token: bytes, prepare: Callable[[], Callable[[], object]]) -> None:
    run_before_freeze()
    import_shutil()
    import_learned()
    rehearsal = prepare()
    arm()
    set_aside()
    keep_bytecode()
    keep_data()
    show_threads()
    openings.show_openings()
    guard()
    forget()
    _renewals.extend(renewals())
    _unrehearsed.extend(unrehearsed())
    flush_streams()
    variables = [f"{name}={value}" for name, value in os.environ.items()]

    def rehearse(times: int) -> None:
        for _time in range(times):
            environment.give_up()
            _letterbox.post(["/program"], variables, bytes((FIFO, FIFO, FIFO)))
            _renewed()
            rehearsal()

    # What stays, such as a cache, is made by the first rehearsals. What has been freed since, such
    # as a function's frame, is made anew by the others.
    rehearse(_REHEARSALS)
    gc.collect()
    immortalize()
    gc.freeze()
    gc.collect()  # the interpreter's free lists
    rehearse(_AGAIN)
    # What a process replaces is gone already: there it would have to be freed.
    sys.argv.clear()
    environment.give_up()
    gc.freeze()
    _letterbox.address(token)


def _renewed() -> MutableMapping[str, str]:
    """Do what a thaw, being a fork into another place and time, leaves to the program.

    Returns the new environment, as text as in os.environ. What is here is as little as will do:
    each object that is written to, be it only to count a reference to it, costs a process a page
    of memory.
    """
    block, count = _letterbox.strings()
    arguments, env = environment.renew(block, count)
    sys.argv[:] = arguments
    program = arguments[0] if arguments else ""
    # There is no interpreter to be run. Who finds a program by PATH does not say where it is.
    if not program.startswith(os.sep):
        program = os.path.abspath(program) if os.sep in program else ""
    sys.executable = program
    renew_streams(_letterbox.kinds())
    for renew in _renewals:
        renew()
    return env
